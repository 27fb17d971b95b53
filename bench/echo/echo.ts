/**
 * What does a request and its answer cost, with 100 clients that each ask again as soon as they are
 * answered?
 */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

await compareServers({
  name: "echo",
  question: "Echo, 100 clients",
  scenario: "echo",
  options: { clients: 100, seconds: 2 },
  servers: [SERVERS.simurgh, SERVERS.sharded, SERVERS.ws, SERVERS.socketIo],
  measure: "CPU µs per request",
  target: 1.15,
});
