/** What does a short life cost, and what does it leave behind? */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

await compareServers({
  name: "churn",
  question: "Connect, join, go",
  scenario: "churn",
  options: { clients: 100, rounds: 10 },
  servers: [SERVERS.simurgh, SERVERS.sharded, SERVERS.ws, SERVERS.socketIo],
  measure: "CPU µs per life",
});
