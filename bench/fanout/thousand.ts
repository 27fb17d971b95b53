/** What does a delivery cost when one tells a room of 1,000, one broadcast at a time? */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

await compareServers({
  name: "fanout-1000",
  question: "One broadcast at a time to 1,000",
  scenario: "fanout",
  options: { clients: 1000, inFlight: 1, seconds: 2 },
  servers: [SERVERS.simurgh, SERVERS.sharded, SERVERS.ws, SERVERS.wsString, SERVERS.socketIo],
  measure: "CPU µs per delivery",
  target: 0.75,
});
