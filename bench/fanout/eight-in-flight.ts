/** And when a room of 200 is notified eight things at a time? */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

await compareServers({
  name: "fanout-200-eight",
  question: "Eight broadcasts at a time to 200",
  scenario: "fanout",
  options: { clients: 200, inFlight: 8, seconds: 2 },
  servers: [SERVERS.simurgh, SERVERS.sharded, SERVERS.ws, SERVERS.socketIo],
  measure: "CPU µs per delivery",
  target: 0.2,
});
