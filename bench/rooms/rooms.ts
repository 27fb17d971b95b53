/** What does a delivery cost in 100 rooms of 10 where everyone talks? */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

await compareServers({
  name: "rooms",
  question: "100 rooms of 10, everyone talks",
  scenario: "rooms",
  options: { rooms: 100, size: 10, seconds: 2 },
  servers: [SERVERS.simurgh, SERVERS.sharded, SERVERS.ws, SERVERS.socketIo],
  measure: "CPU µs per delivery",
  target: 0.75,
});
