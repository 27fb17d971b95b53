/**
 * Does a burst grow with the room and not with its square? 1,000 and 5,000 join one presence room
 * at once.
 */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

for (const clients of [1000, 5000])
  await compareServers({
    name: `presence-${clients}`,
    question: `${clients.toLocaleString("en")} join one presence room at once`,
    scenario: "presence",
    options: { clients },
    servers: [SERVERS.simurgh],
    measure: "frames",
    rounds: 1,
  });
