import { Worker } from "node:worker_threads";
import {
  createNode,
  exit,
  GenServer,
  link,
  monitor,
  type Pid,
  type Report,
  type RuntimeNode,
  receive,
  Supervisor,
  self,
  send,
  spawnOn,
  type ThreadOptions,
  threadSpec,
  trapExit,
} from "simurgh/runtime";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { threadName } from "#runtime";
import { eventually } from "./support.js";

const module = new URL("./fixture-tree.ts", import.meta.url);
let node: RuntimeNode;
let reports: Report[];

beforeEach(() => {
  reports = [];
  node = createNode({ onReport: (report) => void reports.push(report) });
});
afterEach(() => node.stop());

/** Runs `body` beside supervised threads 1..n and stops them after it. */
async function withThreads<T>(
  count: number,
  body: () => Promise<T>,
  options: Partial<ThreadOptions> = {},
): Promise<T> {
  return node.run(async () => {
    trapExit(true);
    const specs = Array.from({ length: count }, (_, k) =>
      threadSpec({ index: k + 1, module, args: {}, ...options }),
    );
    const started = await Supervisor.startLink(specs, { strategy: "one_for_one" });
    if (started[0] !== "ok") throw new Error(`threads did not start: ${JSON.stringify(started)}`);
    try {
      return await body();
    } finally {
      await Supervisor.stop(started[1] as Pid, "shutdown").catch(() => {});
    }
  });
}

const where = (index: number): Promise<{ node: number; creation: number; pid: Pid }> =>
  GenServer.call({ name: "echo", node: index }, "where");

/** Calls until the restarted thread answers. */
async function whereAgain(index: number): Promise<{ node: number; creation: number; pid: Pid }> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await where(index);
    } catch (error) {
      if (tries > 1000) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

describe("a worker thread as a node", () => {
  test("a thread starts under a supervisor, answers, and stops with it (R-451, R-458)", async () => {
    const seen = await withThreads(2, async () => {
      const one = await where(1);
      const two = await where(2);
      const byPid = await GenServer.call(two.pid, { some: ["data"] });
      return { one, two, byPid };
    });
    expect([seen.one.node, seen.one.creation, seen.two.node]).toEqual([1, 0, 2]);
    expect(seen.byPid).toEqual({ some: ["data"] });
    expect(String(seen.two.pid)).toBe(`<2.${seen.two.pid.id}.0>`);
  });

  test("spawnOn starts an exported function on a thread, and its exit is seen (R-454)", async () => {
    await withThreads(1, async () => {
      const pid = await spawnOn(1, module, "pong", [self(), "hello"]);
      expect(await receive((message) => message as unknown[])).toEqual(["hello", pid]);
      link(pid);
      send(pid, "end");
      expect(await receive((message) => message as unknown[])).toEqual(["EXIT", pid, "ended as notified"]);
    });
  });

  test("spawnOn a thread that is not there fails with nodedown (R-454)", async () => {
    await node.run(async () => {
      await expect(spawnOn(5, module, "pong", [])).rejects.toMatchObject({ reason: ["nodedown", 5] });
    });
  });

  /**
   * What V8 alone would let end the whole process, some of it always and some of it now and then.
   */
  const DEATHS = [
    "exit the thread",
    "eat the heap",
    "eat the heap in small bites",
    "eat the heap in turns",
    "eat memory outside the heap",
    // Only later versions can look into a thread that is busy.
    ...("getHeapStatistics" in Worker.prototype ? ["eat the heap in large bites"] : []),
  ];
  test.each(DEATHS)(
    "%s: noconnection here, a fresh thread with a new creation there (R-456, R-459, X-196)",
    async (how) => {
      await withThreads(
        2,
        async () => {
          const before = await where(1);
          const other = await where(2);
          const ref = monitor(before.pid);
          const call = GenServer.call(before.pid, how, Number.POSITIVE_INFINITY).catch(
            (error: { reason: unknown[] }) => error.reason[0],
          );
          expect(
            await receive((message) =>
              Array.isArray(message) && message[0] === "DOWN" ? message : undefined,
            ),
          ).toEqual(["DOWN", ref, "process", before.pid, "noconnection"]);
          expect(await call).toEqual(["nodedown", 1]);
          const after = await whereAgain(1);
          expect([after.creation, after.pid.equals(before.pid)]).toEqual([1, false]);
          // the old pid stays dead although its id may be in use again.
          await expect(GenServer.call(before.pid, "anything")).rejects.toMatchObject({
            reason: [["nodedown", 1], expect.anything()],
          });
          // The neighbour saw nothing.
          expect((await where(2)).pid.equals(other.pid)).toBe(true);
        },
        { resourceLimits: { maxOldGenerationSizeMb: how === "eat the heap in large bites" ? 128 : 32 } },
      );
    },
    // Two threads that start, and one that starts again and fills a heap.
    120_000,
  );

  test("an endless loop ends its thread by the watchdog, and a new one starts (R-088, X-204)", async () => {
    await withThreads(
      1,
      async () => {
        const before = await where(1);
        let worstLag = 0;
        let last = performance.now();
        const beat = setInterval(() => {
          const now = performance.now();
          worstLag = Math.max(worstLag, now - last - 10);
          last = now;
        }, 10);
        const failed = await GenServer.call(before.pid, "spin", 60_000).catch(
          (error: { reason: unknown[] }) => error.reason[0],
        );
        clearInterval(beat);
        expect(failed).toEqual(["nodedown", 1]);
        expect(worstLag).toBeLessThan(400);
        expect((await whereAgain(1)).creation).toBe(1);
      },
      { stallMs: 400 },
    );
    expect(
      reports.some((report) => report.kind === "notice" && report.text.includes("no sign of life")),
    ).toBe(true);
  });

  test("killing the process that stands for a thread ends the thread (R-457)", async () => {
    await withThreads(1, async () => {
      const before = await where(1);
      const ref = monitor(before.pid);
      exit(node.whereis(threadName(1)) as Pid, "kill");
      expect((await receive((message) => message as unknown[]))[4]).toBe("noconnection");
      expect((await whereAgain(1)).creation).toBe(1);
      expect(ref).toBeDefined();
    });
  });

  test("a tree that cannot start is the start error of its supervisor (R-211)", async () => {
    await node.run(async () => {
      trapExit(true);
      const started = await Supervisor.startLink([threadSpec({ index: 1, module, args: { fail: true } })], {
        strategy: "one_for_one",
      });
      expect(started[0]).toBe("error");
      const [, [kind, [, id, [what, index, error]]]] = started as unknown as [
        string,
        [string, [string, string, [string, number, Error]]],
      ];
      expect([kind, id, what, index]).toEqual(["shutdown", threadName(1), "thread_failed", 1]);
      expect(error.message).toContain("this tree cannot start");
    });
  });

  test("two threads reach each other without the main thread in between (R-452)", async () => {
    await withThreads(2, async () => {
      const two = await where(2);
      const pid = await spawnOn(1, new URL("./fixture-relay.ts", import.meta.url), "relay", [
        two.pid,
        self(),
      ]);
      expect(await receive((message) => message as unknown[])).toEqual(["relayed", "through thread 1", pid]);
    });
  });

  test("a stopped runtime leaves no thread and no handle behind (X-068, R-096)", async () => {
    await withThreads(1, () => where(1));
    await node.stop();
    await eventually(
      () => process.getActiveResourcesInfo().every((name) => name !== "MessagePort" && name !== "Worker"),
      "no port and no worker is left",
    );
  });
});
