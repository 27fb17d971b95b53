/**
 * How many casts can go from one thread to another in a second, and how long does a single call
 * take there and back?
 */

import { type Encoding, GenServer, startThread } from "simurgh/runtime";
import { threadName } from "#runtime";
import { benchNode, compare } from "./harness.js";

const module = new URL("../fixtures/thread-counter.ts", import.meta.url);
const node = benchNode();

const worlds: { readonly encoding: Encoding; readonly index: number }[] = [
  { encoding: "msgpack", index: 1 },
  { encoding: "clone", index: 2 },
];
await node.run(async () => {
  for (const { encoding, index } of worlds) {
    const started = await startThread({ index, module, encoding });
    if (started[0] !== "ok") throw new Error(`thread ${index} did not start: ${JSON.stringify(started)}`);
  }
  const casts = (index: number) => async (count: number) =>
    node.run(async () => {
      const to = { name: "counter", node: index };
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
    worlds.map(({ encoding, index }) => ({ name: `by ${encoding}`, run: casts(index) })),
  );
  for (const { encoding, index } of worlds) {
    const to = { name: "counter", node: index };
    const times: number[] = [];
    for (let n = 0; n < 5000; n += 1) {
      const from = performance.now();
      await GenServer.call(to, "count");
      times.push((performance.now() - from) * 1000);
    }
    times.sort((a, b) => a - b);
    const at = (share: number): string =>
      `${(times[Math.floor(times.length * share)] as number).toFixed(0)} µs`;
    console.log(`  one call at a time by ${encoding.padEnd(11)} median ${at(0.5)}, p99 ${at(0.99)}`);
  }
  for (const { index } of worlds) await GenServer.stop(threadName(index));
});
await node.stop();
