/** How many calls can one process make to another in a second, one after the other? */
import { GenServer, type GenServerModule, type Pid } from "simurgh/runtime";
import { benchNode, compare } from "./harness.js";
import { nactCalls, stopNact } from "./peer-nact.js";

const echo: GenServerModule<number> = {
  init: () => ["ok", 0],
  handleCall: (request, _from, state) => ["reply", request, state],
};

const node = benchNode();
const server = ((await node.run(() => GenServer.start(echo))) as readonly ["ok", Pid])[1];

/** The least a request and an answer can cost here: a queue and a promise. */
async function bareCalls(count: number): Promise<void> {
  const queue: { request: number; resolve: (value: number) => void }[] = [];
  const drain = (): void => {
    for (const { request, resolve } of queue.splice(0)) resolve(request);
  };
  for (let i = 0; i < count; i += 1) {
    await new Promise<number>((resolve) => {
      queue.push({ request: i, resolve });
      queueMicrotask(drain);
    });
  }
}

await compare({ question: "call round trips between two processes", count: 200_000, goal: 700_000 }, [
  {
    name: "GenServer.call",
    run: (count) =>
      node.run(async () => {
        for (let i = 0; i < count; i += 1) await GenServer.call(server, i);
      }),
  },
  {
    name: "GenServer.call, no timeout",
    run: (count) =>
      node.run(async () => {
        for (let i = 0; i < count; i += 1) await GenServer.call(server, i, Number.POSITIVE_INFINITY);
      }),
  },
  { name: "nact query", share: 0.1, run: nactCalls },
  { name: "bare queue and promise", run: bareCalls },
]);
stopNact();
await node.stop();
