/** What does a delivery cost when one tells a room of 200, one broadcast at a time? */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

await compareServers({
  name: "fanout-200",
  question: "One broadcast at a time to 200",
  scenario: "fanout",
  options: { clients: 200, inFlight: 1, seconds: 2 },
  servers: [SERVERS.simurgh, SERVERS.sharded, SERVERS.ws, SERVERS.socketIo],
  measure: "CPU µs per delivery",
});
