import {
  Application,
  type ApplicationSpec,
  createNode,
  defineApplication,
  exit,
  GenServer,
  type Pid,
  type RuntimeNode,
  runApplications,
  Supervisor,
} from "simurgh/runtime";
import { afterEach, describe, expect, test, vi } from "vitest";
import { inLab, reasonOf } from "../support.js";

/** An application that writes down what happens to it. */
function recorded(
  name: string,
  log: string[],
  dependencies: readonly ApplicationSpec[] = [],
): ApplicationSpec {
  const worker = {
    init: () => {
      log.push(`${name} up`);
      return ["ok", 0] as const;
    },
    terminate: () => void log.push(`${name} down`),
  };
  return defineApplication<string>({
    name,
    dependencies,
    args: `args of ${name}`,
    async start(_type, args) {
      const trapping = {
        ...worker,
        init: async () => {
          const { trapExit } = await import("simurgh/runtime");
          trapExit(true);
          return worker.init();
        },
      };
      const started = await Supervisor.startLink(
        [{ id: "w", start: [GenServer.startLink as never, [trapping]] }],
        {
          strategy: "one_for_one",
        },
      );
      return started[0] === "ok" && started !== "ignore" ? ["ok", started[1], `state of ${args}`] : started;
    },
    prepStop(state) {
      log.push(`${name} prepStop(${state})`);
      return "prepared";
    },
    stop: (state) => void log.push(`${name} stop(${state})`),
  });
}

describe("applications", () => {
  test("applications start after their dependencies, and stop in reverse (R-266)", () =>
    inLab(async () => {
      const log: string[] = [];
      const db = recorded("db", log);
      const shop = recorded("shop", log, [db]);
      expect(await Application.start(shop)).toEqual(["error", ["not_started", "db"]]);
      expect(await Application.ensureAllStarted(shop)).toEqual(["ok", ["db", "shop"]]);
      expect(await Application.ensureAllStarted(shop)).toEqual(["ok", []]);
      expect(await Application.start(shop)).toEqual(["error", ["already_started", "shop"]]);
      expect(await Application.whichApplications()).toEqual(["shop", "db"]);
      await Application.stopAll();
      expect(log).toEqual([
        "db up",
        "shop up",
        "shop prepStop(state of args of shop)",
        "shop down",
        "shop stop(prepared)",
        "db prepStop(state of args of db)",
        "db down",
        "db stop(prepared)",
      ]);
      expect(await Application.stop("db")).toEqual(["error", ["not_started", "db"]]);
    }));

  test.each([["permanent"], ["transient"], ["temporary"]] as const)(
    "R-266 the root of a %s application ends: its type decides for the others",
    (type) =>
      inLab(async ({ of }) => {
        const log: string[] = [];
        await Application.start(recorded("other", log));
        await Application.start(recorded("mine", log), type);
        const root = (await Application.rootSupervisor("mine")) as Pid;
        const ended = reasonOf(root);
        exit(root, "kill");
        await ended;
        const left = await Application.whichApplications();
        expect(left).toEqual(type === "temporary" ? ["other"] : []);
        expect(log).toContain("mine stop(state of args of mine)");
        expect(of("notice").map(({ text }) => text)).toContainEqual(
          expect.stringContaining(`application mine (${type}) has ended`),
        );
      }),
  );

  test("a transient application whose root ends normally leaves the others alone (R-266)", () =>
    inLab(async () => {
      const log: string[] = [];
      await Application.start(recorded("other", log));
      await Application.start(recorded("mine", log), "transient");
      const root = (await Application.rootSupervisor("mine")) as Pid;
      await Supervisor.stop(root, "shutdown");
      expect(await Application.whichApplications()).toEqual(["other"]);
    }));

  test("a start that fails is an error, and wrong specs and cycles are refused (R-266)", () =>
    inLab(async () => {
      const failing = (start: () => unknown): ApplicationSpec => ({ name: "x", start: start as never });
      expect(await Application.start(failing(() => ["error", "no disk"]))).toEqual(["error", "no disk"]);
      expect(await Application.start(failing(() => "what"))).toEqual([
        "error",
        ["bad_return", ["x", "start", "what"]],
      ]);
      expect(await Application.start(failing(() => exit("boom")))).toEqual(["error", "boom"]);
      await expect(Application.start({ name: "" } as never)).rejects.toThrow("an application is { name");
      await expect(
        Application.start(
          failing(() => 0),
          "forever" as never,
        ),
      ).rejects.toThrow('"permanent"');
      const a: { name: string; start(): never; dependencies: ApplicationSpec[] } = {
        name: "a",
        start: () => exit("x"),
        dependencies: [],
      };
      a.dependencies.push(a as ApplicationSpec);
      await expect(Application.ensureAllStarted(a as ApplicationSpec)).rejects.toThrow("in a circle: a > a");
    }));
});

describe("a program of applications", () => {
  const before = { term: process.listeners("SIGTERM"), int: process.listeners("SIGINT") };
  let node: RuntimeNode;
  afterEach(() => node.stop());
  /** What a signal would do, without ending the test's own program. */
  const signal = (name: "SIGTERM" | "SIGINT"): void => {
    for (const listener of process.listeners(name)) {
      if (!before.term.includes(listener) && !before.int.includes(listener)) listener(name);
    }
  };

  test("SIGTERM stops the applications in reverse order, then the program ends with 0 (R-267)", async () => {
    node = createNode({ onReport() {} });
    const log: string[] = [];
    const exits: number[] = [];
    const db = recorded("db", log);
    await runApplications(node, [recorded("shop", log, [db])], {
      exitProgram: (code) => void exits.push(code),
    });
    signal("SIGTERM");
    await vi.waitFor(() => expect(exits).toEqual([0]));
    expect(log.filter((line) => line.endsWith("down"))).toEqual(["shop down", "db down"]);
    expect(process.listeners("SIGTERM")).toEqual(before.term);
  });

  const stuck: ApplicationSpec = {
    name: "stuck",
    start: () => Supervisor.startLink([], { strategy: "one_for_one" }),
    prepStop: () => new Promise(() => {}),
  };

  test("a second signal ends it with 1 at once (R-267)", async () => {
    node = createNode({ onReport() {} });
    const exits: number[] = [];
    await runApplications(node, [stuck], { exitProgram: (code) => void exits.push(code) });
    signal("SIGINT");
    expect(exits).toEqual([]);
    signal("SIGINT");
    expect(exits).toEqual([1]);
  });

  test("one that does not stop within the deadline ends the program with 1 (R-267)", async () => {
    node = createNode({ onReport() {} });
    const exits: number[] = [];
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    await runApplications(node, [stuck], { deadlineMs: 20, exitProgram: (code) => void exits.push(code) });
    signal("SIGTERM");
    await vi.waitFor(() => expect(exits).toEqual([1]));
    expect(error).toHaveBeenCalledWith("[simurgh] the applications did not stop within 20 ms");
    error.mockRestore();
  });

  test("the end of a permanent application ends the program with 1 (R-267)", async () => {
    node = createNode({ onReport() {} });
    const exits: number[] = [];
    const log: string[] = [];
    await runApplications(node, [recorded("db", log)], { exitProgram: (code) => void exits.push(code) });
    const root = (await node.run(() => Application.rootSupervisor("db"))) as Pid;
    node.exit(root, "kill");
    await vi.waitFor(() => expect(exits).toEqual([1]));
    const failing: ApplicationSpec = { name: "x", start: () => ["error", "no disk"] };
    await expect(runApplications(node, [failing])).rejects.toThrow(
      'the application x did not start: "no disk"',
    );
  });
});
