import {
  type ChildSpec,
  DynamicSupervisor,
  type DynamicSupervisorOptions,
  exit,
  GenServer,
  type GenServerModule,
  isAlive,
  monitor,
  type Pid,
  receive,
  type StartResult,
  sleep,
  spawnLink,
  trapExit,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { inLab, next, nothing, reasonOf } from "../support.js";

const worker: GenServerModule = {
  name: "worker",
  init: (arg: { trap?: boolean; slow?: number } = {}) => {
    if (arg.trap) trapExit(true);
    return ["ok", arg];
  },
  handleCast: (reason, state) => ["stop", reason, state],
  terminate: (_reason, { slow }) => (slow === undefined ? undefined : sleep(slow)),
};

const start = (arg: unknown) => GenServer.startLink(worker, arg);
const child = (options: Partial<ChildSpec> = {}, arg: object = {}): ChildSpec => ({
  start: [start, [arg]],
  ...options,
});

function scripted(...results: unknown[]): ChildSpec["start"] {
  let call = 0;
  const run = (): unknown => {
    const result = results[Math.min(call, results.length - 1)];
    call += 1;
    return typeof result === "function" ? result() : result;
  };
  return [run, []];
}

async function supervisor(options: DynamicSupervisorOptions = {}): Promise<Pid> {
  trapExit(true);
  return okPid(await DynamicSupervisor.startLink({ maxRestarts: 100, ...options }));
}

function okPid(result: StartResult | readonly unknown[]): Pid {
  expect(result[0]).toBe("ok");
  return result[1] as Pid;
}

const counts = async (sup: Pid) => {
  const { specs, active, supervisors, workers } = await DynamicSupervisor.countChildren(sup);
  return [specs, active, supervisors, workers];
};

async function crash(sup: Pid, pid: Pid, reason: unknown = "boom"): Promise<void> {
  exit(pid, reason);
  await DynamicSupervisor.countChildren(sup).catch(() => {});
}

describe("starting children", () => {
  test("what a start function gives is passed on, and ignore keeps nothing (R-262, X-149)", () =>
    inLab(async () => {
      const sup = await supervisor();
      expect(await DynamicSupervisor.startChild(sup, child())).toEqual(["ok", expect.anything()]);
      const extra = () => ["ok", spawnLink(() => sleep(Number.POSITIVE_INFINITY)), "extra"];
      expect(await DynamicSupervisor.startChild(sup, { start: [extra, []] })).toEqual([
        "ok",
        expect.anything(),
        "extra",
      ]);
      expect(await DynamicSupervisor.startChild(sup, { start: scripted("ignore") })).toBe("ignore");
      expect(await DynamicSupervisor.startChild(sup, { start: scripted(["error", "found"]) })).toEqual([
        "error",
        "found",
      ]);
      expect(await DynamicSupervisor.startChild(sup, { start: scripted("unknown") })).toEqual([
        "error",
        "unknown",
      ]);
      expect(await counts(sup)).toEqual([2, 2, 0, 2]);
    }));

  test("a start function that throws, fails or exits gives the three error shapes (R-262, X-150)", () =>
    inLab(async () => {
      const sup = await supervisor();
      const throwing = (thrown: unknown) => () => {
        throw thrown;
      };
      const error = new Error("bad");
      expect(await DynamicSupervisor.startChild(sup, { start: scripted(throwing("ball")) })).toEqual([
        "error",
        [["nocatch", "ball"], expect.any(String)],
      ]);
      expect(await DynamicSupervisor.startChild(sup, { start: scripted(throwing(error)) })).toEqual([
        "error",
        [error, expect.any(String)],
      ]);
      expect(await DynamicSupervisor.startChild(sup, { start: scripted(() => exit("gone")) })).toEqual([
        "error",
        "gone",
      ]);
    }));

  test("maxChildren is a limit, and a restarting child counts (R-260, R-262, X-151)", () =>
    inLab(async () => {
      const none = await supervisor({ maxChildren: 0 });
      expect(await DynamicSupervisor.startChild(none, child())).toEqual(["error", "max_children"]);
      const one = await supervisor({ maxChildren: 1, maxRestarts: 1_000_000 });
      const pid = okPid(
        await DynamicSupervisor.startChild(one, { start: scripted(() => start({}), ["error", "broken"]) }),
      );
      await crash(one, pid);
      expect(await DynamicSupervisor.startChild(one, child())).toEqual(["error", "max_children"]);
    }));

  test("extra arguments come before the child's, at a restart too (R-260, X-154)", () =>
    inLab(async () => {
      const seen: unknown[] = [];
      const begin = (...args: unknown[]) => {
        seen.push(args);
        return start({});
      };
      const sup = await supervisor({ extraArguments: ["x", 1] });
      const pid = okPid(await DynamicSupervisor.startChild(sup, { start: [begin, ["own"]] }));
      await crash(sup, pid);
      expect(seen).toEqual([
        ["x", 1, "own"],
        ["x", 1, "own"],
      ]);
    }));

  const REFUSED_SPECS = [
    [{ start: [start, []], significant: true }, ["invalid_significant", true]],
    [{}, ["invalid_child_spec", {}]],
    [{ start: [start, []], shutdown: -1 }, ["invalid_shutdown", -1]],
    [{ id: 1 }, "missing_start"],
  ] as const;
  test.each(REFUSED_SPECS)(
    "the spec %j is refused in the caller, without a supervisor (R-261, X-160)",
    (spec, fault) =>
      inLab(async () => {
        const dead = spawnLink(() => {});
        await reasonOf(dead);
        expect(await DynamicSupervisor.startChild(dead, spec as unknown as ChildSpec)).toEqual([
          "error",
          fault,
        ]);
      }),
  );

  test("ids need not be unique (R-261)", () =>
    inLab(async () => {
      const sup = await supervisor();
      await DynamicSupervisor.startChild(sup, child({ id: "same" }));
      await DynamicSupervisor.startChild(sup, child({ id: "same" }));
      expect(await counts(sup)).toEqual([2, 2, 0, 2]);
      expect((await DynamicSupervisor.whichChildren(sup)).map(({ id }) => id)).toEqual([
        undefined,
        undefined,
      ]);
    }));

  test.each([
    [{ maxChildren: -1 }, ["invalid_max_children", -1]],
    [{ maxRestarts: -1 }, ["invalid_intensity", -1]],
    [{ maxSeconds: 0 }, ["invalid_period", 0]],
    [{ extraArguments: 3 }, ["invalid_extra_arguments", 3]],
    [{ strategy: "one_for_all" }, ["invalid_strategy", "one_for_all"]],
  ])("R-260 the options %j are a start error", (options, fault) =>
    inLab(async () => {
      trapExit(true);
      expect(await DynamicSupervisor.startLink(options as DynamicSupervisorOptions)).toEqual([
        "error",
        ["supervisor_data", fault],
      ]);
    }),
  );

  test("a taken name gives already_started, and the caller is not linked to the holder (X-161)", () =>
    inLab(async () => {
      const sup = await supervisor({ name: "dyn" });
      expect(await DynamicSupervisor.startLink({ name: "dyn" })).toEqual(["error", ["already_started", sup]]);
      expect(await nothing()).toBeUndefined();
    }));
});

describe("the end of children", () => {
  const RESTART_MATRIX = [
    ["permanent", "normal", 1],
    ["permanent", "shutdown", 1],
    ["permanent", "boom", 1],
    ["transient", "normal", 0],
    ["transient", "shutdown", 0],
    ["transient", ["shutdown", 1], 0],
    ["transient", "boom", 1],
    ["temporary", "normal", 0],
    ["temporary", "boom", 0],
  ] as const;
  test.each(RESTART_MATRIX)(
    "a %s child that ends with %j leaves %i (R-220, R-264, X-152)",
    (restart, reason, left) =>
      inLab(async () => {
        const sup = await supervisor();
        const pid = okPid(await DynamicSupervisor.startChild(sup, child({ restart })));
        GenServer.cast(pid, reason);
        await reasonOf(pid);
        expect(await counts(sup)).toEqual([left, left, 0, left]);
        const [info] = await DynamicSupervisor.whichChildren(sup);
        expect(info?.pid === pid).toBe(false);
      }),
  );

  test("a restart may give a pid, ignore, an error or nonsense (R-226, X-153)", () =>
    inLab(async () => {
      const sup = await supervisor({ maxRestarts: 1_000_000 });
      const endings = [() => start({}), "ignore", ["error", "e"], "unknown"];
      for (const ending of endings) {
        const pid = okPid(
          await DynamicSupervisor.startChild(sup, { start: scripted(() => start({}), ending) }),
        );
        await crash(sup, pid);
      }
      const living = okPid(await DynamicSupervisor.startChild(sup, child()));
      expect(await counts(sup)).toEqual([4, 2, 0, 4]);
      const states = (await DynamicSupervisor.whichChildren(sup)).map(({ pid }) => pid);
      expect(states.filter((pid) => pid === "restarting").length).toBe(2);
      expect(states).toContainEqual(living);
    }));

  test("a restart that fails twice and then succeeds keeps the supervisor alive (R-222, X-155)", () =>
    inLab(async () => {
      const sup = await supervisor({ maxRestarts: 3 });
      const failing = scripted(
        () => start({}),
        ["error", 1],
        ["error", 2],
        () => start({}),
      );
      const pid = okPid(await DynamicSupervisor.startChild(sup, { start: failing }));
      exit(pid, "boom");
      await expect.poll(() => counts(sup)).toEqual([1, 1, 0, 1]);
      expect(isAlive(sup)).toBe(true);
    }));

  test("a restart that always fails ends the supervisor with shutdown (R-223, X-156)", () =>
    inLab(async ({ of }) => {
      const sup = await supervisor({ maxRestarts: 10 });
      const pid = okPid(
        await DynamicSupervisor.startChild(sup, { start: scripted(() => start({}), ["error", "broken"]) }),
      );
      exit(pid, "boom");
      expect(await next()).toEqual(["EXIT", sup, "shutdown"]);
      expect(of("supervisor").filter((r) => r.errorContext === "start_error").length).toBe(10);
    }));
});

describe("stopping", () => {
  test("all children are stopped at once, each by its own rule (R-213, R-264, X-157)", () =>
    inLab(async () => {
      const sup = await supervisor();
      const add = async (options: Partial<ChildSpec>, arg: object = {}) =>
        monitor(okPid(await DynamicSupervisor.startChild(sup, child(options, arg))));
      const brutal = await add({ shutdown: "brutal_kill" });
      const patient = await add({ shutdown: "infinity" }, { trap: true, slow: 400 });
      const timed = await add({ shutdown: 5000 }, { trap: true, slow: 400 });
      const overrun = await add({ shutdown: 1 }, { trap: true, slow: 60_000 });
      const from = performance.now();
      await DynamicSupervisor.stop(sup);
      // One after the other would take the sum.
      expect(performance.now() - from).toBeLessThan(780);
      const reasons = new Map<unknown, unknown>();
      for (let i = 0; i < 5; i += 1) {
        const message = (await next()) as unknown[];
        if (message[0] === "DOWN") reasons.set(message[1], message[4]);
      }
      expect([brutal, patient, timed, overrun].map((ref) => reasons.get(ref))).toEqual([
        "killed",
        "shutdown",
        "shutdown",
        "killed",
      ]);
    }));

  test("a permanent child that exits normally on stop is reported (R-215, X-158)", () =>
    inLab(async ({ of }) => {
      const sup = await supervisor();
      const obedient = (): StartResult => [
        "ok",
        spawnLink(async () => {
          trapExit(true);
          await receive((m) => m);
        }),
      ];
      const pid = okPid(await DynamicSupervisor.startChild(sup, { start: [obedient, []] }));
      await sleep(1);
      const ref = monitor(pid);
      await DynamicSupervisor.stop(sup);
      expect(await next()).toEqual(["DOWN", ref, "process", pid, "normal"]);
      expect(of("supervisor")).toMatchObject([{ errorContext: "shutdown_error", reason: "normal" }]);
    }));

  test("terminateChild stops by pid, once, and a restarting child goes by its old pid (R-263, X-159)", () =>
    inLab(async () => {
      const sup = await supervisor({ maxRestarts: 1_000_000 });
      for (const [shutdown, reason] of [
        ["brutal_kill", "killed"],
        [1000, "shutdown"],
      ] as const) {
        const pid = okPid(await DynamicSupervisor.startChild(sup, child({ shutdown })));
        const ref = monitor(pid);
        expect(await DynamicSupervisor.terminateChild(sup, pid)).toBe("ok");
        expect(await next()).toEqual(["DOWN", ref, "process", pid, reason]);
        expect(await DynamicSupervisor.terminateChild(sup, pid)).toEqual(["error", "not_found"]);
      }
      const pid = okPid(
        await DynamicSupervisor.startChild(sup, { start: scripted(() => start({}), ["error", "broken"]) }),
      );
      await crash(sup, pid);
      expect(await counts(sup)).toEqual([1, 0, 0, 1]);
      expect(await DynamicSupervisor.terminateChild(sup, pid)).toBe("ok");
      expect(await counts(sup)).toEqual([0, 0, 0, 0]);
    }));
});
