/** What does it cost to connect and join, and what does an idle joined connection keep? */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

await compareServers({
  name: "connect",
  question: "Connect and join",
  scenario: "connect",
  options: { clients: 2000 },
  servers: [SERVERS.simurgh, SERVERS.sharded, SERVERS.ws, SERVERS.socketIo],
  measure: "CPU µs per join",
  target: 1.6,
});
