import {
  type ChildSpec,
  exit,
  GenServer,
  type GenServerModule,
  isAlive,
  monitor,
  type Pid,
  receive,
  type StartResult,
  Supervisor,
  type SupervisorOptions,
  self,
  send,
  sleep,
  spawnLink,
  trapExit,
  unlink,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { inLab, type Lab, next, nothing, reasonOf, settle } from "../support.js";

/** A server that tells `log` when it starts and ends, and does what it is notified. */
const worker: GenServerModule = {
  name: "worker",
  init: (arg: { id?: unknown; trap?: boolean; slow?: number; log?: unknown[] }) => {
    if (arg.trap) trapExit(true);
    arg.log?.push(`+${String(arg.id)}`);
    return ["ok", arg];
  },
  handleCall: (request, _from, state) => ["reply", request, state],
  handleCast: (reason, state) => ["stop", reason, state],
  async terminate(_reason, { slow, log, id }) {
    if (slow !== undefined) await sleep(slow);
    log?.push(`-${String(id)}`);
  },
};

const start = (arg: unknown) => GenServer.startLink(worker, arg);
const child = (id: unknown, options: Partial<ChildSpec> = {}, arg: object = {}): ChildSpec => ({
  id,
  start: [start, [{ id, ...arg }]],
  ...options,
});

/** A start function that gives the values of `results` one after another, the last one forever. */
function scripted(...results: unknown[]): ChildSpec["start"] {
  let call = 0;
  const run = (): unknown => {
    const result = results[Math.min(call, results.length - 1)];
    call += 1;
    return typeof result === "function" ? result() : result;
  };
  return [run, []];
}

async function supervisor(children: ChildSpec[], options: Partial<SupervisorOptions> = {}): Promise<Pid> {
  trapExit(true);
  return okPid(await Supervisor.startLink(children, { strategy: "one_for_one", intensity: 100, ...options }));
}

function okPid(result: StartResult): Pid {
  expect(result[0]).toBe("ok");
  return (result as readonly ["ok", Pid])[1];
}

async function pids(sup: Pid): Promise<Record<string, Pid | undefined | "restarting">> {
  return Object.fromEntries((await Supervisor.whichChildren(sup)).map(({ id, pid }) => [String(id), pid]));
}

async function pidOf(sup: Pid, id: string): Promise<Pid> {
  const pid = (await pids(sup))[id];
  expect(pid, `${id} runs`).toBeDefined();
  return pid as Pid;
}

/** Ends a child and waits until its supervisor has dealt with it. */
async function crash(sup: Pid, id: string, reason: unknown = "boom"): Promise<Pid> {
  const pid = await pidOf(sup, id);
  exit(pid, reason);
  await Supervisor.countChildren(sup).catch(() => {});
  return pid;
}

const counts = async (sup: Pid) => {
  const { specs, active, supervisors, workers } = await Supervisor.countChildren(sup);
  return [specs, active, supervisors, workers];
};

describe("starting", () => {
  test("children start in order, each awaited, before startLink returns (R-210)", () =>
    inLab(async () => {
      const log: unknown[] = [];
      const slow = async (id: string) => {
        await sleep(5);
        return start({ id, log });
      };
      const sup = await supervisor([{ id: "a", start: [slow, ["a"]] }, child("b", {}, { log })]);
      expect(log).toEqual(["+a", "+b"]);
      expect(await counts(sup)).toEqual([2, 2, 0, 2]);
    }));

  test("a child that fails at start stops those before it (R-211, X-115)", () =>
    inLab(async ({ of }: Lab) => {
      trapExit(true);
      const log: unknown[] = [];
      const result = await Supervisor.startLink(
        [
          child("a", {}, { log, trap: true }),
          { id: "b", start: scripted(["error", "broken"]) },
          child("c", {}, { log }),
        ],
        { strategy: "one_for_one" },
      );
      expect(result).toEqual(["error", ["shutdown", ["failed_to_start_child", "b", "broken"]]]);
      expect(log).toEqual(["+a", "-a"]);
      expect(of("supervisor").map((r) => [r.errorContext, r.reason])).toEqual([["start_error", "broken"]]);
      expect(await nothing(), "no EXIT is left behind").toBeUndefined();
    }));

  test("a child that ignores keeps its spec (R-212, X-109)", () =>
    inLab(async () => {
      const sup = await supervisor([{ id: "a", start: scripted("ignore") }, child("b")]);
      expect(await counts(sup)).toEqual([2, 1, 0, 2]);
      expect(await Supervisor.startChild(sup, { id: "c", start: scripted("ignore") })).toEqual([
        "ok",
        undefined,
      ]);
      expect((await pids(sup)).c).toBeUndefined();
      expect(await counts(sup)).toEqual([3, 1, 0, 3]);
    }));

  test("a temporary child that ignores is not kept (R-212, X-110)", () =>
    inLab(async () => {
      const spec: ChildSpec = { id: "a", restart: "temporary", start: scripted("ignore") };
      const sup = await supervisor([spec]);
      expect(await counts(sup)).toEqual([0, 0, 0, 0]);
      expect(await Supervisor.startChild(sup, spec)).toEqual(["ok", undefined]);
      expect(await counts(sup)).toEqual([0, 0, 0, 0]);
    }));

  test("start functions run as the supervisor: their links are its links (R-205)", () =>
    inLab(async () => {
      let starter: Pid | undefined;
      const sup = await supervisor([
        {
          id: "a",
          start: scripted(() => {
            starter = self();
            return ["ok", spawnLink(() => sleep(Number.POSITIVE_INFINITY))];
          }),
        },
      ]);
      expect(starter?.equals(sup)).toBe(true);
    }));

  test.each([
    ["an unknown value", () => "what", "what"],
    ["an exit", () => exit("gone"), "gone"],
    [
      "a thrown value",
      () => {
        throw "ball";
      },
      [["nocatch", "ball"], expect.any(String)],
    ],
    [
      "an error",
      () => {
        throw new TypeError("bad");
      },
      [expect.any(TypeError), expect.any(String)],
    ],
  ])("R-205 %s from a start function counts as an error", (_title, run, reason) =>
    inLab(async () => {
      const sup = await supervisor([]);
      const result = await Supervisor.startChild(sup, { id: "a", start: [run, []] });
      expect(result).toMatchObject(["error", [reason, { id: "a" }]]);
    }),
  );
});

describe("specs and flags", () => {
  test("getChildspec shows every default (R-201, X-111)", () =>
    inLab(async () => {
      const sup = await supervisor([child("w"), child("s", { type: "supervisor" })]);
      expect(await Supervisor.getChildspec(sup, "w")).toMatchObject([
        "ok",
        {
          id: "w",
          restart: "permanent",
          shutdown: 5000,
          type: "worker",
          significant: false,
          modules: ["start"],
        },
      ]);
      expect(await Supervisor.getChildspec(sup, "s")).toMatchObject(["ok", { shutdown: "infinity" }]);
    }));

  const fn = () => "ignore";
  test.each([
    [{ start: [fn, []] }, "missing_id"],
    [{ id: 1 }, "missing_start"],
    [{ id: 1, start: "x" }, ["invalid_mfa", "x"]],
    [{ id: 1, start: [fn] }, ["invalid_mfa", [fn]]],
    [{ id: 1, start: [fn, []], restart: "often" }, ["invalid_restart_type", "often"]],
    [{ id: 1, start: [fn, []], significant: 1 }, ["invalid_significant", 1]],
    [{ id: 1, start: [fn, []], type: "boss" }, ["invalid_child_type", "boss"]],
    [{ id: 1, start: [fn, []], shutdown: -1 }, ["invalid_shutdown", -1]],
    [{ id: 1, start: [fn, []], shutdown: 1.5 }, ["invalid_shutdown", 1.5]],
    [{ id: 1, start: [fn, []], modules: 3 }, ["invalid_modules", 3]],
    ["nonsense", ["invalid_child_spec", "nonsense"]],
    [{ id: 1, start: "x", restart: "often" }, ["invalid_mfa", "x"]],
  ])("R-202 X-112 the faulty spec %j is refused at start and by startChild", (spec, fault) =>
    inLab(async () => {
      trapExit(true);
      const specs = [spec as ChildSpec];
      expect(await Supervisor.startLink(specs, { strategy: "one_for_one" })).toEqual([
        "error",
        ["start_spec", fault],
      ]);
      const sup = await supervisor([]);
      expect(await Supervisor.startChild(sup, spec as ChildSpec)).toEqual(["error", fault]);
    }),
  );

  test("two children with one id are refused, also when the id is a structure (R-202, X-112)", () =>
    inLab(async () => {
      trapExit(true);
      const result = await Supervisor.startLink([child(["room", 1]), child(["room", 1])], {
        strategy: "one_for_one",
      });
      expect(result).toEqual(["error", ["start_spec", ["duplicate_child_name", ["room", 1]]]]);
    }));

  test("significant needs an auto shutdown and a child that is not permanent (R-202, X-146)", () =>
    inLab(async () => {
      const never = await supervisor([]);
      expect(
        await Supervisor.startChild(never, child("a", { significant: true, restart: "transient" })),
      ).toEqual(["error", ["bad_combination", { autoShutdown: "never", significant: true }]]);
      const any = await supervisor([], { autoShutdown: "any_significant" });
      expect(await Supervisor.startChild(any, child("a", { significant: true }))).toEqual([
        "error",
        ["bad_combination", { restart: "permanent", significant: true }],
      ]);
    }));

  test.each([
    [{ strategy: "one_for_none" }, ["invalid_strategy", "one_for_none"]],
    [{ intensity: -1 }, ["invalid_intensity", -1]],
    [{ period: 0 }, ["invalid_period", 0]],
    [{ autoShutdown: "some" }, ["invalid_auto_shutdown", "some"]],
  ])("R-203 X-113 the flags %j are a start error", (flags, fault) =>
    inLab(async () => {
      trapExit(true);
      const options = { strategy: "one_for_one", ...flags } as SupervisorOptions;
      expect(await Supervisor.startLink([], options)).toEqual(["error", ["supervisor_data", fault]]);
    }),
  );

  test("a missing strategy is an argument error, and the defaults are 3 restarts in 5 s (R-203, X-113)", () =>
    inLab(async () => {
      trapExit(true);
      expect(() => Supervisor.startLink([], {} as SupervisorOptions)).toThrow(/needs the option strategy/);
      const sup = okPid(await Supervisor.startLink([child("a")], { strategy: "one_for_one" }));
      const ref = monitor(sup);
      for (let i = 0; i < 3; i += 1) await crash(sup, "a");
      expect(isAlive(sup), "three restarts are allowed").toBe(true);
      exit(await pidOf(sup, "a"), "boom");
      expect(
        await receive((m) => (Array.isArray(m) && m[0] === "DOWN" && ref.equals(m[1]) ? m[4] : undefined)),
      ).toBe("shutdown");
    }));

  test("a module's init may ignore, fail, or return nonsense (R-204, X-108)", () =>
    inLab(async () => {
      trapExit(true);
      expect(await Supervisor.startLink({ init: () => "ignore" })).toBe("ignore");
      expect(await Supervisor.startLink({ name: "Tree", init: () => 3 as never })).toEqual([
        "error",
        ["bad_return", ["Tree", "init", 3]],
      ]);
      expect(
        await Supervisor.startLink({
          init: () => {
            throw new RangeError("no");
          },
        }),
      ).toEqual(["error", [expect.any(RangeError), expect.any(String)]]);
      expect(
        (
          await Supervisor.startLink(
            { init: (id: string) => Supervisor.init([child(id)], { strategy: "one_for_all" }) },
            "given",
          )
        )[0],
      ).toBe("ok");
    }));
});

describe("stopping", () => {
  test("children stop one after another in reverse order of their start (R-213, X-119)", () =>
    inLab(async () => {
      const log: unknown[] = [];
      const sup = await supervisor([
        child("a", {}, { log, trap: true }),
        child("b", {}, { log, trap: true, slow: 10 }),
        child("c", {}, { log, trap: true, slow: 5 }),
      ]);
      expect(await Supervisor.stop(sup)).toBe("ok");
      expect(log.slice(3)).toEqual(["-c", "-b", "-a"]);
    }));

  test("with shutdown infinity a slow child is waited for (R-214, X-116)", () =>
    inLab(async ({ of }) => {
      const log: unknown[] = [];
      const sup = await supervisor([child("a", { shutdown: "infinity" }, { log, trap: true, slow: 60 })]);
      const ref = monitor(await pidOf(sup, "a"));
      await Supervisor.stop(sup);
      expect(log).toEqual(["+a", "-a"]);
      expect(await next()).toEqual(["DOWN", ref, "process", expect.anything(), "shutdown"]);
      expect(of("supervisor")).toEqual([]);
    }));

  test("a child that overruns its time is killed and reported (R-214, R-215, X-117)", () =>
    inLab(async ({ of }) => {
      const sup = await supervisor([child("a", { shutdown: 20 }, { trap: true, slow: 60_000 })]);
      const ref = monitor(await pidOf(sup, "a"));
      await Supervisor.stop(sup);
      expect(await next()).toEqual(["DOWN", ref, "process", expect.anything(), "killed"]);
      expect(of("supervisor")).toMatchObject([
        { errorContext: "shutdown_error", reason: "killed", offender: { id: "a" } },
      ]);
    }));

  test("brutal_kill ends a child without terminate and is no fault (R-214, R-215, X-118)", () =>
    inLab(async ({ of }) => {
      const log: unknown[] = [];
      const sup = await supervisor([child("a", { shutdown: "brutal_kill" }, { log, trap: true })]);
      const ref = monitor(await pidOf(sup, "a"));
      await Supervisor.stop(sup);
      expect(await next()).toEqual(["DOWN", ref, "process", expect.anything(), "killed"]);
      expect(log).toEqual(["+a"]);
      expect(of("supervisor")).toEqual([]);
    }));

  test("a permanent child that exits normally on stop is a shutdown error (R-215)", () =>
    inLab(async ({ of }) => {
      const obedient = (): StartResult => [
        "ok",
        spawnLink(async () => {
          trapExit(true);
          await receive((m) => m);
        }),
      ];
      const sup = await supervisor([
        { id: "p", start: [obedient, []] },
        { id: "t", start: [obedient, []], restart: "transient" },
      ]);
      await settle();
      await Supervisor.stop(sup);
      expect(of("supervisor").map((r) => [r.offender.id, r.reason])).toEqual([["p", "normal"]]);
    }));

  test("a child that unlinked itself does not hang terminateChild or stop (R-214, X-137)", () =>
    inLab(async () => {
      const sup = await supervisor(
        ["a", "b"].map((id) => ({
          id,
          start: scripted(() => {
            const boss = self();
            return [
              "ok",
              spawnLink(async () => {
                unlink(boss);
                await sleep(Number.POSITIVE_INFINITY);
              }),
            ];
          }),
        })),
      );
      await settle();
      expect(await Supervisor.terminateChild(sup, "a")).toBe("ok");
      expect(await Supervisor.stop(sup)).toBe("ok");
    }));

  test("the parent's exit ends a supervisor with its reason, children first (R-206)", () =>
    inLab(async () => {
      const log: unknown[] = [];
      const sup = await supervisor([child("a", {}, { log, trap: true })]);
      exit(sup, "shutdown");
      expect(await next()).toEqual(["EXIT", sup, "shutdown"]);
      expect(log).toEqual(["+a", "-a"]);
    }));

  test("an EXIT of a stranger and an unknown message leave a supervisor alone (R-206, X-148)", () =>
    inLab(async ({ of }) => {
      const sup = await supervisor([child("a")]);
      const stranger = spawnLink(() => sleep(Number.POSITIVE_INFINITY));
      send(sup, ["EXIT", stranger, "boom"]);
      send(sup, "hello");
      expect(await counts(sup)).toEqual([1, 1, 0, 1]);
      expect(of("notice")).toMatchObject([{ metadata: { message: "hello" }, level: "error" }]);
    }));

  test("stop gives ok for the reason asked for (R-217)", () =>
    inLab(async () => {
      const sup = await supervisor([child("a")]);
      expect(await Supervisor.stop(sup, "shutdown")).toBe("ok");
      expect(await next()).toEqual(["EXIT", sup, "shutdown"]);
      await expect(Supervisor.stop(sup)).rejects.toMatchObject({ reason: ["noproc", expect.anything()] });
    }));

  test("10,000 children start and stop in time that grows with their number only (X-147)", () =>
    inLab(async () => {
      const run = async (n: number): Promise<number> => {
        const from = performance.now();
        const sup = await supervisor(Array.from({ length: n }, (_, i) => child(i)));
        await Supervisor.stop(sup);
        return performance.now() - from;
      };
      await run(500);
      const small = await run(1000);
      const large = await run(10_000);
      // Quadratic time would be a factor of 100.
      expect(large / small).toBeLessThan(40);
    }));
});

describe("requests", () => {
  test("startChild of a present id tells whether it runs (R-230, X-121)", () =>
    inLab(async () => {
      const sup = await supervisor([child("a")]);
      const pid = await pidOf(sup, "a");
      expect(await Supervisor.startChild(sup, child("a"))).toEqual(["error", ["already_started", pid]]);
      await Supervisor.terminateChild(sup, "a");
      expect(await Supervisor.startChild(sup, child("a"))).toEqual(["error", "already_present"]);
    }));

  test("a child that fails to start is not kept, and the error names reason and child (R-230, X-114)", () =>
    inLab(async () => {
      const sup = await supervisor([]);
      expect(
        await Supervisor.startChild(sup, { id: "a", start: scripted(["error", "broken"]) }),
      ).toMatchObject(["error", ["broken", { id: "a", restart: "permanent" }]]);
      expect(await Supervisor.whichChildren(sup)).toEqual([]);
    }));

  test("an already_started from the start function is passed bare (R-230)", () =>
    inLab(async () => {
      const sup = await supervisor([]);
      const start = scripted(["error", ["already_started", self()]]);
      expect(await Supervisor.startChild(sup, { id: "a", start })).toEqual([
        "error",
        ["already_started", self()],
      ]);
    }));

  test("extra information of a start function comes through (R-230, R-232, X-143)", () =>
    inLab(async () => {
      const sup = await supervisor([]);
      const begin = (): unknown => ["ok", spawnLink(() => sleep(Number.POSITIVE_INFINITY)), "extra"];
      const first = await Supervisor.startChild(sup, { id: "a", start: [begin, []] });
      expect(first).toEqual(["ok", expect.anything(), "extra"]);
      await Supervisor.terminateChild(sup, "a");
      expect(await Supervisor.restartChild(sup, "a")).toEqual(["ok", expect.anything(), "extra"]);
    }));

  test("the life of a child: terminate, restart, delete (R-231, R-232, R-233, X-120, X-122)", () =>
    inLab(async () => {
      const sup = await supervisor([child("a")]);
      expect(await Supervisor.deleteChild(sup, "a")).toEqual(["error", "running"]);
      expect(await Supervisor.restartChild(sup, "a")).toEqual(["error", "running"]);
      expect(await Supervisor.terminateChild(sup, "a")).toBe("ok");
      expect(await Supervisor.terminateChild(sup, "a"), "again").toBe("ok");
      expect(await Supervisor.restartChild(sup, "a")).toEqual(["ok", expect.anything()]);
      await Supervisor.terminateChild(sup, "a");
      expect(await Supervisor.deleteChild(sup, "a")).toBe("ok");
      for (const ask of [
        Supervisor.deleteChild,
        Supervisor.restartChild,
        Supervisor.terminateChild,
        Supervisor.getChildspec,
      ])
        expect(await ask(sup, "a")).toEqual(["error", "not_found"]);
    }));

  test("restartChild returns the start failure and keeps the spec (R-232)", () =>
    inLab(async () => {
      const begin = scripted(() => start({}), ["error", "broken"], "ignore");
      const sup = await supervisor([{ id: "a", start: begin }]);
      await Supervisor.terminateChild(sup, "a");
      expect(await Supervisor.restartChild(sup, "a")).toEqual(["error", "broken"]);
      expect(await counts(sup)).toEqual([1, 0, 0, 1]);
      expect(await Supervisor.restartChild(sup, "a")).toEqual(["ok", undefined]);
    }));

  test("getChildspec of an unknown child is not_found (R-234)", () =>
    inLab(async () => {
      expect(await Supervisor.getChildspec(await supervisor([]), "x")).toEqual(["error", "not_found"]);
    }));

  test("whichChildren lists the newest first, also after restarts (R-235, X-142)", () =>
    inLab(async () => {
      const sup = await supervisor([child("a"), child("b")], { strategy: "one_for_all" });
      await Supervisor.startChild(sup, child("c"));
      const ids = async () => (await Supervisor.whichChildren(sup)).map(({ id }) => id);
      expect(await ids()).toEqual(["c", "b", "a"]);
      await crash(sup, "a");
      expect(await ids()).toEqual(["c", "b", "a"]);
      expect((await Supervisor.whichChildren(sup))[0]).toEqual({
        id: "c",
        pid: expect.anything(),
        type: "worker",
        modules: ["start"],
      });
    }));

  test("countChildren tells supervisors from workers and living from dead (R-236, X-140)", () =>
    inLab(async () => {
      const nested: ChildSpec = { ...Supervisor.childSpec([], { strategy: "one_for_one" }), id: "s" };
      const sup = await supervisor([nested, child("a"), child("b")]);
      await Supervisor.terminateChild(sup, "b");
      expect(await counts(sup)).toEqual([3, 2, 1, 2]);
    }));

  test("terminateChild neither restarts nor counts (R-237)", () =>
    inLab(async () => {
      const sup = await supervisor([child("a")], { intensity: 0 });
      for (let i = 0; i < 3; i += 1) {
        await Supervisor.terminateChild(sup, "a");
        await Supervisor.restartChild(sup, "a");
      }
      await Supervisor.terminateChild(sup, "a");
      await sleep(10);
      expect(await counts(sup)).toEqual([1, 0, 0, 1]);
    }));

  test("start arguments of temporary children are not kept (R-227, X-141)", () =>
    inLab(async () => {
      const sup = await supervisor([]);
      const spec: ChildSpec = { id: "t", restart: "temporary", start: [start, [{ id: "big" }]] };
      await Supervisor.startChild(sup, spec);
      expect(await Supervisor.getChildspec(sup, "t")).toMatchObject(["ok", { start: [start, []] }]);
    }));

  test("requests wait while a child is started (R-207)", () =>
    inLab(async () => {
      const log: unknown[] = [];
      const sup = await supervisor([]);
      const slow = async () => {
        await sleep(20);
        log.push("started");
        return start({});
      };
      const adding = Supervisor.startChild(sup, { id: "a", start: [slow, []] });
      const counting = Supervisor.countChildren(sup).then((count) => log.push(count.active));
      await Promise.all([adding, counting]);
      expect(log).toEqual(["started", 1]);
    }));
});

describe("restarting", () => {
  const PERMANENT_ENDS = ["normal", "shutdown", ["shutdown", 1], "boom"] as const;
  test.each(PERMANENT_ENDS)(
    "a permanent child that ends with %j is restarted and reported (R-220, X-123)",
    (reason) =>
      inLab(async ({ of }) => {
        const sup = await supervisor([child("a")]);
        const before = await pidOf(sup, "a");
        GenServer.cast(before, reason);
        await reasonOf(before);
        const after = await pidOf(sup, "a");
        expect(after.equals(before)).toBe(false);
        expect(of("supervisor")).toMatchObject([{ errorContext: "child_terminated", reason }]);
      }),
  );

  test.each(["normal", "shutdown", ["shutdown", 1]])(
    "R-220 X-124 a transient child that ends with %j stays down with its spec",
    (reason) =>
      inLab(async ({ of }) => {
        const sup = await supervisor([child("a", { restart: "transient" })]);
        const pid = await pidOf(sup, "a");
        GenServer.cast(pid, reason);
        await reasonOf(pid);
        expect(await counts(sup)).toEqual([1, 0, 0, 1]);
        expect(of("supervisor")).toEqual([]);
      }),
  );

  test("a transient child that crashes is restarted (R-220, X-124)", () =>
    inLab(async () => {
      const sup = await supervisor([child("a", { restart: "transient" })]);
      await crash(sup, "a");
      expect(await counts(sup)).toEqual([1, 1, 0, 1]);
    }));

  const TEMPORARY_ENDS = ["normal", "shutdown", "boom"] as const;
  test.each(TEMPORARY_ENDS)("a temporary child that ends with %j is forgotten (R-220, X-125)", (reason) =>
    inLab(async () => {
      const sup = await supervisor([child("a", { restart: "temporary" })]);
      const pid = await pidOf(sup, "a");
      GenServer.cast(pid, reason);
      await reasonOf(pid);
      expect(await counts(sup)).toEqual([0, 0, 0, 0]);
    }),
  );

  test("one_for_one restarts the failed child alone (R-221)", () =>
    inLab(async () => {
      const sup = await supervisor([child("a"), child("b"), child("c")]);
      const before = await pids(sup);
      await crash(sup, "b");
      const after = await pids(sup);
      expect([after.a, after.c]).toEqual([before.a, before.c]);
      expect((after.b as Pid).equals(before.b)).toBe(false);
    }));

  test("one_for_all stops the others in reverse, and starts all in order (R-221, X-131)", () =>
    inLab(async () => {
      const log: unknown[] = [];
      const sup = await supervisor(
        ["a", "b", "c"].map((id) => child(id, {}, { log, trap: true })),
        { strategy: "one_for_all", intensity: 1 },
      );
      exit(await pidOf(sup, "b"), "kill");
      await counts(sup);
      expect(log.slice(3)).toEqual(["-c", "-a", "+a", "+b", "+c"]);
      expect(isAlive(sup)).toBe(true);
    }));

  test("rest_for_one restarts the failed child and those started after it (R-221, X-133)", () =>
    inLab(async () => {
      const log: unknown[] = [];
      const sup = await supervisor(
        ["a", "b", "c", "d"].map((id) => child(id, {}, { log, trap: true })),
        { strategy: "rest_for_one" },
      );
      const before = await pids(sup);
      exit(await pidOf(sup, "b"), "kill");
      const after = await pids(sup);
      expect(log.slice(4)).toEqual(["-d", "-c", "+b", "+c", "+d"]);
      expect(after.a).toBe(before.a);
    }));

  const GROUP_STRATEGIES = ["one_for_all", "rest_for_one"] as const;
  test.each(GROUP_STRATEGIES)(
    "a temporary bystander under %s is stopped and not restarted (R-221, X-126)",
    (strategy) =>
      inLab(async () => {
        const sup = await supervisor([child("a"), child("t", { restart: "temporary" })], { strategy });
        const bystander = await pidOf(sup, "t");
        await crash(sup, "a");
        expect(isAlive(bystander)).toBe(false);
        expect(Object.keys(await pids(sup))).toEqual(["a"]);
      }),
  );

  test("one restart too many ends the supervisor with shutdown and all its children (R-222, X-128, X-129)", () =>
    inLab(async ({ of }) => {
      for (const intensity of [0, 2]) {
        const sup = await supervisor([child("a"), child("b")], { intensity, period: 3600 });
        const bystander = await pidOf(sup, "b");
        for (let i = 0; i < intensity; i += 1) await crash(sup, "a");
        expect(isAlive(sup)).toBe(true);
        exit(await pidOf(sup, "a"), "boom");
        expect(await next()).toEqual(["EXIT", sup, "shutdown"]);
        expect(isAlive(bystander)).toBe(false);
        expect(of("supervisor").at(-1)).toMatchObject({
          errorContext: "shutdown",
          reason: "reached_max_restart_intensity",
        });
      }
    }));

  test("restarts further apart than the period never add up (R-222, X-127)", () =>
    inLab(async () => {
      const sup = await supervisor([child("a")], { intensity: 1, period: 0.02 });
      for (let i = 0; i < 4; i += 1) {
        await crash(sup, "a");
        await sleep(45);
      }
      expect(isAlive(sup)).toBe(true);
    }));

  test("a restart that never succeeds uses up the intensity and takes the siblings down (R-223, X-130)", () =>
    inLab(async ({ of }) => {
      const begin = scripted(() => start({}), ["error", "broken"]);
      const sup = await supervisor([child("b"), { id: "a", start: begin }], { intensity: 4, period: 3600 });
      const sibling = await pidOf(sup, "b");
      exit(await pidOf(sup, "a"), "boom");
      expect(await next()).toEqual(["EXIT", sup, "shutdown"]);
      expect(isAlive(sibling)).toBe(false);
      expect(of("supervisor").map((r) => r.errorContext)).toEqual([
        "child_terminated",
        ...Array(4).fill("start_error"),
        "shutdown",
      ]);
    }));

  const STRATEGIES_WITH_ATTEMPTS = ["one_for_one", "one_for_all", "rest_for_one"] as const;
  test.each(STRATEGIES_WITH_ATTEMPTS)(
    "under %s requests are served between the attempts of a failing restart (R-223, R-224, R-231, X-135, X-136)",
    (strategy) =>
      inLab(async () => {
        const begin = scripted(() => start({}), ["error", "broken"]);
        const sup = await supervisor([{ id: "a", start: begin }], { strategy, intensity: 1_000_000 });
        await crash(sup, "a");
        expect(await pids(sup)).toEqual({ a: "restarting" });
        expect(await counts(sup)).toEqual([1, 0, 0, 1]);
        expect(await Supervisor.startChild(sup, child("a"))).toEqual(["error", "already_present"]);
        expect(await Supervisor.deleteChild(sup, "a")).toEqual(["error", "restarting"]);
        expect(await Supervisor.restartChild(sup, "a")).toEqual(["error", "restarting"]);
        expect(await Supervisor.terminateChild(sup, "a")).toBe("ok");
        expect(await pids(sup)).toEqual({ a: undefined });
        await sleep(5);
        expect(await pids(sup), "the loop has ended").toEqual({ a: undefined });
      }),
  );

  test("a supervisor in a hanging restart loop stops on request (R-223, X-135)", () =>
    inLab(async () => {
      const begin = scripted(() => start({}), ["error", "broken"]);
      const sup = await supervisor([{ id: "a", start: begin }], { intensity: 1_000_000 });
      await crash(sup, "a");
      exit(sup, "shutdown");
      expect(await next()).toEqual(["EXIT", sup, "shutdown"]);
    }));

  test("one_for_all starts over when another child fails to restart (R-225, X-132)", () =>
    inLab(async () => {
      const log: unknown[] = [];
      const second = scripted(
        () => start({ id: "b" }),
        ["error", "once"],
        () => start({ id: "b" }),
      );
      const sup = await supervisor([child("a", {}, { log, trap: true }), { id: "b", start: second }], {
        strategy: "one_for_all",
      });
      exit(await pidOf(sup, "a"), "kill");
      await expect.poll(() => log.length).toBe(4);
      expect(log).toEqual(["+a", "+a", "-a", "+a"]);
      expect(await counts(sup)).toEqual([2, 2, 0, 2]);
    }));

  test("rest_for_one retries at the child that failed, and keeps those before it (R-225, X-134)", () =>
    inLab(async () => {
      const log: unknown[] = [];
      const third = scripted(
        () => start({}),
        ["error", "once"],
        () => start({ id: "c", log }),
      );
      const sup = await supervisor(
        [child("a", {}, { log }), child("b", {}, { log }), { id: "c", start: third }],
        { strategy: "rest_for_one" },
      );
      await crash(sup, "b");
      await expect.poll(() => log).toEqual(["+a", "+b", "+b", "+c"]);
      expect(await counts(sup)).toEqual([3, 3, 0, 3]);
    }));

  test("a restart that yields ignore leaves the child down with its spec (R-226)", () =>
    inLab(async () => {
      const sup = await supervisor([{ id: "a", start: scripted(() => start({}), "ignore") }]);
      await crash(sup, "a");
      expect(await pids(sup)).toEqual({ a: undefined });
    }));

  test("a restart uses the original arguments (R-227)", () =>
    inLab(async () => {
      const seen: unknown[] = [];
      const begin = (...args: unknown[]) => {
        seen.push(args);
        return start({});
      };
      const sup = await supervisor([{ id: "a", start: [begin, [1, "two"]] }]);
      await crash(sup, "a");
      expect(seen).toEqual([
        [1, "two"],
        [1, "two"],
      ]);
    }));

  test("a permanent supervisor that gives up is restarted with fresh children (R-228, X-138)", () =>
    inLab(async () => {
      const inner = Supervisor.childSpec([child("a")], {
        strategy: "one_for_one",
        intensity: 0,
        id: "inner",
      });
      const sup = await supervisor([inner]);
      const before = await pidOf(sup, "inner");
      const leaf = await pidOf(before, "a");
      exit(leaf, "boom");
      await reasonOf(before);
      const after = await pidOf(sup, "inner");
      expect(after.equals(before)).toBe(false);
      expect((await pidOf(after, "a")).equals(leaf)).toBe(false);
    }));

  test("a transient supervisor that gives up is not restarted (R-228, X-139)", () =>
    inLab(async () => {
      const inner = Supervisor.childSpec([child("a")], {
        strategy: "one_for_one",
        intensity: 0,
        id: "inner",
        restart: "transient",
      });
      const sup = await supervisor([inner]);
      const before = await pidOf(sup, "inner");
      exit(await pidOf(before, "a"), "boom");
      await reasonOf(before);
      expect(await pids(sup)).toEqual({ inner: undefined });
    }));
});

describe("automatic shutdown", () => {
  const significant = (id: string): ChildSpec => child(id, { significant: true, restart: "transient" });

  test("any_significant: a significant exit stops the supervisor, a crash restarts (R-229, X-144)", () =>
    inLab(async () => {
      const sup = await supervisor([significant("a"), significant("b")], { autoShutdown: "any_significant" });
      await crash(sup, "a");
      expect(isAlive(sup)).toBe(true);
      GenServer.cast(await pidOf(sup, "a"), "normal");
      expect(await next()).toEqual(["EXIT", sup, "shutdown"]);
    }));

  test("all_significant: the last one that ends by itself does, terminateChild does not (R-229, X-145)", () =>
    inLab(async () => {
      const sup = await supervisor([significant("a"), significant("b"), significant("c"), child("w")], {
        autoShutdown: "all_significant",
      });
      GenServer.cast(await pidOf(sup, "a"), "normal");
      await settle();
      expect(await Supervisor.terminateChild(sup, "b")).toBe("ok");
      expect(isAlive(sup)).toBe(true);
      GenServer.cast(await pidOf(sup, "c"), "normal");
      expect(await next()).toEqual(["EXIT", sup, "shutdown"]);
    }));

  test("terminating the only significant child does not stop the supervisor (R-229, X-145)", () =>
    inLab(async () => {
      const sup = await supervisor([significant("a")], { autoShutdown: "any_significant" });
      await Supervisor.terminateChild(sup, "a");
      expect(await counts(sup)).toEqual([1, 0, 0, 1]);
    }));
});

describe("reports", () => {
  test("reports name supervisor, context, reason and child, starts give progress (R-402)", () =>
    inLab(async ({ of }) => {
      const sup = await supervisor([child("a", { restart: "transient", shutdown: 100 })], { name: "boss" });
      const pid = await pidOf(sup, "a");
      await crash(sup, "a");
      expect(of("supervisor")).toEqual([
        {
          kind: "supervisor",
          supervisor: sup,
          name: "boss",
          errorContext: "child_terminated",
          reason: "boom",
          offender: {
            pid,
            id: "a",
            mfargs: ["start", [{ id: "a" }]],
            restart_type: "transient",
            significant: false,
            shutdown: 100,
            child_type: "worker",
          },
        },
      ]);
      expect(of("progress").map((report) => report.started.id)).toEqual(["a", "a"]);
    }));
});

describe("supervisors as children", () => {
  test("a supervisor killed for overrunning takes its children along (R-216)", () =>
    inLab(async () => {
      const inner = Supervisor.childSpec(
        [child("grandchild", { shutdown: 60_000 }, { trap: false, slow: 60_000 })],
        {
          strategy: "one_for_one",
          id: "inner",
          name: "inner",
        },
      );
      const sup = await supervisor([{ ...inner, shutdown: 20 }]);
      const grandchild = (await Supervisor.whichChildren("inner"))[0]?.pid as Pid;
      const stubborn = okPid(await GenServer.start(worker, { id: "stubborn", trap: true, slow: 60_000 }));
      const end = reasonOf(grandchild);
      // Something the inner supervisor has to wait for longer than it may.
      await Supervisor.startChild("inner", {
        id: "slow",
        start: [() => ["ok", stubborn], []],
        shutdown: 60_000,
      });
      await Supervisor.terminateChild(sup, "inner");
      expect(await end).toBe("killed");
      exit(stubborn, "kill");
    }));

  test("a supervisor as a child is given all the time it needs by default (R-216)", () =>
    inLab(async () => {
      const sup = await supervisor([
        Supervisor.childSpec([child("c", { shutdown: 60_000 }, { trap: true, slow: 50 })], {
          strategy: "one_for_one",
          id: "inner",
        }),
      ]);
      const [, spec] = (await Supervisor.getChildspec(sup, "inner")) as unknown as readonly [
        string,
        ChildSpec,
      ];
      expect(spec.shutdown).toBe("infinity");
      expect(await Supervisor.terminateChild(sup, "inner")).toBe("ok");
    }));
});
