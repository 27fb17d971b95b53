/**
 * How many frames does it take when 500 join one presence room at once? (Real Phoenix: 203,000.)
 */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

await compareServers({
  name: "presence",
  question: "500 join one presence room at once",
  scenario: "presence",
  options: { clients: 500 },
  servers: [SERVERS.simurgh, SERVERS.sharded, SERVERS.ws, SERVERS.socketIo],
  measure: "frames",
});
