/**
 * How many casts can go from one thread to another in a second, and how long does a single call
 * take there and back?
 */

import { GenServer, startThread } from "simurgh/runtime";
import { threadName } from "#runtime";
import { benchNode, compare } from "./harness.js";

const module = new URL("../fixtures/thread-counter.ts", import.meta.url);
const node = benchNode();

const INDEX = 1;
await node.run(async () => {
  const started = await startThread({ index: INDEX, module });
  if (started[0] !== "ok") throw new Error(`the thread did not start: ${JSON.stringify(started)}`);
  const to = { name: "counter", node: INDEX };
  const casts = async (count: number) =>
    node.run(async () => {
      // As many at a time as a connection lets out before it holds senders back.
      for (let sent = 0; sent < count; sent += 5000) {
        for (let n = 0; n < 5000; n += 1) GenServer.cast(to, { by: 1, at: n });
        await GenServer.call(to, "count", 60_000);
      }
    });
  await compare(
    {
      question: "casts of a two-field object to a server on another thread",
      count: 200_000,
      goal: 1_000_000,
      byClock: true,
    },
    [{ name: "ours", run: casts }],
  );
  const times: number[] = [];
  for (let n = 0; n < 5000; n += 1) {
    const from = performance.now();
    await GenServer.call(to, "count");
    times.push((performance.now() - from) * 1000);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): string =>
    `${(times[Math.floor(times.length * share)] as number).toFixed(0)} µs`;
  console.log(`  one call at a time: median ${at(0.5)}, p99 ${at(0.99)}`);
  await GenServer.stop(threadName(INDEX));
});
await node.stop();
