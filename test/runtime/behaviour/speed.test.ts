/**
 * Floors far below the goals, so that a loaded machine keeps them and a mistake of an order of
 * magnitude does not pass. What is reached is measured by bench/runtime, beside a peer.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  createNode,
  GenServer,
  type GenServerModule,
  monitor,
  type Pid,
  type RuntimeNode,
  receive,
  send,
  spawn,
  startThread,
} from "simurgh/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const counter: GenServerModule<number> = {
  init: () => ["ok", 0],
  handleCall: (_request, _from, count) => ["reply", count, count],
  handleCast: (by, count) => ["noreply", count + by],
};

describe("floors, at a tenth of the goals or less", () => {
  let node: RuntimeNode;
  beforeAll(() => {
    node = createNode({ isolation: "none", onReport() {} });
  });
  afterAll(() => node.stop());
  /** Operations per second of CPU: what others do on the machine meanwhile does not count. */
  const rate = async (count: number, run: () => Promise<unknown>): Promise<number> => {
    const from = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(from);
    return count / ((user + system) / 1_000_000);
  };
  const start = async (): Promise<Pid> => (await GenServer.start(counter))[1] as Pid;

  test("casts and calls in one thread (R-501)", () =>
    node.run(async () => {
      const pid = await start();
      const casts = await rate(300_000, async () => {
        for (let n = 0; n < 300_000; n += 1) GenServer.cast(pid, 1);
        expect(await GenServer.call(pid, "count", 60_000)).toBe(300_000);
      });
      const calls = await rate(20_000, async () => {
        for (let n = 0; n < 20_000; n += 1) await GenServer.call(pid, "count");
      });
      expect(casts).toBeGreaterThan(300_000);
      expect(calls).toBeGreaterThan(50_000);
    }));

  test("processes that come and go (R-502)", () =>
    node.run(async () => {
      const spawns = await rate(50_000, async () => {
        for (let n = 0; n < 50_000; n += 1) spawn(() => {});
        const last = spawn(() => {});
        monitor(last);
        await receive((message) => (Array.isArray(message) && message[0] === "DOWN" ? true : undefined));
      });
      expect(spawns).toBeGreaterThan(50_000);
    }));

  test("casts to another thread go in batches (R-503)", () =>
    node.run(async () => {
      const module = new URL("../../../bench/fixtures/thread-counter.ts", import.meta.url);
      const thread = await startThread({ index: 1, module });
      expect(thread[0]).toBe("ok");
      const to = { name: "counter", node: 1 };
      const casts = await rate(50_000, async () => {
        for (let sent = 0; sent < 50_000; sent += 5000) {
          for (let n = 0; n < 5000; n += 1) GenServer.cast(to, { by: 1, at: n });
          await GenServer.call(to, "count", 60_000);
        }
      });
      expect(await GenServer.call(to, "count")).toBe(50_000);
      expect(casts).toBeGreaterThan(50_000);
      await GenServer.stop(thread[1] as Pid);
    }));

  test("one message to 100,000 processes (R-504)", () =>
    node.run(async () => {
      let handled = 0;
      const server: GenServerModule<null> = {
        init: () => ["ok", null],
        handleInfo(_message, state) {
          handled += 1;
          return ["noreply", state];
        },
      };
      const pids: Pid[] = [];
      for (let n = 0; n < 100_000; n += 1) pids.push((await GenServer.start(server))[1] as Pid);
      const notified = await rate(100_000, async () => {
        for (const pid of pids) send(pid, "tick");
        while (handled < pids.length) await new Promise((resolve) => setImmediate(resolve));
      });
      expect(notified).toBeGreaterThan(100_000);
    }));
});

test("a process that waits for a message costs 1 KiB at most, and arms no timer (R-095)", () => {
  const code = `
    import { createNode } from "simurgh/runtime";
    const node = createNode({ isolation: "none", onReport() {} });
    const used = () => { gc(); gc(); return process.memoryUsage().heapUsed; };
    await node.run(async () => {
      const before = used();
      for (let n = 0; n < 100_000; n += 1) node.spawn(() => new Promise(() => {}));
      await new Promise((resolve) => setTimeout(resolve, 200));
      console.log(Math.round((used() - before) / 100_000), node.timers.size, node.processCount);
    });
    process.exit(0);
  `;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      "--expose-gc",
      "--import",
      "./scripts/typescript-loader.mjs",
      "--conditions",
      "simurgh-source",
      "--input-type=module",
      "-e",
      code,
    ],
    { cwd: fileURLToPath(new URL("../../..", import.meta.url)), encoding: "utf8" },
  );
  expect(stderr).toBe("");
  const [bytes, timers, processes] = stdout.trim().split(" ").map(Number);
  expect(bytes).toBeLessThanOrEqual(1024);
  expect([timers, processes]).toEqual([0, 100_001]);
});
