/**
 * The tracker process: its module, its limits, and what happens when it, or one on another node,
 * ends.
 */
import { type Diff, Tracker, type TrackerModule, type TrackerOptions } from "simurgh/presence";
import { MemoryNetwork, PubSub } from "simurgh/pubsub";
import {
  createNode,
  exit,
  GenServer,
  type Pid,
  type Report,
  type RuntimeNode,
  Supervisor,
  self,
  send,
  sys,
  telemetry,
} from "simurgh/runtime";
import { VirtualClock } from "simurgh/testing";
import { afterEach, describe, expect, test } from "vitest";
import { replication } from "../../../src/presence/tracker/durable-subscription.js";
import { encode } from "../../../src/presence/tracker/message.js";
import { joinsOf, leavesOf, PresenceNode, PUBSUB } from "../support/node.js";

const running: RuntimeNode[] = [];
afterEach(async () => {
  for (const node of running.splice(0)) await node.stop();
});

interface Recorded {
  readonly node: RuntimeNode;
  readonly diffs: Diff[];
  readonly other: unknown[];
  readonly reports: Report[];
  readonly supervisor: Pid;
  process(): Pid;
  run<T>(fn: () => T | Promise<T>): Promise<T>;
}

/** A node with a tracker `T` whose module notes what it is notified. */
async function recorded(
  options: Partial<TrackerOptions> = {},
  module: Partial<TrackerModule> = {},
): Promise<Recorded> {
  const diffs: Diff[] = [];
  const other: unknown[] = [];
  const reports: Report[] = [];
  const node = createNode({ onReport: (report) => void reports.push(report) });
  running.push(node);
  const notes: TrackerModule<number, string> = {
    name: "Notes",
    init: (arg) => ["ok", arg.length],
    handleDiff(diff, state) {
      diffs.push(diff);
      return ["ok", state + 1];
    },
    handleInfo(message, state) {
      other.push(message);
      return ["noreply", state];
    },
    ...(module as object),
  };
  const started = await new Promise<unknown[]>((resolve) => {
    node.spawn(async () => {
      resolve(
        (await Supervisor.startLink(
          [
            PubSub.childSpec({ name: PUBSUB }),
            Tracker.childSpec(notes, "arg", { name: "T", pubsub: PUBSUB, ...options }),
          ],
          { strategy: "rest_for_one" },
        )) as unknown as unknown[],
      );
      await new Promise(() => {});
    });
  });
  if (started[0] !== "ok") throw new Error(JSON.stringify(started));
  return {
    node,
    diffs,
    other,
    reports,
    supervisor: started[1] as Pid,
    process: () => node.spawn(() => new Promise(() => {})),
    run: (fn) => node.run(fn),
  };
}

const flat = (diffs: readonly Diff[]): string[] =>
  diffs.flatMap((diff) =>
    [...diff].flatMap(([topic, { joins, leaves }]) => [
      ...joins.map(([key]) => `${topic} +${key}`),
      ...leaves.map(([key]) => `${topic} -${key}`),
    ]),
  );

describe("a tracker's module", () => {
  test("gets each change by topic, in order, and never an empty one (P-040, P-056, P-058)", async () => {
    const t = await recorded();
    const [ann, bob] = [t.process(), t.process()];
    await t.run(async () => {
      await Tracker.track("T", ann, "room", "ann", {});
      await Tracker.track("T", ann, "hall", "ann", {});
      await Tracker.track("T", bob, "room", "bob", { n: 1 });
      await Tracker.update("T", bob, "room", "bob", { n: 2 });
      await Tracker.untrack("T", bob, "nowhere", "bob");
      await Tracker.untrack("T", ann, "hall", "ann");
    });
    expect(flat(t.diffs)).toEqual([
      "room +ann",
      "hall +ann",
      "room +bob",
      "room +bob",
      "room -bob",
      "hall -ann",
    ]);
    for (const diff of t.diffs)
      for (const [, { joins, leaves }] of diff) expect(joins.length + leaves.length).toBeGreaterThan(0);
    expect(t.diffs[0]?.get("room")).toEqual({
      joins: [["ann", { phx_ref: expect.any(String) }]],
      leaves: [],
    });
  });

  test("an exit is one diff with all topics, and so is untracking all (P-050, P-049)", async () => {
    const t = await recorded();
    for (const end of ["kill", "untrack"]) {
      const pid = t.process();
      await t.run(async () => {
        for (const topic of ["a", "b", "c"]) await Tracker.track("T", pid, topic, end, {});
      });
      t.diffs.length = 0;
      await t.run<unknown>(() => (end === "kill" ? exit(pid, "kill") : Tracker.untrack("T", pid)));
      await expect.poll(() => t.diffs.length).toBe(1);
      expect(flat(t.diffs).sort()).toEqual([`a -${end}`, `b -${end}`, `c -${end}`]);
      expect(await t.run(() => Tracker.stats("T"))).toMatchObject({ entries: 0, processes: 0 });
    }
  });

  test("gets messages that the tracker does not use (P-059)", async () => {
    const t = await recorded();
    await t.run(() => send("T", ["for", "the module"]));
    await expect.poll(() => t.other).toEqual([["for", "the module"]]);
    const notReceiving = await recorded({}, { handleInfo: undefined as never });
    await notReceiving.run(async () => {
      send("T", "lost");
      expect((await Tracker.track("T", self(), "room", "me", {}))[0]).toBe("ok");
    });
  });

  test.each([
    ["handleDiff", { handleDiff: () => "fine" as never }],
    ["handleInfo", { handleInfo: () => ["ok"] as never }],
  ])(
    "P-040 P-059 what %s returns must have its shape: the tracker ends with a text that names module and value",
    async (callback, module) => {
      const t = await recorded({}, module);
      const before = t.node.whereis("T");
      await t
        .run(async () => {
          send("T", "stray");
          await Tracker.track("T", t.process(), "room", "ann", {});
        })
        .catch(() => {});
      await expect.poll(() => JSON.stringify(t.reports)).toContain(`Notes: ${callback} must return`);
      await expect.poll(() => t.node.whereis("T")).not.toEqual(before);
    },
  );

  test("an init that refuses is the reason why the start fails (P-040)", async () => {
    await expect(recorded({}, { init: () => ["error", "not today"] })).rejects.toThrow("not today");
    await expect(recorded({}, { init: () => "ok" as never })).rejects.toThrow("Notes: init must return");
  });

  test("a tracker that ends normally is not restarted, a crashed one is (P-043)", async () => {
    const t = await recorded();
    const first = t.node.whereis("T");
    await t.run(() => exit(first as Pid, "crash"));
    await expect.poll(() => t.node.whereis("T")).toBeDefined();
    await expect.poll(() => t.node.whereis("T")).not.toEqual(first);
    await t.run(() => Tracker.gracefulPermdown("T"));
    await expect.poll(() => t.node.whereis("T")).toBeUndefined();
    expect(await t.run(() => Supervisor.countChildren(t.supervisor))).toMatchObject({ specs: 2, active: 1 });
  });
});

describe("what a tracker takes", () => {
  test("tracks only a process of this node (P-053)", async () => {
    const t = await recorded();
    for (const pid of ["<0.1.0>", undefined, { id: 1 }])
      await expect(t.run(() => Tracker.track("T", pid as never, "room", "k", {}))).rejects.toThrow(
        "only a process of this node can be tracked",
      );
  });

  test("bounds the entries of a process, key, topic and tracker (P-715, P-044)", async () => {
    const t = await recorded({
      limits: {
        entriesPerProcess: 3,
        metasPerKey: 2,
        entriesPerTopic: 4,
        entries: 6,
        topic: 8,
        key: 4,
        meta: 20,
      },
    });
    const track = (pid: Pid, topic: string, key: string, meta = {}): Promise<unknown> =>
      t.run(() => Tracker.track("T", pid, topic, key, meta));
    const [a, b, c, d] = [t.process(), t.process(), t.process(), t.process()];
    expect(await track(a, "123456789", "k")).toEqual(["error", ["too_large", "topic", 9, 8]]);
    expect(await track(a, "room", "12345")).toEqual(["error", ["too_large", "key", 5, 4]]);
    expect(await track(a, "room", "k", { text: "0123456789" })).toEqual([
      "error",
      ["too_large", "meta", 21, 20],
    ]);
    for (const key of ["1", "2", "3"])
      expect(await track(a, "room", key)).toEqual(["ok", expect.any(String)]);
    expect(await track(a, "room", "4")).toEqual(["error", ["too_many", "process", 3]]);
    expect(await track(b, "room", "1")).toEqual(["ok", expect.any(String)]);
    expect(await track(c, "hall", "x")).toEqual(["ok", expect.any(String)]);
    expect(await track(b, "hall", "x")).toEqual(["ok", expect.any(String)]);
    expect(await track(d, "attic", "y")).toEqual(["error", ["too_many", "tracker", 6]]);
    await t.run(() => Tracker.untrack("T", c, "hall", "x"));
    expect(await track(d, "room", "5")).toEqual(["error", ["too_many", "topic", 4]]);
    await t.run(() => Tracker.untrack("T", a, "room", "3"));
    expect(await track(d, "room", "1")).toEqual(["error", ["too_many", "key", 2]]);
  });

  test("bounds the calls of a client, with the time to wait (P-221)", async () => {
    const t = await recorded({ rateLimit: { calls: 3, perMs: 60_000 } });
    const [ann, bob] = [t.process(), t.process()];
    await t.run(async () => {
      await Tracker.track("T", ann, "room", "ann", {});
      await Tracker.update("T", ann, "room", "ann", { n: 1 });
      await Tracker.untrack("T", ann, "room", "ann");
      for (const refused of [
        await Tracker.track("T", ann, "room", "ann", {}),
        await Tracker.update("T", ann, "room", "ann", {}),
        await Tracker.untrack("T", ann, "room", "ann"),
      ])
        expect(refused).toEqual([
          "error",
          { reason: "rate_limited", retry_after_ms: expect.toSatisfy((ms) => ms > 0 && ms <= 60_000) },
        ]);
      expect(await Tracker.track("T", bob, "room", "bob", {})).toEqual(["ok", expect.any(String)]);
      expect((await Tracker.list("T", "room")).map(([key]) => key)).toEqual(["bob"]);
    });
    expect(flat(t.diffs)).toHaveLength(5);
  });

  test("a track whose caller gave up does not succeed unseen (P-714)", async () => {
    const clock = new VirtualClock();
    const a = new PresenceNode({}, { clock });
    running.push(a.node);
    await a.start();
    const pid = a.process();
    const tracker = a.node.whereis("P") as Pid;
    await a.run(() => sys.suspend(tracker));
    const tracking = a.track(pid, "room", "late");
    const failed = expect(tracking).rejects.toThrow(/timeout/);
    for (let n = 0; n < 20; n += 1) {
      clock.advanceTo(clock.now() + 500);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await failed;
    await a.run(() => sys.resume(tracker));
    await expect.poll(() => a.keys("room")).toEqual([]);
    expect((await a.run(() => a.presence.stats())).entries).toBe(0);
  });
});

describe("reading", () => {
  test("does not wait for a tracker that is busy, in its thread (P-055)", async () => {
    const a = await new PresenceNode().start();
    running.push(a.node);
    await a.track(a.process(), "room", "ann");
    const tracker = a.node.whereis("P") as Pid;
    await a.run(() => sys.suspend(tracker));
    expect(await a.keys("room")).toEqual(["ann"]);
    expect(await a.run(() => a.presence.getByKey("room", "ann"))).toMatchObject({ metas: [{}] });
    expect(await a.run(() => a.presence.count("room"))).toEqual({ keys: 1, metas: 1 });
    await a.run(() => sys.resume(tracker));
  });

  test("keys are texts, and metas keep their order through updates (P-203, P-204, P-224)", async () => {
    const a = await new PresenceNode().start();
    running.push(a.node);
    expect(await a.list("room")).toEqual({});
    const [first, second] = [a.process(), a.process()];
    await a.track(first, "room", 1, { tab: 1 });
    await a.track(second, "room", "1", { tab: 2 });
    await a.track(a.process(), "room", true, {});
    await a.run(() => a.presence.update(first, "room", 1, { tab: "one" }));
    const list = await a.list("room");
    expect(Object.keys(list)).toEqual(["1", "true"]);
    expect(list[1]?.metas.map(({ tab }) => tab)).toEqual(["one", 2]);
    for (const key of [1, "1"])
      expect((await a.run(() => a.presence.getByKey("room", key))) as object).toEqual(list[1]);
    expect(await a.run(() => a.presence.getByKey("room", 2))).toEqual([]);
    expect(await a.run(() => a.presence.count("room"))).toEqual({ keys: 2, metas: 3 });
    expect(await a.run(() => a.presence.count("nowhere"))).toEqual({ keys: 0, metas: 0 });
  });

  test("unsafe keys are refused on request (P-725)", async () => {
    const strict = await new PresenceNode({ refuseUnsafeKeys: true }).start();
    const usual = await new PresenceNode().start();
    running.push(strict.node, usual.node);
    expect(await strict.track(strict.process(), "room", "__proto__")).toEqual([
      "error",
      ["bad_key", "__proto__"],
    ]);
    expect(await strict.track(strict.process(), "room", "proto")).toEqual(["ok", expect.any(String)]);
    expect(await usual.track(usual.process(), "room", "__proto__")).toEqual(["ok", expect.any(String)]);
  });

  test("a presence needs a name, and its child the name of a PubSub (P-200)", async () => {
    expect(() => new PresenceNode({ name: "" })).toThrow("a presence needs a name");
    expect(() => new PresenceNode().presence.childSpec({} as never)).toThrow("needs the name of its pubsub");
  });

  test("stats and telemetry count entries, messages and merged changes (P-309)", async () => {
    const network = new MemoryNetwork();
    const seen: unknown[] = [];
    const a = await new PresenceNode().start(network.adapter("a"));
    const b = await new PresenceNode().start(network.adapter("b"));
    running.push(a.node, b.node);
    const detach = telemetry.attach("presence.diff", ({ measurements }) => void seen.push(measurements));
    await expect
      .poll(async () => (await b.run(() => b.presence.stats())).replicasUp, { timeout: 10_000 })
      .toBe(1);
    await b.listen("room");
    const pid = a.process();
    await a.track(pid, "room", "ann");
    await expect.poll(() => b.keys("room"), { timeout: 5000 }).toEqual(["ann"]);
    const [here, there] = [await a.run(() => a.presence.stats()), await b.run(() => b.presence.stats())];
    expect(here).toMatchObject({
      entries: 1,
      remoteEntries: 0,
      processes: 1,
      topics: 1,
      refused: { malformed: 0 },
    });
    expect(there).toMatchObject({ entries: 0, remoteEntries: 1, frames: 1, changes: 1, failedDiffs: 0 });
    expect(here.sent).toBeGreaterThan(0);
    expect(there.received).toBeGreaterThan(0);
    await expect.poll(async () => (await a.run(() => a.presence.stats())).lagMs, { timeout: 10_000 }).toBe(0);
    expect(seen).toContainEqual({ keys: 1 });
    detach();
  });
});

describe("trackers of several nodes", () => {
  const quick = { broadcastPeriod: 50, maxSilentPeriods: 5 };
  const pair = async (): Promise<readonly [PresenceNode, PresenceNode, MemoryNetwork]> => {
    const network = new MemoryNetwork();
    const a = await new PresenceNode(quick).start(network.adapter("a"));
    const b = await new PresenceNode(quick).start(network.adapter("b"));
    running.push(a.node, b.node);
    return [a, b, network];
  };

  test("a node with another number of slots is ignored and logged (P-711, P-734)", async () => {
    const network = new MemoryNetwork();
    const a = await new PresenceNode(quick).start(network.adapter("a"));
    const stranger = await new PresenceNode({ ...quick, name: "Q" }).start(network.adapter("stranger"));
    running.push(a.node, stranger.node);
    const frames = await a.listen("room");
    await a.track(a.process(), "room", "ann");
    const entry = {
      topic: "room",
      pid: "p",
      key: "bob",
      meta: { phx_ref: "r" },
      version: 1,
      joined: 1,
      first: "r",
    };
    const beat = {
      kind: "heartbeat",
      ref: { name: "stranger#0", incarnation: "1" },
      clock: 1,
      delta: { from: 0, to: 1, changes: [entry] },
      seen: [],
      digest: undefined,
    } as const;
    const [protocol, , ...rest] = encode("P", beat);
    const say = (wire: readonly unknown[]): Promise<unknown> =>
      stranger.run(() => PubSub.broadcast(PUBSUB, "phx_presence:P", wire, replication));
    for (let n = 0; n < 5; n += 1) await say([protocol, 128, ...rest]);
    const refused = async (): Promise<number> => (await a.run(() => a.presence.stats())).refused.slots;
    await expect.poll(refused, { timeout: 5000 }).toBe(5);
    expect(a.complaints().filter((text) => text.includes("has 128 slots"))).toHaveLength(1);
    await a.track(a.process(), "room", "abe");
    await expect.poll(() => joinsOf(frames)).toEqual(["abe", "ann"]);
    expect(await a.keys("room")).toEqual(["abe", "ann"]);
    // The same with as many slots as here would have been taken.
    await say([protocol, 256, ...rest]);
    await expect.poll(() => a.keys("room"), { timeout: 5000 }).toEqual(["abe", "ann", "bob"]);
  });

  test("each tells its own clients, once, and all of them all metas (P-143, P-220)", async () => {
    const [a, b] = await pair();
    const frames = [await a.listen("room"), await a.listen("room"), await b.listen("room")];
    await a.track(a.process(), "room", "ann", { secret: 1 });
    for (const got of frames) {
      await expect.poll(() => joinsOf(got), { timeout: 5000 }).toEqual(["ann"]);
      expect(got[0]?.payload.joins.ann?.metas).toMatchObject([{ secret: 1 }]);
    }
    await a.run(() => new Promise((resolve) => setTimeout(resolve, 100)));
    expect(frames.map((got) => got.length)).toEqual([1, 1, 1]);
  });

  test("a tracker that crashes: its entries leave, its processes exit (P-633)", async () => {
    const [a, b] = await pair();
    const [lost, stays] = [a.process(), b.process()];
    await a.track(lost, "room", "lost");
    await b.track(stays, "room", "stays");
    await expect.poll(() => b.keys("room"), { timeout: 5000 }).toEqual(["lost", "stays"]);
    const frames = await b.listen("room");
    await a.run(() => exit(a.node.whereis("P") as Pid, "crash"));
    await expect.poll(() => a.node.process(lost)).toBeUndefined();
    await expect.poll(() => b.keys("room"), { timeout: 5000 }).toEqual(["stays"]);
    const again = a.process();
    await a.track(again, "room", "lost");
    await expect.poll(() => b.keys("room"), { timeout: 5000 }).toEqual(["lost", "stays"]);
    await expect.poll(() => a.keys("room"), { timeout: 5000 }).toEqual(["lost", "stays"]);
    expect(leavesOf(frames)).toEqual(["lost"]);
    expect(b.node.process(stays)).toBeDefined();
  });

  test("stopped with permdownOnShutdown it sends permdown without waiting (P-061, P-718)", async () => {
    const network = new MemoryNetwork();
    const clock = new VirtualClock();
    const options = { ...quick, downPeriod: 60_000, permdownOnShutdown: true };
    const a = await new PresenceNode(options, { clock }).start(network.adapter("a"));
    const b = await new PresenceNode({ ...quick, downPeriod: 60_000 }).start(network.adapter("b"));
    running.push(a.node, b.node);
    await a.track(a.process(), "room", "ann");
    await expect
      .poll(
        () => {
          clock.advanceTo(clock.now() + 50);
          return b.keys("room");
        },
        { timeout: 5000 },
      )
      .toEqual(["ann"]);
    const from = clock.now();
    // Nothing moves this clock: who waits for a time waits forever.
    await a.stop();
    await expect.poll(() => b.keys("room"), { timeout: 5000, interval: 5 }).toEqual([]);
    expect(clock.now()).toBe(from);
  });

  test("stopped alone, a tracker takes its entries along, with no option and no wait", async () => {
    const network = new MemoryNetwork();
    const [a, b] = [new PresenceNode(), new PresenceNode()];
    running.push(a.node, b.node);
    await a.start(network.adapter("a"));
    await b.start(network.adapter("b"));
    await a.track(a.process(), "room", "ann");
    await expect.poll(() => b.keys("room")).toEqual(["ann"]);
    await a.run(() => GenServer.stop("P", "shutdown"));
    await expect.poll(() => b.keys("room")).toEqual([]);
  });

  test("without permdown its last change is published, and the rest stays", async () => {
    const network = new MemoryNetwork();
    // A change waits for the next tick, which the tracker does not live to see.
    const a = new PresenceNode({ permdownOnShutdown: false, flushAfter: 3_600_000 });
    const b = new PresenceNode();
    running.push(a.node, b.node);
    await b.start(network.adapter("b"));
    await a.start(network.adapter("a"));
    const ann = a.process();
    await a.track(ann, "room", "ann");
    await a.track(a.process(), "room", "bob");
    await expect.poll(() => b.keys("room")).toEqual(["ann", "bob"]);
    await a.kill(ann);
    await a.stop();
    await expect.poll(() => b.keys("room")).toEqual(["bob"]);
  });
});

describe("a tracker that starts again", () => {
  test("after a crash clients get only the difference, handleMetas starts again (P-719, P-724, P-052)", async () => {
    const metas: string[][] = [];
    const resets: unknown[] = [];
    const detach = telemetry.attach("presence.reset", (event) => void resets.push(event));
    const a = await new PresenceNode({
      init: () => ["ok", {}],
      handleMetas(_topic, _diff, presences, state) {
        metas.push(Object.keys(presences).sort());
        return ["ok", state];
      },
    }).start();
    running.push(a.node);
    const stay = { onTrackerRestart: "retrack" } as const;
    const [ann, bob, carl] = [a.process(), a.process(), a.process()];
    await a.run(async () => {
      await a.presence.track(ann, "room", "ann", {}, stay);
      await a.presence.track(bob, "room", "bob", {}, stay);
      await a.presence.track(carl, "room", "carl", {});
    });
    const frames = await a.listen("room");
    metas.length = 0;
    await a.run(() => exit(a.node.whereis("P") as Pid, "crash"));
    await expect.poll(() => resets.length, { timeout: 10_000 }).toBe(1);
    await expect.poll(() => a.keys("room")).toEqual(["ann", "bob"]);
    await expect.poll(() => leavesOf(frames)).toContain("carl");
    // Ann and Bob have new refs: an update of theirs, in which no one is without a meta at any
    // time.
    const there = new Map([
      ["ann", 1],
      ["bob", 1],
      ["carl", 1],
    ]);
    for (const { payload } of frames) {
      for (const key of Object.keys(payload.joins)) there.set(key, (there.get(key) ?? 0) + 1);
      for (const key of Object.keys(payload.leaves)) there.set(key, (there.get(key) ?? 0) - 1);
      expect([there.get("ann"), there.get("bob")]).toEqual([1, 1]);
    }
    expect(there.get("carl")).toBe(0);
    expect(metas.at(0)).toEqual(["ann", "bob"]);
    detach();
  });
});
