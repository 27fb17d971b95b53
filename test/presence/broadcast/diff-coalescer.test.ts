import fc from "fast-check";
import { Presence as PhoenixPresence } from "phoenix";
import { describe, expect, test } from "vitest";
import { diffChunks, stateChunks } from "../../../src/presence/broadcast/chunks.js";
import { DiffCoalescer } from "../../../src/presence/broadcast/diff-coalescer.js";
import { LeaveGrace } from "../../../src/presence/broadcast/leave-grace.js";
import { groupByKey, type PresenceDiff, type Presences } from "../../../src/presence/broadcast/payload.js";
import type { Meta } from "../../../src/presence/tracker/delta.js";
import type { TopicDiff } from "../../../src/presence/tracker/view.js";

type Named = readonly [string, Meta];
const named = (key: string, ref: string): Named => [key, { phx_ref: ref }];
const diff = (joins: readonly Named[], leaves: readonly Named[] = []): TopicDiff => ({ joins, leaves });
const refs = (change: TopicDiff | undefined): unknown =>
  change && [change.joins.map(([, { phx_ref }]) => phx_ref), change.leaves.map(([, { phx_ref }]) => phx_ref)];

const payload = ({ joins, leaves }: TopicDiff): PresenceDiff => ({
  joins: groupByKey(joins),
  leaves: groupByKey(leaves),
});
const sync = (state: Presences, change: PresenceDiff): Presences =>
  PhoenixPresence.syncDiff(state as never, structuredClone(change) as never) as Presences;
const shown = (state: Presences): string[] =>
  Object.entries(state)
    .flatMap(([key, { metas }]) => metas.map(({ phx_ref }) => `${key} ${phx_ref}`))
    .sort();

/**
 * A history of one topic: who joins, changes, leaves, or comes back with the same ref as a
 * replica's entries do.
 */
const history = fc.array(
  fc.record({
    what: fc.constantFrom("join", "update", "leave", "return", "flush", "serve"),
    key: fc.nat(3),
  }),
  { maxLength: 50 },
);

describe("coalescing", () => {
  test("short-lived entries vanish in a window, and updates become one (P-302)", () => {
    const window = new DiffCoalescer();
    window.add(diff([named("a", "1")]));
    window.add(diff([], [named("a", "1")]));
    expect(window.take()).toBeUndefined();
    window.add(diff([named("b", "3")], [named("b", "2")]));
    window.add(diff([named("b", "4")], [named("b", "3")]));
    expect(refs(window.take())).toEqual([["4"], ["2"]]);
    window.add(diff([named("c", "5")]));
    window.add(diff([named("c", "6")], [named("c", "5")]));
    expect(refs(window.take())).toEqual([["6"], []]);
    window.add(diff([], [named("d", "7")]));
    window.add(diff([named("d", "8")]));
    expect(refs(window.take())).toEqual([["8"], ["7"]]);
    expect(window.merged).toBe(6);
  });

  test("what a state contained in between must leave, and what it lacked must join (P-302, P-641)", () => {
    const window = new DiffCoalescer();
    window.add(diff([named("a", "1")]));
    window.served();
    window.add(diff([], [named("a", "1")]));
    expect(refs(window.take())).toEqual([[], ["1"]]);
    window.add(diff([], [named("a", "2")]));
    window.served();
    window.add(diff([named("a", "2")]));
    expect(refs(window.take())).toEqual([["2"], []]);
    window.add(diff([], [named("a", "2")]));
    window.add(diff([named("a", "2")]));
    expect(window.take()).toBeUndefined();
  });

  test("however frames are merged, clients end like those who saw each change (P-517, P-641, P-509)", () => {
    fc.assert(
      fc.property(history, (steps) => {
        const window = new DiffCoalescer();
        const present = new Map<number, Named>();
        const gone = new Map<number, Named>();
        let everyFrame: Presences = {};
        const clients: Presences[] = [{}];
        let next = 0;
        const change = (one: TopicDiff): void => {
          window.add(one);
          everyFrame = sync(everyFrame, payload(one));
        };
        const flush = (): void => {
          const merged = window.take();
          if (merged === undefined) return;
          const frame = payload(merged);
          clients.forEach((client, index) => {
            clients[index] = sync(client, frame);
          });
        };
        for (const { what, key } of steps) {
          const name = `k${key}`;
          const there = present.get(key);
          const fresh = named(name, `r${next}`);
          next += 1;
          if (what === "join" && there === undefined) {
            present.set(key, fresh);
            change(diff([fresh]));
          } else if (what === "update" && there !== undefined) {
            present.set(key, fresh);
            change(diff([fresh], [there]));
          } else if (what === "leave" && there !== undefined) {
            present.delete(key);
            gone.set(key, there);
            change(diff([], [there]));
          } else if (what === "return" && there === undefined && gone.has(key)) {
            const back = gone.get(key) as Named;
            present.set(key, back);
            change(diff([back]));
          } else if (what === "flush") flush();
          else if (what === "serve") {
            window.served();
            clients.push(structuredClone(groupByKey([...present.values()])) as Presences);
          }
        }
        flush();
        for (const client of clients) expect(shown(client)).toEqual(shown(everyFrame));
      }),
      { numRuns: 1000 },
    );
  });

  test("an update is known by the ref it replaces, unless clients have not seen that one (P-301)", () => {
    const window = new DiffCoalescer();
    const update = (key: string, ref: string, former: string): TopicDiff =>
      diff([[key, { phx_ref: ref, phx_ref_prev: former }]], [named(key, former)]);
    window.add(diff([named("a", "1")], [named("a", "0")]));
    expect(window.updated).toBe(false);
    window.add(update("a", "2", "1"));
    expect(window.updated).toBe(false);
    window.add(update("b", "4", "3"));
    expect(window.updated).toBe(true);
    window.take();
    expect(window.updated).toBe(false);
  });
});

describe("the grace period", () => {
  test("a key that returns in time was changed, and leaves otherwise at the end (P-223)", () => {
    const grace = new LeaveGrace(100);
    expect(refs(grace.take("t", diff([], [named("a", "1"), named("b", "2")]), 0))).toEqual([[], []]);
    expect(grace.held("t").map(([key]) => key)).toEqual(["a", "b"]);
    expect(grace.deadline).toBe(100);
    expect(refs(grace.take("t", diff([named("a", "3")]), 50))).toEqual([["3"], ["1"]]);
    expect(grace.expire(99).size).toBe(0);
    expect(refs(grace.expire(100).get("t"))).toEqual([[], ["2"]]);
    expect([grace.held("t"), grace.deadline]).toEqual([[], Number.POSITIVE_INFINITY]);
    expect(refs(grace.take("t", diff([named("b", "4")]), 101))).toEqual([["4"], []]);
  });

  test("an update is not delayed, and each tab counts alone (P-223, P-142)", () => {
    const grace = new LeaveGrace(100);
    expect(refs(grace.take("t", diff([named("a", "2")], [named("a", "1")]), 0))).toEqual([["2"], ["1"]]);
    grace.take("t", diff([], [named("a", "2")]), 0);
    expect(refs(grace.take("t", diff([named("a", "2")]), 1))).toEqual([[], []]);
    grace.take("t", diff([], [named("a", "2"), named("a", "5")]), 2);
    expect(refs(grace.take("t", diff([named("a", "6")]), 3))).toEqual([["6"], ["2"]]);
    expect(refs(grace.expire(200).get("t"))).toEqual([[], ["5"]]);
  });
});

describe("large frames", () => {
  const many = (prefix: string, count: number, size = 10): Named[] =>
    Array.from({ length: count }, (_, n) => [`k${n}`, { phx_ref: `${prefix}${n}`, text: "x".repeat(size) }]);

  test("a state is split at 1,000 entries and 256 KiB, by key (P-720, P-260)", () => {
    for (const entries of [[], many("r", 50), many("r", 2500), many("r", 600, 2000)]) {
      const chunks = stateChunks(groupByKey(entries));
      expect(chunks.length).toBeGreaterThan(0);
      for (const chunk of chunks) {
        expect(Object.keys(chunk).length).toBeLessThanOrEqual(1000);
        expect(JSON.stringify(chunk).length).toBeLessThan(300 * 1024);
      }
      expect(Object.assign({}, ...chunks)).toEqual(groupByKey(entries));
    }
  });

  test("a large diff is cut without tearing the two sides of an update apart (P-307, P-640, P-726)", () => {
    const joins = many("new", 2500);
    const leaves = [
      ...many("old", 2500),
      ...Array.from({ length: 1500 }, (_, n) => named(`gone${n}`, `g${n}`)),
    ];
    const chunks = diffChunks(joins, leaves);
    expect(chunks.length).toBeGreaterThan(3);
    for (const chunk of chunks)
      for (const key of Object.keys(chunk.joins)) expect(Object.hasOwn(chunk.leaves, key)).toBe(true);
    const before = groupByKey(leaves) as Presences;
    const after = chunks.reduce(sync, structuredClone(before));
    expect(shown(after)).toEqual(shown(groupByKey(joins)));
  });

  test("keys such as __proto__ are ordinary keys of a payload (P-250)", () => {
    const presences = groupByKey([named("__proto__", "1"), named("constructor", "2")]);
    const read = JSON.parse(JSON.stringify(presences)) as object;
    expect(Object.getOwnPropertyDescriptor(read, "__proto__")?.value).toEqual({ metas: [{ phx_ref: "1" }] });
    expect(Object.keys(presences)).toEqual(["__proto__", "constructor"]);
    expect(({} as Record<string, unknown>).metas).toBeUndefined();
  });
});
