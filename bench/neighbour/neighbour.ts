/** How long do others wait while one room keeps its thread busy for 200 ms at a time? */
import { slot } from "#pubsub";
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

/** A room that two shards keep apart from the quiet one. */
const quiet = slot("room:quiet") % 2;
const busy = Array.from({ length: 100 }, (_, n) => `room:busy-${n}`).find(
  (topic) => slot(topic) % 2 !== quiet,
);

await compareServers({
  name: "neighbour",
  question: "Echo beside a room that spins",
  scenario: "neighbour",
  options: { seconds: 3 },
  servers: [SERVERS.twoShards, SERVERS.simurgh, SERVERS.ws, SERVERS.socketIo],
  measure: "p99 ms beside a busy room",
  env: { BUSY_TOPIC: busy ?? "room:busy" },
});
