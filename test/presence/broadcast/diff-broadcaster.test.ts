/** What clients of a topic get: frames merged, completed and in order. */
import { Presence as PhoenixPresence } from "phoenix";
import { definePresence, type PresenceDiff, type Presences } from "simurgh/presence";
import { type Dispatcher, PubSub, registerDispatcher } from "simurgh/pubsub";
import { exit, type Pid, receive, Supervisor, self, send, sleep, spawn } from "simurgh/runtime";
import { simulate } from "simurgh/testing";
import { afterEach, describe, expect, test } from "vitest";
import { sharedJson } from "#pubsub";
import { type Frame, joinsOf, leavesOf, PresenceNode, PUBSUB } from "../support/node.js";

const nodes: PresenceNode[] = [];
afterEach(async () => {
  for (const { node } of nodes.splice(0)) await node.stop();
});
const start = async (options: ConstructorParameters<typeof PresenceNode>[0] = {}): Promise<PresenceNode> => {
  const node = new PresenceNode(options);
  nodes.push(node);
  return node.start();
};
const named = (presences: Presences): Presences =>
  Object.fromEntries(
    Object.entries(presences).map(([key, entry]) => [key, { ...entry, name: key.toUpperCase() }]),
  );
const sync = (state: Presences, { payload }: Frame): Presences =>
  PhoenixPresence.syncDiff(state as never, structuredClone(payload) as never) as Presences;
const shown = (state: Presences): string[] =>
  Object.entries(state)
    .flatMap(([key, { metas }]) => metas.map(({ phx_ref }) => `${key} ${phx_ref}`))
    .sort();

describe("a burst", () => {
  test("five hundred joins cost each client few frames, and all are complete (P-300, P-301, P-303, P-304, P-517)", async () => {
    const a = await start();
    const frames = await a.listen("room");
    const people = Array.from({ length: 500 }, () => a.process());
    const from = performance.now();
    await Promise.all(people.map((pid, n) => a.track(pid, "room", `u${n}`)));
    const took = performance.now() - from;
    await expect.poll(() => joinsOf(frames).length).toBe(500);
    // Each of the first fifty at once, then one frame per window.
    expect(frames.length).toBeLessThanOrEqual(50 + 2 + Math.ceil((took + 100) / 50));
    expect(shown(frames.reduce(sync, {}))).toEqual(shown(await a.list("room")));
    expect(joinsOf(frames.slice(0, 50))).toHaveLength(50);
  });

  test("five hundred joins within ten seconds cost fewer than 10,000 frames (P-300, P-301, P-303)", () =>
    simulate({ runs: 2, maxSteps: 1_000_000 }, async () => {
      const presence = definePresence({ name: "P" });
      await Supervisor.startLink(
        [PubSub.childSpec({ name: PUBSUB }), presence.childSpec({ pubsub: PUBSUB })],
        {
          strategy: "rest_for_one",
        },
      );
      let frames = 0;
      const known = Array.from({ length: 500 }, () => new Set<string>());
      for (const [n, names] of known.entries())
        spawn(async () => {
          await sleep(n * 20);
          await PubSub.subscribe(PUBSUB, "room");
          await presence.track(self(), "room", `u${n}`, {});
          for (const name of Object.keys(await presence.list("room"))) names.add(name);
          for (;;) {
            const { payload } = (await receive((message) => ({ message }))).message as Frame;
            frames += 1;
            for (const name of Object.keys(payload.joins)) names.add(name);
          }
        });
      await sleep(10_000 + 2000);
      expect(known.map(({ size }) => size)).toEqual(known.map(() => 500));
      // An answer and a state for each are to be added.
      expect(frames + 2 * 500).toBeLessThan(10_000);
    }));

  test("during a stream of joins an update waits for the base window only (P-301)", () =>
    simulate({ runs: 2, maxSteps: 1_000_000 }, async (sim) => {
      const presence = definePresence({ name: "P" });
      await Supervisor.startLink(
        [PubSub.childSpec({ name: PUBSUB }), presence.childSpec({ pubsub: PUBSUB })],
        {
          strategy: "rest_for_one",
        },
      );
      const notified: [at: number, keys: string[]][] = [];
      spawn(async () => {
        await PubSub.subscribe(PUBSUB, "room");
        for (;;) {
          const { payload } = (await receive((message) => ({ message }))).message as Frame;
          notified.push([sim.clock.now(), Object.keys(payload.leaves)]);
        }
      });
      const people = Array.from({ length: 500 }, () => spawn(() => new Promise(() => {})));
      for (const [n, pid] of people.entries()) {
        await presence.track(pid, "room", `u${n}`, {});
        await sleep(10);
        if (n % 100 !== 99) continue;
        const from = sim.clock.now();
        await presence.update(people[0] as Pid, "room", "u0", { typing: true });
        await sleep(60);
        expect(notified.filter(([at, keys]) => at >= from && keys.includes("u0")).length).toBe(1);
      }
      await sleep(2000);
      // Fifty while the room was small, five for the updates, and few for the joins of the five
      // seconds after that.
      expect(notified.length).toBeLessThan(50 + 5 + 15);
    }));

  test("lists within one window share one object and its JSON (P-304, P-054)", async () => {
    const a = await start();
    const people = Array.from({ length: 300 }, () => a.process());
    const lists = await Promise.all(
      people.map((pid, n) =>
        a.run(async () => {
          await a.presence.track(pid, "room", `u${n}`, {});
          const list = await a.presence.list("room");
          expect(Object.hasOwn(list, `u${n}`)).toBe(true);
          return list;
        }),
      ),
    );
    const large = new Set(lists.filter((list) => Object.keys(list).length > 50));
    expect(large.size).toBeLessThan(20);
    for (const list of large) expect(JSON.parse(sharedJson(list) as string)).toEqual(list);
    expect(sharedJson({})).toBeUndefined();
  });

  test("a client that joins in the middle of a window ends like the others (P-302, P-641, P-509)", async () => {
    const a = await start({ coalesce: { smallRoom: 0, windowMs: 40 } });
    const frames = await a.listen("room");
    await a.track(a.process(), "room", "first");
    const passing = a.process();
    await a.track(passing, "room", "passing");
    const late = await a.list("room");
    const alsoLate: Frame[] = [];
    const seen = frames.length;
    await a.run(() =>
      a.presence.pushState(
        "room",
        (event, payload) => void alsoLate.push({ topic: "room", event, payload: payload as PresenceDiff }),
      ),
    );
    expect(Object.keys(late)).toEqual(["first", "passing"]);
    await a.kill(passing);
    await a.track(a.process(), "room", "last");
    await expect.poll(() => joinsOf(frames)).toEqual(["first", "last"]);
    const end = shown(await a.list("room"));
    const rest = frames.slice(seen);
    expect(shown(rest.reduce(sync, structuredClone(late) as Presences))).toEqual(end);
    await expect.poll(() => alsoLate.length).toBe(1);
    const state = structuredClone(alsoLate[0]?.payload) as unknown as Presences;
    expect(shown(rest.reduce(sync, state))).toEqual(end);
  });

  test("coalesce: false sends each change at once, for all or chosen topics (P-261, P-301)", async () => {
    const options = { smallRoom: 0, windowMs: 1000 };
    const a = await start({ coalesce: (topic) => (topic === "raw" ? false : options) });
    const [raw, merged] = [await a.listen("raw"), await a.listen("merged")];
    for (let n = 0; n < 10; n += 1) {
      const pid = a.process();
      await a.track(pid, "raw", `u${n}`);
      await a.track(pid, "merged", `u${n}`);
    }
    await expect.poll(() => raw.length).toBe(10);
    expect(raw.every(({ payload }) => Object.keys(payload.joins).length === 1)).toBe(true);
    expect(merged.length).toBeLessThanOrEqual(2);
  });

  test("thousands of updates of an entry are few frames, with the last one last (P-739, P-302)", async () => {
    const a = await start({ coalesce: { smallRoom: 0, windowMs: 30 } });
    const frames = await a.listen("room");
    const pid = a.process();
    await a.track(pid, "room", "busy", { n: 0 });
    await a.run(async () => {
      for (let n = 1; n <= 1000; n += 1) await a.presence.update(pid, "room", "busy", { n });
    });
    await expect.poll(() => frames.at(-1)?.payload.joins.busy?.metas.at(-1)?.n).toBe(1000);
    expect(frames.length).toBeLessThan(100);
    expect(shown(frames.reduce(sync, {}))).toEqual(shown(await a.list("room")));
  });

  test("a window ends early after five hundred changed keys (P-723, P-301)", async () => {
    const a = await start({ coalesce: { smallRoom: 0, windowMs: 60_000 } });
    const frames = await a.listen("room");
    await Promise.all(Array.from({ length: 501 }, (_, n) => a.track(a.process(), "room", `u${n}`)));
    await expect.poll(() => joinsOf(frames).length).toBe(501);
    expect(frames).toHaveLength(2);
  });

  test("ten thousand members: cheap lists, states in parts, leaves in ten frames (P-305, P-307, P-720, P-722)", async () => {
    const a = await start();
    const room = a.process();
    const limits = { entriesPerProcess: 20_000 };
    const big = await start({ name: "Big", limits });
    await big
      .run(async () => {
        for (let n = 0; n < 10_000; n += 1) await big.presence.track(self(), "room", `u${n}`, { n });
      })
      .then(
        () => {},
        () => {},
      );
    expect(room).toBeDefined();
    await expect.poll(() => big.run(() => big.presence.count("room"))).toEqual({ keys: 0, metas: 0 });
    const host = big.process();
    await big.run(async () => {
      for (let n = 0; n < 10_000; n += 1) await big.presence.track(host, "room", `u${n}`, { n });
    });
    expect(await big.run(() => big.presence.count("room"))).toEqual({ keys: 10_000, metas: 10_000 });
    const frames = await big.listen("room");
    // The least of several: a busy machine makes any of them longer, and none shorter.
    let [least, list] = [Number.POSITIVE_INFINITY, {} as Presences];
    for (let n = 0; n < 10; n += 1) {
      // What was made for the last one is of no use after a change.
      await big.run(() => big.presence.update(host, "room", `u${n}`, { n, changed: true }));
      await expect.poll(() => frames.length).toBe(n + 1);
      const before = process.cpuUsage();
      list = await big.list("room");
      const { user, system } = process.cpuUsage(before);
      expect(Object.keys(list)).toHaveLength(10_000);
      least = Math.min(least, (user + system) / 1000);
    }
    expect(least).toBeLessThan(30);
    frames.length = 0;
    const parts: Frame[] = [];
    await big.run(() =>
      big.presence.pushState(
        "room",
        (event, payload) => void parts.push({ topic: "room", event, payload: payload as PresenceDiff }),
      ),
    );
    await expect.poll(() => parts.length).toBe(10);
    expect(parts.map(({ event }) => event)).toEqual(["presence_state", ...Array(9).fill("presence_diff")]);
    const state = parts.slice(1).reduce(sync, structuredClone(parts[0]?.payload) as unknown as Presences);
    expect(shown(state)).toEqual(shown(list));
    await big.kill(host);
    await expect.poll(() => leavesOf(frames).length, { timeout: 5000 }).toBe(10_000);
    expect(frames.length).toBeLessThanOrEqual(11);
    expect(await big.list("room")).toEqual({});
  });

  test("pushState sends one state, and no earlier diff afterwards (P-722, P-258, P-214)", async () => {
    const a = await start();
    const got: unknown[] = [];
    await a.run(() => a.presence.pushState("room", (event, payload) => void got.push([event, payload])));
    await expect.poll(() => got).toEqual([["presence_state", {}]]);
    const order: string[] = [];
    const dispatcher: Dispatcher = {
      name: "order",
      dispatch: (_topic, _from, message) => void order.push(...Object.keys((message as Frame).payload.joins)),
    };
    registerDispatcher(dispatcher);
    const b = await start({ name: "Q", dispatcher: "order" });
    await b.listen("room");
    await b.track(b.process(), "room", "before");
    await b.run(() => {
      b.presence.pushState("room", (_event, payload) => void order.push(`state of ${Object.keys(payload)}`));
    });
    await b.track(b.process(), "room", "after");
    expect(order).toEqual(["before", "state of before", "after"]);
  });

  test("without subscribers, or with diffs: false, nothing is dispatched (P-306, P-308)", async () => {
    const a = await start({ diffs: false });
    const frames = await a.listen("room");
    await a.track(a.process(), "room", "ann");
    expect(await a.keys("room")).toEqual(["ann"]);
    await a.run(() => PubSub.localBroadcast(PUBSUB, "room", { event: "end" }));
    await expect.poll(() => frames).toEqual([{ event: "end" }]);
  });

  test("a change costs the same in a room of ten thousand as in a small one (P-306)", async () => {
    const a = await start({ limits: { entriesPerProcess: 30_000 } });
    const host = a.process();
    await a.run(async () => {
      for (let n = 0; n < 10_000; n += 1) await a.presence.track(host, "large", `u${n}`, {});
    });
    const guest = a.process();
    const timeOf = (topic: string): Promise<number> =>
      a.run(async () => {
        const times: number[] = [];
        for (let round = 0; round < 20; round += 1) {
          const from = performance.now();
          for (let n = 0; n < 50; n += 1) await a.presence.track(guest, topic, `g${n}`, {});
          for (let n = 0; n < 50; n += 1) await a.presence.untrack(guest, topic, `g${n}`);
          times.push((performance.now() - from) / 100);
        }
        return times.sort((x, y) => x - y)[10] as number;
      });
    const small = await timeOf("small");
    expect(await timeOf("large")).toBeLessThan(small * 3 + 0.05);
  });
});

describe("who leaves and comes back", () => {
  test("within the grace period there is one update, and he never was off the list (P-223)", async () => {
    const a = await start({ leaveGraceMs: 60 });
    const frames = await a.listen("room");
    const first = a.process();
    await a.track(first, "room", "ann");
    await a.kill(first);
    await expect.poll(() => a.run(() => a.presence.count("room"))).toEqual({ keys: 0, metas: 0 });
    expect(await a.keys("room")).toEqual(["ann"]);
    await a.track(a.process(), "room", "ann");
    await expect.poll(() => frames.length).toBe(2);
    expect([joinsOf(frames.slice(1)), leavesOf(frames.slice(1))]).toEqual([["ann"], ["ann"]]);
    const second = a.process();
    await a.track(second, "room", "bob");
    await a.kill(second);
    await expect.poll(() => leavesOf(frames)).toEqual(["ann", "bob"]);
    expect(await a.keys("room")).toEqual(["ann"]);
  });
});

describe("fetch", () => {
  test("it is called once per list, and per diff for joins and for leaves (P-205, P-210)", async () => {
    const calls: string[][] = [];
    const a = await start({
      fetch: (_topic, presences) => {
        calls.push(Object.keys(presences));
        return named(presences);
      },
    });
    const frames = await a.listen("room");
    expect(await a.list("room")).toEqual({});
    const pid = a.process();
    await a.track(pid, "room", "ann");
    await expect.poll(() => frames.length).toBe(1);
    expect(calls).toEqual([[], ["ann"], []]);
    expect(frames[0]).toEqual({
      topic: "room",
      event: "presence_diff",
      payload: { joins: { ann: { name: "ANN", metas: [{ phx_ref: expect.any(String) }] } }, leaves: {} },
    });
    expect((await a.list("room")).ann?.name).toBe("ANN");
    expect(await a.run(() => a.presence.getByKey("room", "ann"))).toMatchObject({ name: "ANN", metas: [{}] });
    expect(await a.run(() => a.presence.getByKey("room", "bob"))).toEqual([]);
    expect(await a.run(() => a.presence.getByKey("room", "__proto__"))).toEqual([]);
    expect(calls.slice(3)).toEqual([["ann"], ["ann"]]);
  });

  test("missing keys and changed refs are restored and reported (P-206, P-706, P-740)", async () => {
    let n = 0;
    const a = await start({
      fetch: (_topic, presences) => {
        n += 1;
        if (n % 3 === 0) return {};
        if (n % 3 === 1) return null as never;
        return Object.fromEntries(
          Object.entries(presences).map(([key]) => [key, { metas: [{ phx_ref: `mine ${n}` }], extra: n }]),
        );
      },
      coalesce: false,
    });
    const frames = await a.listen("room");
    const people = Array.from({ length: 12 }, () => a.process());
    for (const [index, pid] of people.entries()) await a.track(pid, "room", `u${index % 4}`);
    for (const pid of people) await a.kill(pid);
    await expect.poll(() => leavesOf(frames).length).toBe(12);
    expect(shown(frames.reduce(sync, {}))).toEqual([]);
    expect(a.complaints().some((text) => text.includes("dropped the key"))).toBe(true);
    expect(a.complaints().some((text) => text.includes("changed the refs"))).toBe(true);
    expect(a.complaints().some((text) => text.includes("must return an object"))).toBe(true);
  });

  test("slow, failing and hanging fetches keep the order of their topic only (P-207, P-208, P-643)", async () => {
    const a = await start({
      coalesce: false,
      fetchTimeout: 150,
      fetch: async (topic, presences) => {
        const keys = Object.keys(presences).join();
        if (topic === "never") return new Promise(() => {});
        if (topic === "slow" && keys === "u0") await sleep(60);
        if (keys === "u1") throw new Error("broken fetch");
        return named(presences);
      },
    });
    const [slow, quick, never] = [await a.listen("slow"), await a.listen("quick"), await a.listen("never")];
    const order: string[] = [];
    for (const topic of ["never", "slow", "quick"])
      for (let n = 0; n < 3; n += 1) await a.track(a.process(), topic, `u${n}`);
    await expect.poll(() => quick.length).toBe(3);
    order.push("quick");
    expect(slow.length + never.length).toBeLessThan(6);
    await expect.poll(() => slow.length).toBe(3);
    await expect.poll(() => never.length).toBe(3);
    for (const frames of [slow, quick, never])
      expect(frames.flatMap(({ payload }) => Object.keys(payload.joins))).toEqual(["u0", "u1", "u2"]);
    expect(slow.map(({ payload }) => Object.values(payload.joins)[0]?.name)).toEqual(["U0", undefined, "U2"]);
    expect(never.map(({ payload }) => Object.values(payload.joins)[0]?.name)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect((await a.run(() => a.presence.stats())).fetchFailures).toBe(5);
  });

  test("no more than sixteen run at once (P-207)", async () => {
    let running = 0;
    let most = 0;
    const a = await start({
      coalesce: false,
      fetch: async (_topic, presences) => {
        running += 1;
        most = Math.max(most, running);
        await sleep(2);
        running -= 1;
        return presences;
      },
    });
    const frames = await a.listen("t0");
    for (let n = 0; n < 60; n += 1) await a.track(a.process(), `t${n % 30}`, `u${n}`);
    await expect.poll(() => frames.length).toBe(2);
    await expect.poll(() => a.run(() => a.presence.fetchersPids())).toEqual([]);
    // Two calls each: for joins and for leaves.
    expect(most).toBeLessThanOrEqual(32);
    expect(most).toBeGreaterThan(8);
  });

  test("fetchersPids lists the running processes, and a killed one has failed (P-222, P-201)", async () => {
    const a = await start({ fetch: () => new Promise(() => {}) });
    const frames = await a.listen("room");
    await a.track(a.process(), "room", "ann");
    const [fetcher] = (await a.run(() => a.presence.fetchersPids())) as [Pid];
    await a.run(() => exit(fetcher, "kill"));
    await expect.poll(() => joinsOf(frames)).toEqual(["ann"]);
    expect(await a.run(() => a.presence.fetchersPids())).toEqual([]);
  });

  test("a stray message to the tracker ends nothing (P-208)", async () => {
    const a = await start();
    const tracked = a.process();
    await a.track(tracked, "room", "ann");
    await a.run(() => {
      for (const stray of [
        "hello",
        5,
        null,
        undefined,
        {},
        [],
        ["DOWN"],
        ["DOWN", null, "process", null, "x"],
        ["EXIT"],
        ["adapter"],
        ["replication", "junk"],
        [Symbol("x")],
      ])
        send("P", stray);
    });
    expect(await a.keys("room")).toEqual(["ann"]);
    expect(a.node.process(tracked)).toBeDefined();
  });
});

describe("handleMetas", () => {
  type Call = readonly [topic: string, joins: string[], leaves: string[], presences: Record<string, number>];

  test("it gets each diff after its broadcast, joins before leaves (P-216, P-217)", async () => {
    const calls: Call[] = [];
    const a = await start({
      coalesce: false,
      init: (state) => ["ok", { ...state, count: 0 }],
      handleMetas(topic, { joins, leaves }, presences, state) {
        const sizes = Object.fromEntries(
          Object.entries(presences).map(([key, metas]) => [key, metas.length]),
        );
        calls.push([topic, Object.keys(joins), Object.keys(leaves), sizes]);
        const count = (state as { count: number }).count + 1;
        expect(count).toBe(calls.length);
        return ["ok", { count }];
      },
    });
    const [first, second] = [a.process(), a.process()];
    await a.track(first, "room", "ann");
    await a.track(second, "room", "ann");
    await a.run(() => a.presence.update(first, "room", "ann", { typing: true }));
    await a.kill(first);
    await a.kill(second);
    await expect.poll(() => calls.length).toBe(5);
    expect(calls).toEqual([
      ["room", ["ann"], [], { ann: 1 }],
      ["room", ["ann"], [], { ann: 2 }],
      ["room", ["ann"], ["ann"], { ann: 2 }],
      ["room", [], ["ann"], { ann: 1 }],
      ["room", [], ["ann"], {}],
    ]);
    expect((await a.run(() => a.presence.stats())).busyTopics).toBe(0);
  });

  test("without init it is refused with an example (P-216)", async () => {
    const handleMetas = () => ["ok", 1] as const;
    expect(() => new PresenceNode({ handleMetas })).toThrow('init: () => ["ok", {}]');
    await expect(new PresenceNode({ handleMetas, init: () => 5 as never }).start()).rejects.toThrow(
      "init must return",
    );
  });

  test("a throw in it is reported and harms nothing else (P-217, P-742)", async () => {
    let calls = 0;
    const a = await start({
      coalesce: false,
      init: () => ["ok", "kept"],
      handleMetas(_topic, _diff, _presences, state) {
        calls += 1;
        expect(state).toBe("kept");
        if (calls === 2) throw new Error("broken");
        if (calls === 3) return "wrong" as never;
        return ["ok", "kept"];
      },
    });
    const frames = await a.listen("room");
    const people = Array.from({ length: 5 }, () => a.process());
    for (const [n, pid] of people.entries()) await a.track(pid, "room", `u${n}`);
    await expect.poll(() => joinsOf(frames)).toEqual(["u0", "u1", "u2", "u3", "u4"]);
    expect(a.complaints().filter((text) => text.includes("handleMetas failed"))).toHaveLength(2);
    for (const pid of people) expect(a.node.process(pid)).toBeDefined();
  });

  test("it can broadcast on another topic (P-218, P-215)", async () => {
    const a = await start({
      init: () => ["ok", undefined],
      handleMetas(topic, diff, _presences, state) {
        PubSub.localBroadcast(PUBSUB, `proxy:${topic}`, { joined: Object.keys(diff.joins) });
        return ["ok", state];
      },
    });
    const proxy = (await a.listen("proxy:room")) as unknown[];
    await a.track(a.process(), "room", "ann");
    await expect.poll(() => proxy).toEqual([{ joined: ["ann"] }]);
  });

  test("a custom dispatcher delivers diffs, and a throw in it harms nothing else (P-219, P-016, P-742)", async () => {
    let calls = 0;
    registerDispatcher({
      name: "picky",
      dispatch(topic, from, message) {
        calls += 1;
        if (calls === 1) throw new Error("broken dispatcher");
        for (const { pid, metadata } of topic.subscriptions())
          if (metadata === "may read") send(pid, [from, message]);
      },
    });
    const a = await start({ dispatcher: "picky" });
    const blind = await a.listen("room");
    const got: unknown[] = [];
    await a.run(async () => {
      await PubSub.subscribe(PUBSUB, "room", { metadata: "may read" });
      await a.presence.track(self(), "room", "first", {});
      await a.presence.track(self(), "room", "second", {});
      got.push(await receive((message) => message as unknown));
    });
    expect(got).toEqual([[undefined, expect.objectContaining({ event: "presence_diff" })]]);
    expect(blind).toEqual([]);
    expect(a.complaints().some((text) => text.includes("could not be dispatched"))).toBe(true);
  });
});
