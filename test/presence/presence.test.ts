import fc from "fast-check";
import { Presence as PhoenixPresence } from "phoenix";
import { definePresence, type PresenceDiff, type PresenceEntry, type Presences } from "simurgh/presence";
import { PubSub } from "simurgh/pubsub";
import {
  createNode,
  exit,
  type Pid,
  type Report,
  type RuntimeNode,
  receive,
  Supervisor,
  self,
  send,
  spawn,
} from "simurgh/runtime";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

let node: RuntimeNode;
let reports: Report[];
beforeEach(() => {
  reports = [];
  node = createNode({ onReport: (report) => void reports.push(report) });
});
afterEach(() => node.stop());

const presence = definePresence({ name: "TestPresence" });
const PUBSUB = "pubsub";

/** Runs `body` subscribed to `room` beside a presence; `diffs` takes what is notified on it. */
const withPresence = <T>(
  body: (diffs: () => Promise<PresenceDiff>) => Promise<T>,
  used = presence,
): Promise<T> =>
  node.run(async () => {
    const children = [PubSub.childSpec({ name: PUBSUB }), used.childSpec({ pubsub: PUBSUB })];
    const started = await Supervisor.startLink(children, { strategy: "one_for_one" });
    if (started[0] !== "ok") throw new Error(JSON.stringify(started));
    await PubSub.subscribe(PUBSUB, "room");
    const diff = async (): Promise<PresenceDiff> => {
      const got = await receive(
        (message) =>
          (message as { event?: string }).event === "presence_diff"
            ? (message as { payload: PresenceDiff })
            : undefined,
        { after: 500 },
      );
      if (got === undefined) throw new Error("no diff came");
      return got.payload;
    };
    return body(diff);
  });

const forever = (): Promise<never> => new Promise(() => {});
const process = (): Pid => spawn(forever);
const silent = async (): Promise<boolean> =>
  (await receive((message) => ({ message }), { after: 20 })) === undefined;

describe("Presence", () => {
  test("track answers with a new ref, and the entry is in the list (P-044, P-046, P-057)", () =>
    withPresence(async (diff) => {
      const result = await presence.track(self(), "room", "ann", { typing: false, phx_ref: "mine" });
      expect(result).toEqual(["ok", expect.stringMatching(/^[\w-]{16}$/)]);
      const metas = [{ typing: false, phx_ref: result[1] }];
      expect(await presence.list("room")).toEqual({ ann: { metas } });
      expect(await diff()).toEqual({ joins: { ann: { metas } }, leaves: {} });
    }));

  test("the same process, topic and key twice is refused (P-045)", () =>
    withPresence(async (diff) => {
      await presence.track(self(), "room", "ann", {});
      await diff();
      expect(await presence.track(self(), "room", "ann", {})).toEqual([
        "error",
        ["already_tracked", self(), "room", "ann"],
      ]);
      expect(await silent()).toBe(true);
      const other = process();
      expect((await presence.track(other, "room", "ann", {}))[0]).toBe("ok");
      expect((await presence.track(self(), "room", "bob", {}))[0]).toBe("ok");
      expect((await presence.track(self(), "elsewhere", "ann", {}))[0]).toBe("ok");
      expect(
        Object.fromEntries(
          Object.entries(await presence.list("room")).map(([key, { metas }]) => [key, metas.length]),
        ),
      ).toEqual({ ann: 2, bob: 1 });
    }));

  test("update replaces the meta in one diff (P-047)", () =>
    withPresence(async (diff) => {
      const [, first] = await presence.track(self(), "room", "ann", { typing: false, extra: 1 });
      await diff();
      const [, second] = await presence.update(self(), "room", "ann", { typing: true, phx_ref_prev: "mine" });
      expect(await diff()).toEqual({
        joins: { ann: { metas: [{ typing: true, phx_ref: second, phx_ref_prev: first }] } },
        leaves: { ann: { metas: [{ typing: false, extra: 1, phx_ref: first }] } },
      });
      expect(await presence.update(self(), "room", "no one", {})).toEqual(["error", "nopresence"]);
      const [, third] = await presence.update(self(), "room", "ann", (meta) => ({ was: meta.phx_ref }));
      expect(await presence.getByKey("room", "ann")).toEqual({
        metas: [{ was: second, phx_ref: third, phx_ref_prev: second }],
      });
    }));

  test("a throw in update's function is the caller's, and racing updates count (P-048)", () =>
    withPresence(async () => {
      await presence.track(self(), "room", "ann", { count: 0 });
      const broken = presence.update(self(), "room", "ann", () => {
        throw new Error("mine");
      });
      await expect(broken).rejects.toThrow("mine");
      const me = self();
      const done: Promise<unknown>[] = [];
      for (let n = 0; n < 3; n += 1)
        done.push(presence.update(me, "room", "ann", (meta) => ({ count: (meta.count as number) + 1 })));
      expect((await Promise.all(done)).map((result) => (result as [string])[0])).toEqual(["ok", "ok", "ok"]);
      expect(((await presence.list("room")).ann as PresenceEntry).metas[0]?.count).toBe(3);
    }));

  test("untrack ends one entry, and is ok without one (P-049, P-054)", () =>
    withPresence(async (diff) => {
      await presence.track(self(), "room", 1, { n: 1 });
      await diff();
      expect(await presence.getByKey("room", "1")).toMatchObject({ metas: [{ n: 1 }] });
      expect(await presence.getByKey("room", "01")).toEqual([]);
      expect(await presence.untrack(self(), "room", 1)).toBe("ok");
      expect(Object.keys((await diff()).leaves)).toEqual(["1"]);
      expect(await presence.untrack(self(), "room", 1)).toBe("ok");
      expect(await silent()).toBe(true);
      expect(await presence.list("room")).toEqual({});
    }));

  test.each(["kill", "shutdown", "crash"])(
    "P-050 who ends, by %s, leaves at once, with one diff per topic",
    (reason) =>
      withPresence(async (diff) => {
        const ann = process();
        await presence.track(ann, "room", "a", {});
        await presence.track(ann, "room", "b", {});
        await presence.track(ann, "other", "a", {});
        await diff();
        await diff();
        exit(ann, reason);
        expect(Object.keys((await diff()).leaves).sort()).toEqual(["a", "b"]);
        expect(await silent()).toBe(true);
        expect([await presence.list("room"), await presence.list("other")]).toEqual([{}, {}]);
      }),
  );

  test("tracking a dead process is a join and a leave, never a ghost (P-051)", () =>
    withPresence(async (diff) => {
      const ann = process();
      exit(ann, "kill");
      expect((await presence.track(ann, "room", "ann", {}))[0]).toBe("ok");
      expect(Object.keys((await diff()).joins)).toEqual(["ann"]);
      expect(Object.keys((await diff()).leaves)).toEqual(["ann"]);
      expect(await presence.list("room")).toEqual({});
    }));

  test("when the tracker crashes, its processes exit and are tracked again (P-052)", () =>
    withPresence(async () => {
      const ann = process();
      await presence.track(ann, "room", "ann", {});
      const bystander = process();
      exit(node.whereis("TestPresence") as Pid, "crash");
      await expect.poll(() => node.process(ann)).toBeUndefined();
      expect(node.process(bystander)).toBeDefined();
      await expect.poll(() => node.whereis("TestPresence")).toBeDefined();
      expect(await presence.list("room")).toEqual({});
    }));

  test("what cannot be shown is refused at the caller, with its place (P-044)", () =>
    withPresence(async () => {
      const track = (key: unknown, meta: unknown): Promise<unknown> =>
        presence.track(self(), "room", key, meta as never);
      await expect(track({}, {})).rejects.toThrow("a presence key must be a string, number or boolean");
      await expect(track("k", [])).rejects.toThrow("must be an object");
      await expect(track("k", { a: { b: [1, () => 1] } })).rejects.toThrow("meta.a.b[1] is a function");
      await expect(track("k", { when: new Date() })).rejects.toThrow("meta.when is a Date");
      await expect(track("k", { n: Number.NaN })).rejects.toThrow("meta.n is NaN");
      expect(await track("k".repeat(1025), {})).toEqual(["error", ["too_large", "key", 1025, 1024]]);
      expect((await track("k", { text: "x".repeat(17_000) })) as unknown[]).toEqual([
        "error",
        ["too_large", "meta", expect.any(Number), 16_384],
      ]);
      expect(await presence.list("room")).toEqual({});
    }));

  test("use before the start is a clear error (P-063)", () =>
    node.run(async () => {
      const absent = definePresence({ name: "AbsentPresence" });
      await expect(absent.track(self(), "room", "k", {})).rejects.toThrow(
        "presence AbsentPresence is not running",
      );
    }));

  test("fetch completes what list and diffs show", () => {
    const named = definePresence({
      name: "NamedPresence",
      fetch: (_topic, presences) =>
        Object.fromEntries(
          Object.entries(presences).map(([key, entry]) => [key, { ...entry, name: key.toUpperCase() }]),
        ),
    });
    return withPresence(async (diff) => {
      await named.track(self(), "room", "ann", {});
      expect((await named.list("room")).ann?.name).toBe("ANN");
      expect((await diff()).joins.ann?.name).toBe("ANN");
    }, named);
  });

  test("keys such as __proto__ are ordinary keys", () =>
    withPresence(async (diff) => {
      await presence.track(self(), "room", "__proto__", {});
      await presence.track(self(), "room", "constructor", {});
      expect(Object.keys(await presence.list("room")).sort()).toEqual(["__proto__", "constructor"]);
      expect(Object.keys((await diff()).joins)).toEqual(["__proto__"]);
    }));

  test("the official client agrees with the list after any history (C-186)", () => {
    const step = fc.record({
      who: fc.nat(4),
      what: fc.constantFrom("track", "update", "untrack", "exit"),
      key: fc.nat(2),
      joinNow: fc.boolean(),
    });
    return fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const own = createNode({ onReport() {} });
        try {
          await own.run(async () => {
            await Supervisor.startLink(
              [PubSub.childSpec({ name: PUBSUB }), presence.childSpec({ pubsub: PUBSUB })],
              { strategy: "one_for_one" },
            );
            await PubSub.subscribe(PUBSUB, "room");
            let client: Presences = {};
            const people = Array.from({ length: 5 }, process);
            for (const { who, what, key } of steps) {
              const pid = people[who] as Pid;
              if (what === "track") await presence.track(pid, "room", key, { who });
              else if (what === "update") await presence.update(pid, "room", key, { who, again: true });
              else if (what === "untrack") await presence.untrack(pid, "room", key);
              else {
                exit(pid, "kill");
                people[who] = process();
              }
            }
            // The tracker answers in order: after this it has received of every end above.
            await presence.untrack(self(), "room", "no one");
            const listed = await presence.list("room");
            send(self(), "end of diffs");
            for (;;) {
              const message = await receive((any) => any as { payload: PresenceDiff } | "end of diffs");
              if (message === "end of diffs") break;
              client = PhoenixPresence.syncDiff(
                client,
                structuredClone(message.payload) as never,
              ) as Presences;
            }
            const refs = (presences: Presences): unknown =>
              Object.entries(presences)
                .map(([key, { metas }]) => [key, metas.map((meta) => meta.phx_ref).sort()])
                .sort();
            expect(refs(client)).toEqual(refs(listed));
          });
        } finally {
          await own.stop();
        }
      }),
      { numRuns: 60 },
    );
  });
});
