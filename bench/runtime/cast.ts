/** How many casts can one thread handle in a second? */
import { GenServer, type GenServerModule, type Pid } from "simurgh/runtime";
import { bareQueue, benchNode, compare } from "./harness.js";
import { nactCasts, stopNact } from "./peer-nact.js";

const counter: GenServerModule<number> = {
  init: () => ["ok", 0],
  handleCall: (_request, _from, count) => ["reply", count, count],
  handleCast: (by, count) => ["noreply", count + by],
};

const node = benchNode();
const server = ((await node.run(() => GenServer.start(counter))) as readonly ["ok", Pid])[1];

await compare(
  { question: "casts to one GenServer with a synchronous handler", count: 1_000_000, goal: 3_000_000 },
  [
    {
      name: "GenServer.cast",
      run: (count) =>
        node.run(async () => {
          for (let i = 0; i < count; i += 1) GenServer.cast(server, 1);
          await GenServer.call(server, "count", 60_000);
        }),
    },
    {
      name: "GenServer.cast, batches of 1000",
      run: (count) =>
        node.run(async () => {
          for (let i = 0; i < count; i += 1) {
            GenServer.cast(server, 1);
            if (i % 1000 === 999) await GenServer.call(server, "count", 60_000);
          }
        }),
    },
    { name: "nact dispatch", share: 0.1, run: nactCasts },
    { name: "bare array queue", run: async (count) => void bareQueue(count) },
  ],
);
stopNact();
await node.stop();
