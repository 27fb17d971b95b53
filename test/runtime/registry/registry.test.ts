import {
  exit,
  GenServer,
  type GenServerModule,
  monitor,
  type Pid,
  Registry,
  receive,
  register,
  self,
  send,
  sleep,
  spawn,
  spawnLink,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { inLab, next, nothing, reasonOf } from "../support.js";

const echo: GenServerModule = {
  init: (arg) => ["ok", arg],
  handleCall: (request, _from, state) => ["reply", [request, state], state],
};

async function registry(keys: "unique" | "duplicate" = "unique", options = {}): Promise<string> {
  const result = await Registry.startLink({ keys, name: "reg", ...options });
  expect(result[0]).toBe("ok");
  return "reg";
}

/** A process that runs `fn`, tells its result, and lives until notified to go. */
async function other<T>(fn: () => T): Promise<[Pid, T]> {
  const me = self();
  const pid = spawn(async () => {
    send(me, ["result", fn()]);
    await receive((m) => (m === "go" ? true : undefined));
  });
  return [pid, ((await next()) as [string, T])[1]];
}

describe("registering", () => {
  test("a unique key belongs to one process (R-302, X-165)", () =>
    inLab(async () => {
      const reg = await registry();
      const [pid, first] = await other(() => Registry.register(reg, "k", "v"));
      expect(first).toEqual(["ok", expect.anything()]);
      expect(Registry.register(reg, "k", "mine")).toEqual(["error", ["already_registered", pid]]);
      Registry.register(reg, "own", 1);
      expect(Registry.register(reg, "own", 2)).toEqual(["error", ["already_registered", self()]]);
      expect(Registry.lookup(reg, "own")).toEqual([[self(), 1]]);
    }));

  test("when the DOWN of the owner is seen its entries are gone (R-014, R-303, R-307, X-166)", () =>
    inLab(async () => {
      const reg = await registry();
      for (let round = 0; round < 200; round += 1) {
        const [pid] = await other(() => Registry.register(reg, "k", round));
        expect(Registry.lookup(reg, "k")).toEqual([[pid, round]]);
        const ref = monitor(pid);
        exit(pid, "kill");
        await receive((m) => (Array.isArray(m) && m[1] === ref ? true : undefined));
        expect(Registry.lookup(reg, "k")).toEqual([]);
        expect(Registry.count(reg)).toBe(0);
      }
    }));

  test("a process may have several entries under a duplicate key (R-302, X-167)", () =>
    inLab(async () => {
      const reg = await registry("duplicate");
      for (const value of [1, 2, 3]) Registry.register(reg, "k", value);
      const [pid] = await other(() => Registry.register(reg, "k", 4));
      expect(Registry.lookup(reg, "k")).toEqual([
        [self(), 1],
        [self(), 2],
        [self(), 3],
        [pid, 4],
      ]);
      expect(Registry.count(reg)).toBe(4);
      expect(Registry.unregister(reg, "k")).toBe("ok");
      expect(Registry.lookup(reg, "k")).toEqual([[pid, 4]]);
      expect(Registry.count(reg)).toBe(1);
    }));

  test("unregister of nothing is ok (R-303, X-168)", () =>
    inLab(async () => {
      expect(Registry.unregister(await registry(), "nothing")).toBe("ok");
    }));

  test("updateValue changes the caller's own unique value only (R-303, X-169)", () =>
    inLab(async () => {
      const reg = await registry();
      Registry.register(reg, "k", 1);
      await other(() => Registry.register(reg, "theirs", 1));
      expect(Registry.updateValue<number>(reg, "k", (v) => v + 1)).toEqual([2, 1]);
      expect(Registry.lookup(reg, "k")).toEqual([[self(), 2]]);
      expect(Registry.updateValue(reg, "theirs", () => 0)).toBe("error");
      expect(Registry.updateValue(reg, "no one's", () => 0)).toBe("error");
      await Registry.startLink({ keys: "duplicate", name: "dup" });
      expect(() => Registry.updateValue("dup", "k", () => 0)).toThrow(/unique/);
    }));

  test("keys, values and count (R-303)", () =>
    inLab(async () => {
      const reg = await registry("duplicate");
      Registry.register(reg, "a", 1);
      Registry.register(reg, "a", 2);
      Registry.register(reg, "b", 3);
      expect(Registry.keys(reg, self())).toEqual(["a", "a", "b"]);
      expect(Registry.values(reg, "a", self())).toEqual([1, 2]);
      expect(Registry.count(reg)).toBe(3);
    }));

  test("keys are equal by structure, and number, bigint and string differ (R-304, X-175)", () =>
    inLab(async () => {
      const reg = await registry();
      const keys = [1, 1n, "1", ["1"], { a: [1, { b: 2 }] }, null, undefined, Symbol("s"), true, ""];
      for (const key of keys) expect(Registry.register(reg, key, "v")[0]).toBe("ok");
      expect(Registry.lookup(reg, { a: [1, { b: 2 }] })).toEqual([[self(), "v"]]);
      expect(Registry.lookup(reg, { a: [1, { b: 3 }] })).toEqual([]);
      expect(Registry.lookup(reg, Symbol("s"))).toEqual([]);
      expect(Registry.register(reg, ["1"], "v")[0]).toBe("error");
      expect(Registry.count(reg)).toBe(keys.length);
    }));

  test("refused attempts leave nothing behind (X-177)", () =>
    inLab(async () => {
      const reg = await registry();
      const [pid] = await other(() => Registry.register(reg, "k", 1));
      for (let i = 0; i < 100; i += 1) Registry.register(reg, "k", i);
      expect(Registry.count(reg)).toBe(1);
      expect(Registry.keys(reg, self())).toEqual([]);
      send(pid, "go");
      await reasonOf(pid);
      expect(Registry.count(reg)).toBe(0);
    }));

  test("an unknown registry and wrong options are argument errors (R-301, X-176)", () =>
    inLab(async () => {
      expect(() => Registry.lookup("nowhere", 1)).toThrow("unknown registry: nowhere");
      expect(() => Registry.register("nowhere", 1)).toThrow("unknown registry: nowhere");
      const bad = (options: object) => () => Registry.startLink(options as never);
      expect(bad({ name: "r" })).toThrow(/keys must be/);
      expect(bad({ keys: "unique" })).toThrow(/name must be/);
      expect(bad({ keys: "unique", name: "r", partitions: 0 })).toThrow(/partitions must be/);
      expect(bad({ keys: "unique", name: "r", listeners: [1] })).toThrow(/listeners must be/);
      expect(bad({ keys: "unique", name: "r", meta: [1] })).toThrow(/meta must be/);
    }));

  test("meta values (R-310)", () =>
    inLab(async () => {
      const reg = await registry("unique", { meta: [["a", 1]] });
      expect(Registry.meta(reg, "a")).toEqual(["ok", 1]);
      expect(Registry.meta(reg, "b")).toBe("error");
      expect(Registry.putMeta(reg, "b", 2)).toBe("ok");
      expect(Registry.meta(reg, "b")).toEqual(["ok", 2]);
    }));

  test("listeners hear of register and unregister, but not of a death (R-308, X-172)", () =>
    inLab(async () => {
      register("listener", self());
      const reg = await registry("unique", { listeners: ["listener", "absent"] });
      Registry.register(reg, "k", "v");
      expect(await next()).toEqual(["register", reg, "k", self(), "v"]);
      Registry.unregister(reg, "k");
      expect(await next()).toEqual(["unregister", reg, "k", self()]);
      const pid = spawn(async () => {
        Registry.register(reg, "k", "v");
        await sleep(Number.POSITIVE_INFINITY);
      });
      expect(await next()).toEqual(["register", reg, "k", pid, "v"]);
      exit(pid, "kill");
      expect(await nothing()).toBeUndefined();
    }));

  test("the registry is in no links and outlives its clients (R-306)", () =>
    inLab(async () => {
      const reg = await registry();
      const [pid] = await other(() => Registry.register(reg, "k", 1));
      exit(pid, "boom");
      expect(Registry.register(reg, "k", 2)[0]).toBe("ok");
    }));
});

describe("dispatch", () => {
  test("runs in the caller once for each partition with entries, and not at all for none (R-305, X-170)", () =>
    inLab(async () => {
      const reg = await registry("duplicate", { partitions: 3 });
      const calls: unknown[] = [];
      Registry.dispatch(reg, "k", (entries) => calls.push(entries));
      expect(calls).toEqual([]);
      for (let i = 0; i < 6; i += 1) await other(() => Registry.register(reg, "k", i));
      const where: unknown[] = [];
      Registry.dispatch<number>(reg, "k", (entries) => {
        where.push(self());
        calls.push(entries.map(([, value]) => value));
      });
      expect(where).toEqual([self(), self(), self()]);
      expect((calls as number[][]).flat().sort()).toEqual([0, 1, 2, 3, 4, 5]);
      expect(() =>
        Registry.dispatch(reg, "k", () => {
          throw new Error("mine");
        }),
      ).toThrow("mine");
    }));
});

describe("names", () => {
  test("an entry serves as a name: start, whereis, call, send (R-309, R-022, X-173)", () =>
    inLab(async () => {
      const reg = await registry();
      const name = { via: Registry, term: [reg, "server", "value"] };
      const result = await GenServer.startLink(echo, 7, { name });
      const pid = (result as readonly ["ok", Pid])[1];
      expect(Registry.lookup(reg, "server")).toEqual([[pid, "value"]]);
      expect(Registry.whereisName([reg, "server"])).toBe(pid);
      expect(await GenServer.call({ via: Registry, term: [reg, "server"] }, "hi")).toEqual(["hi", 7]);
      expect(await GenServer.startLink(echo, 8, { name })).toEqual(["error", ["already_started", pid]]);
      await GenServer.stop(pid);
      expect(Registry.whereisName([reg, "server"])).toBeUndefined();
      expect(() => Registry.send([reg, "server"], "m")).toThrow(/badarg/);
      Registry.register(reg, "me");
      send({ via: Registry, term: [reg, "me"] }, "hello");
      expect(await next()).toBe("hello");
    }));

  test("names need a unique registry (R-309, X-173)", () =>
    inLab(async () => {
      const reg = await registry("duplicate");
      expect(() => Registry.whereisName([reg, "k"])).toThrow(/unique/);
    }));

  test("a dead owner leaves no name and no report (R-021, R-309)", () =>
    inLab(async ({ reports }) => {
      const reg = await registry();
      const result = await GenServer.start(echo, 7, { name: { via: Registry, term: [reg, "s"] } });
      const pid = (result as readonly ["ok", Pid])[1];
      exit(pid, "kill");
      expect(Registry.whereisName([reg, "s"])).toBeUndefined();
      expect(reports).toEqual([]);
    }));
});

describe("searching, dispatching in parallel, locking", () => {
  test("keys, values, count, match, countMatch and select (R-303, X-174)", () =>
    inLab(async () => {
      const reg = await registry("duplicate");
      const me = self();
      for (const [key, value] of [
        ["_", 1],
        ["$1", 2],
        ["k", 3],
        ["k", 40],
      ] as const) {
        Registry.register(reg, key, value);
      }
      const [pid] = await other(() => Registry.register(reg, "k", 50));
      expect(Registry.lookup(reg, "_")).toEqual([[me, 1]]);
      expect(Registry.lookup(reg, "$1")).toEqual([[me, 2]]);
      expect(Registry.keys(reg, me)).toEqual(["_", "$1", "k", "k"]);
      expect(Registry.values(reg, "k", me)).toEqual([3, 40]);
      expect(Registry.count(reg)).toBe(5);
      expect(Registry.match(reg, "k", (value: number) => value > 10)).toEqual([
        [me, 40],
        [pid, 50],
      ]);
      expect(Registry.match(reg, "k", (_value, who) => who.equals(pid))).toEqual([[pid, 50]]);
      expect(Registry.countMatch(reg, "_", () => true)).toBe(1);
      expect(Registry.select(reg, (key, who, value: number) => (value < 3 ? [key, who] : undefined))).toEqual(
        [
          ["_", me],
          ["$1", me],
        ],
      );
      expect(Registry.unregisterMatch(reg, "k", (value) => value === 3)).toBe("ok");
      expect(Registry.values(reg, "k", me)).toEqual([40]);
    }));

  test("parallel dispatch runs one process per partition, and is awaited (R-305, X-171)", () =>
    inLab(async () => {
      const reg = await registry("duplicate", { partitions: 4 });
      const runners: Pid[] = [];
      const seen: unknown[] = [];
      for (let n = 0; n < 12; n += 1) await other(() => Registry.register(reg, "k", n));
      const done = await Registry.dispatch(
        reg,
        "k",
        async (entries) => {
          runners.push(self());
          await sleep(1);
          seen.push(...entries.map(([, value]) => value));
        },
        { parallel: true },
      );
      expect(done).toBe("ok");
      expect(seen.toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 12 }, (_, n) => n));
      expect(runners.length).toBeGreaterThan(1);
      expect(new Set(runners.map(String)).size).toBe(runners.length);
      expect(runners.some((pid) => pid.equals(self()))).toBe(false);
      await Registry.dispatch(reg, "no one", () => expect.unreachable(), { parallel: true });
    }));

  test("what fails in a parallel dispatch reaches the caller (R-305, X-171)", () =>
    inLab(async () => {
      const reg = await registry("duplicate");
      const dispatcher = spawn(async () => {
        Registry.register(reg, "k", 1);
        await Registry.dispatch(reg, "k", () => exit("no"), { parallel: true });
      });
      expect(await reasonOf(dispatcher)).toBe("no");
    }));

  test("a lock excludes others of the same key, in order, and no one of another key (R-310, X-178)", () =>
    inLab(async () => {
      const reg = await registry();
      const me = self();
      const log: string[] = [];
      const hold = (key: string, name: string, ms: number): Promise<void> =>
        Registry.lock(reg, key, async () => {
          log.push(`${name} in`);
          await sleep(ms);
          log.push(`${name} out`);
        });
      for (const [key, name, ms] of [
        ["k", "first", 30],
        ["k", "second", 1],
        ["other", "elsewhere", 1],
      ] as const)
        spawnLink(() => hold(key, name, ms).then(() => send(me, "done")));
      for (let n = 0; n < 3; n += 1) expect(await next()).toBe("done");
      expect(log).toEqual([
        "first in",
        "elsewhere in",
        "elsewhere out",
        "first out",
        "second in",
        "second out",
      ]);
      expect(await Registry.lock(reg, "k", () => "value")).toBe("value");
    }));

  test("a holder that throws or dies releases the lock (R-310, X-178)", () =>
    inLab(async () => {
      const reg = await registry();
      await expect(
        Registry.lock(reg, "k", () => {
          throw new Error("oops");
        }),
      ).rejects.toThrow("oops");
      const me = self();
      const holder = spawn(() =>
        Registry.lock(reg, "k", () => {
          send(me, "held");
          return new Promise(() => {});
        }),
      );
      await next();
      const waiting = spawn(() => Registry.lock(reg, "k", () => send(me, "the dead have it")));
      const last = spawn(() => Registry.lock(reg, "k", () => send(me, "mine")));
      expect(await nothing()).toBeUndefined();
      exit(waiting, "kill");
      exit(holder, "kill");
      expect(await next()).toBe("mine");
      expect(await reasonOf(last)).toMatch(/normal|noproc/);
      expect(await Registry.lock(reg, "k", () => 7)).toBe(7);
    }));

  test("a registered process survives its registry (R-311)", () =>
    inLab(async () => {
      const started = await Registry.start({ keys: "unique", name: "reg" });
      const [pid] = await other(() => Registry.register("reg", "k", 1));
      const end = reasonOf(started[1] as Pid);
      exit(started[1] as Pid, "kill");
      await end;
      expect(() => Registry.lookup("reg", "k")).toThrow("unknown registry: reg");
      await registry();
      expect(Registry.lookup("reg", "k")).toEqual([]);
      const alive = reasonOf(pid);
      send(pid, "go");
      expect(await alive).toBe("normal");
    }));
});
