/** And at 40,000 deliveries a second, which none of them is kept busy by: how late do they come? */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

for (const clients of [200, 1000]) {
  await compareServers({
    name: `fanout-rate-${clients}`,
    question: `40,000 deliveries a second in a room of ${clients.toLocaleString("en")}`,
    scenario: "fanout",
    options: { clients, perSecond: 40_000 / clients, seconds: 2 },
    servers: [SERVERS.simurgh, SERVERS.sharded, SERVERS.ws, SERVERS.socketIo],
    measure: "CPU µs per delivery",
  });
}
