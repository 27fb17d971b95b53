/** What the runtime tells of itself, and what it does when the fault is its own. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  createNode,
  exit,
  GenServer,
  nodeStatistics,
  type Pid,
  processInfo,
  register,
  Supervisor,
  self,
  send,
  setLabel,
  sleep,
  spawn,
  spawnLink,
  systemMonitor,
  top,
  trapExit,
  tree,
  yieldNow,
} from "simurgh/runtime";
import { describe, expect, test, vi } from "vitest";
import { idle, inLab, lab, next, reasonOf } from "../support.js";

/** Runs a program with the runtime in it; its errors may end it. */
function program(code: string): { status: number | null; out: string; err: string } {
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const result = spawnSync(
    process.execPath,
    [
      "--import",
      "./scripts/typescript-loader.mjs",
      "--conditions",
      "simurgh-source",
      "--input-type=module",
      "-e",
      code,
    ],
    { cwd: root, encoding: "utf8", timeout: 15_000 },
  );
  return { status: result.status, out: result.stdout, err: result.stderr };
}

describe("reports", () => {
  test("a crash report has call, pid, name, reason with stack, and ancestors (R-401, R-017)", () =>
    inLab(async ({ of }) => {
      const me = self();
      function worker(): never {
        register("the_worker", self());
        setLabel({ room: 7 });
        send(self(), "unread");
        throw new TypeError("broken");
      }
      const pid = spawn(worker);
      await reasonOf(pid);
      const [report] = of("crash");
      expect(report).toMatchObject({
        pid,
        name: "the_worker",
        label: { room: 7 },
        initialCall: "worker",
        ancestors: [me],
        queueLength: 1,
      });
      expect(report?.reason).toEqual([new TypeError("broken"), expect.stringContaining("worker")]);
    }));

  test("neither the normal class nor a kill from outside is reported (R-401, R-030)", () =>
    inLab(async ({ of }) => {
      for (const reason of ["normal", "shutdown", ["shutdown", "x"]])
        await reasonOf(spawn(() => exit(reason)));
      const victim = idle();
      const end = reasonOf(victim);
      exit(victim, "kill");
      await end;
      expect(of("crash")).toEqual([]);
    }));

  test("reports of one kind are limited per second, and the rest are counted (R-403)", async () => {
    const { node, reports } = lab({ reportsPerSecond: 5 });
    await node.run(async () => {
      for (let n = 0; n < 30; n += 1) await reasonOf(spawn(() => exit(["failed", n])));
      expect(reports.filter(({ kind }) => kind === "crash")).toHaveLength(5);
      expect(nodeStatistics().suppressedReports).toBe(25);
      await vi.waitFor(
        () => expect(reports).toContainEqual({ kind: "suppressed", of: "crash", level: "error", count: 25 }),
        5000,
      );
      await reasonOf(spawn(() => exit("again")));
      expect(reports.filter(({ kind }) => kind === "crash")).toHaveLength(6);
    });
  });

  test("a sink that throws does not touch a process (R-403)", async () => {
    const node = createNode({
      onReport() {
        throw new Error("the disk is full");
      },
    });
    try {
      await node.run(async () => {
        expect(await reasonOf(spawn(() => exit("boom")))).toBe("boom");
      });
    } finally {
      await node.stop();
    }
  });

  test("what is reported is cut to a size one can log, and state passes formatStatus (R-403)", () =>
    inLab(async ({ of }) => {
      const huge = {
        list: Array.from({ length: 1000 }, (_, n) => n),
        text: "x".repeat(100_000),
        deep: nest(50),
      };
      const crash = async (format: boolean): Promise<void> => {
        const started = await GenServer.start({
          init: () => ["ok", huge],
          handleCast: () => exit("boom"),
          ...(format ? { formatStatus: () => "secret" } : {}),
        });
        const end = reasonOf(started[1] as Pid);
        GenServer.cast(started[1] as Pid, "x");
        await end;
      };
      await crash(false);
      await crash(true);
      const [cut, formatted] = of("gen_server");
      const state = cut?.state as { list: unknown[]; text: string };
      expect(state.list).toHaveLength(51);
      expect(state.list.at(-1)).toBe("… 950 more");
      expect(state.text).toMatch(/^x{2000}… \(100000 characters\)$/);
      expect(JSON.stringify(cut).length).toBeLessThan(10_000);
      expect(formatted?.state).toBe("secret");
    }));

  const nest = (depth: number): unknown => (depth === 0 ? "bottom" : { inner: nest(depth - 1) });
});

describe("errors without an owner", () => {
  test("a rejection outside of processes is logged and the program continues (X-061)", () => {
    const { status, out, err } = program(`
      import { createNode } from "simurgh/runtime";
      createNode();
      void Promise.reject(new Error("no one's"));
      setTimeout(() => { console.log("continued"); process.exit(0); }, 50);
    `);
    expect([status, out.trim()]).toEqual([0, "continued"]);
    expect(err).toContain("orphan_error");
    expect(err).toContain("no one's");
  });

  test("with the policy crash the program ends with it (X-061)", () => {
    const { status, out, err } = program(`
      import { createNode } from "simurgh/runtime";
      createNode({ onOrphanError: "crash" });
      void Promise.reject(new Error("no one's"));
      setTimeout(() => { console.log("continued"); process.exit(0); }, 50);
    `);
    expect(status).not.toBe(0);
    expect(out).toBe("");
    expect(err).toContain("no one's");
  });

  test("an error in the runtime itself ends the thread with runtime_bug (R-092)", () => {
    const { status, err } = program(`
      import { createNode, spawn } from "simurgh/runtime";
      import { Mailbox } from "./src/runtime/kernel/mailbox.ts";
      const node = createNode();
      const pid = node.spawn(() => new Promise(() => {}));
      node.run(async () => {
        Object.defineProperty(Mailbox.prototype, "length", { get() { throw new Error("broken inside"); } });
      });
      setTimeout(() => { console.log("continued"); process.exit(0); }, 500);
    `);
    expect(status).not.toBe(0);
    expect(err).toContain("runtime_bug");
    expect(err).toContain("RuntimeBug: the runtime failed: broken inside");
  });
});

describe("looking inside", () => {
  const worker = {
    init: () => ["ok", 0] as const,
    handleCall: (_: unknown, __: unknown, state: unknown) => ["reply", "ok", state] as const,
  };
  const child = (id: string) => ({
    id,
    start: [GenServer.startLink, [worker, 0, { label: `the ${id}` }]] as const,
  });

  test("tree() nests supervisors and children, as JSON (R-406)", () =>
    inLab(async () => {
      const started = await Supervisor.startLink(
        [
          child("a") as never,
          Supervisor.childSpec([child("b") as never], {
            strategy: "rest_for_one",
            id: "inner",
            name: "inner_sup",
          }),
        ],
        { strategy: "one_for_one", name: "root_sup" },
      );
      const root = started[1] as Pid;
      const a = (await Supervisor.whichChildren(root)).find(({ id }) => id === "a")?.pid as Pid;
      exit(a, "kill");
      await Supervisor.countChildren(root);
      const trees = JSON.parse(JSON.stringify(await tree()));
      expect(trees).toMatchObject([
        {
          name: "root_sup",
          pid: String(root),
          strategy: "one_for_one",
          restarts: 1,
          children: [
            { id: "a", type: "worker", label: "the a" },
            {
              id: "inner",
              type: "supervisor",
              name: "inner_sup",
              strategy: "rest_for_one",
              restarts: 0,
              children: [{ id: "b", label: "the b" }],
            },
          ],
        },
      ]);
      const again = (await Supervisor.whichChildren(root)).find(({ id }) => id === "a")?.pid as Pid;
      expect(processInfo(again, "restarts")).toBe(1);
      expect((await tree(root))[0]?.children).toHaveLength(2);
    }));

  test("processInfo counts turns, messages, running and awaiting time (R-405)", () =>
    inLab(async () => {
      const started = await GenServer.start({
        init: () => ["ok", 0],
        handleCall: async (_request, _from, state) => {
          await sleep(30);
          const end = performance.now() + 10;
          while (performance.now() < end);
          send(
            spawn(() => {}),
            "out",
          );
          return ["reply", "ok", state];
        },
      });
      const pid = started[1] as Pid;
      await GenServer.call(pid, "x");
      await yieldNow();
      const info = processInfo(pid);
      expect(info).toMatchObject({ messages_in: 1, messages_out: 1, bytes_out: 0, restarts: undefined });
      expect(info?.reductions).toBe(2);
      expect(info?.awaiting_time).toBeGreaterThanOrEqual(29);
      expect(info?.age).toBeGreaterThanOrEqual(39);
      expect(top(3, "time").length).toBeGreaterThan(0);
    }));

  test("systemMonitor reports long turns, long mailboxes, lag and orphan errors (R-407)", () =>
    inLab(async ({ node }) => {
      const stop = systemMonitor({
        longTurn: 60,
        longQueue: 100,
        lag: 30,
        unhandledErrors: true,
        everyMs: 20,
      });
      const flooded = idle();
      for (let n = 0; n < 101; n += 1) send(flooded, n);
      const hog = spawn(() => {
        const end = performance.now() + 120;
        while (performance.now() < end);
      });
      node.report({ kind: "orphan_error", error: new Error("lost"), pid: undefined });
      const seen = new Map<string, unknown[]>();
      while (seen.size < 4) {
        const message = (await next(5000)) as readonly [string, Pid | undefined, string, unknown];
        seen.set(message[2], [message[1], message[3]]);
      }
      expect(seen.get("long_turn")).toMatchObject([hog, { callback: "start" }]);
      expect(seen.get("long_queue")).toEqual([flooded, { length: 101 }]);
      expect(seen.get("lag")).toEqual([undefined, { ms: expect.any(Number) }]);
      expect(seen.get("orphan_error")).toMatchObject([undefined, { error: { message: "lost" } }]);
      stop();
      const before = nodeStatistics().droppedSends;
      send(hog, "no one there");
      expect(nodeStatistics().droppedSends).toBe(before + 1);
      expect(() => systemMonitor({ lag: -1 })).toThrow("lag must be a positive number");
    }));

  test("a monitor ends with the process that asked for it (R-407)", () =>
    inLab(async ({ node }) => {
      const timers = node.timers.size;
      const watcher = spawnLink(async () => {
        trapExit(true);
        systemMonitor({ lag: 1 });
        await next(60_000);
      });
      await yieldNow();
      expect(node.timers.size).toBeGreaterThan(timers);
      const end = reasonOf(watcher);
      send(watcher, "done");
      await end;
      await yieldNow();
      expect(node.timers.size).toBe(timers);
    }));
});

test("a node whose reports go to stderr makes none that stderr does not show", async () => {
  const node = createNode();
  expect([node.hasListener("info"), node.hasListener("warning")]).toEqual([false, true]);
  expect([node.isLevelEnabled("info"), node.isLevelEnabled("error")]).toEqual([false, true]);
  await node.stop();
  const notified: string[] = [];
  const listening = createNode({ logLevel: "info", onReport: (report) => notified.push(report.kind) });
  expect([
    listening.hasListener("debug"),
    listening.isLevelEnabled("debug"),
    listening.isLevelEnabled("info"),
  ]).toEqual([true, false, true]);
  listening.report({ kind: "notice", level: "info", text: "hello", pid: undefined, metadata: {} });
  expect(notified).toEqual(["notice"]);
  await listening.stop();
});
