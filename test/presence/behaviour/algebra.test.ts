/**
 * The algebra of presence: whatever order, loss and repetition do to messages, the same entries
 * come out.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { behind, type Clock, dominates } from "../../../src/presence/tracker/clock.js";
import { condense, type Delta, mergeDeltas, splitDelta } from "../../../src/presence/tracker/delta.js";
import { DeltaLog } from "../../../src/presence/tracker/delta-log.js";
import { LocalReplica } from "../../../src/presence/tracker/local-replica.js";
import { RemoteReplica } from "../../../src/presence/tracker/remote-replica.js";
import { View } from "../../../src/presence/tracker/view.js";
import {
  acts,
  all,
  type History,
  play,
  refsOf,
  type Statement,
  say,
  statements,
} from "../support/history.js";

const RUNS = { numRuns: 300 };

/** A history, and some of what could be said about it, in any order, with repetitions. */
const receivedOf = acts().chain((steps) => {
  const history = play(steps);
  const possible = statements(history);
  const received =
    possible.length === 0
      ? fc.constant<Statement[]>([])
      : fc
          .array(fc.nat(possible.length - 1), { maxLength: 25 })
          .map((picks) => picks.map((n) => possible[n] as Statement));
  return fc.record({ history: fc.constant(history), received });
});

const fresh = (said: readonly Statement[]): RemoteReplica => {
  const origin = new RemoteReplica();
  for (const statement of said) say(origin, statement);
  return origin;
};

const last = ({ deltas }: History): Delta => deltas.at(-1) ?? { from: 0, to: 0, changes: [] };

describe("clocks", () => {
  const clock: fc.Arbitrary<Clock> = fc
    .array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.nat(3)))
    .map((entries) => new Map(entries));

  test("domination is reflexive and transitive, and zeros do not count (P-107, P-704)", () => {
    const dominated = fc.tuple(clock, clock, clock);
    fc.assert(
      fc.property(dominated, ([a, b, c]) => {
        expect(dominates(a, a)).toBe(true);
        expect(dominates(a, new Map())).toBe(true);
        if (dominates(a, b) && dominates(b, c)) expect(dominates(a, c)).toBe(true);
        const withZeros = new Map([...a, ["z", 0] as const]);
        expect(dominates(a, withZeros) && dominates(withZeros, a)).toBe(true);
      }),
    );
    expect(dominates(new Map([["a", 1]]), new Map([["b", 1]]))).toBe(false);
    expect(dominates(new Map([["a", 1]]), new Map([["a", 2]]))).toBe(false);
  });

  test("the asked replicas are those ahead of the own clock, none if it dominates (P-106, P-513)", () => {
    fc.assert(
      fc.property(clock, clock, (own, announced) => {
        const asked = behind(own, announced);
        expect(asked.length === 0).toBe(dominates(own, announced));
        for (const ref of asked) expect(announced.get(ref)).toBeGreaterThan(own.get(ref) ?? 0);
      }),
    );
  });
});

describe("the set of one replica's entries", () => {
  test("hearing the same twice changes nothing and gives no diff (P-500, P-602)", () => {
    fc.assert(
      fc.property(receivedOf, ({ received }) => {
        const origin = new RemoteReplica();
        for (const statement of received) {
          say(origin, statement);
          const before = all(origin);
          expect(say(origin, statement)).toEqual([]);
          expect(all(origin)).toEqual(before);
        }
      }),
      RUNS,
    );
  });

  test("deltas and states in any order converge with the newest state (P-501, P-083, P-623)", () => {
    fc.assert(
      fc.property(receivedOf, fc.infiniteStream(fc.nat()), ({ history, received }, random) => {
        const newest = history.snapshots.at(-1);
        if (newest === undefined) return;
        const said = [...received, { snapshot: newest }];
        const shuffled = said.map((item) => [random.next().value, item] as const).sort((a, b) => a[0] - b[0]);
        const one = fresh(said);
        const other = fresh(shuffled.map(([, item]) => item));
        expect(all(one)).toEqual(all(other));
        expect(refsOf(one.entries())).toEqual(refsOf(newest.entries));
      }),
      RUNS,
    );
  });

  test("any order of the same deltas, gaps included, shows the same (P-501)", () => {
    fc.assert(
      fc.property(acts(), fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 20 }), (steps, picks) => {
        const { deltas } = play(steps);
        if (deltas.length === 0) return;
        const some = picks.map(
          ([pick, order]) => [order, { delta: deltas[pick % deltas.length] as Delta }] as const,
        );
        const shuffled = some.toSorted((a, b) => a[0] - b[0]);
        expect(all(fresh(some.map(([, item]) => item)))).toEqual(
          all(fresh(shuffled.map(([, item]) => item))),
        );
      }),
      RUNS,
    );
  });

  test("deltas merge in any grouping without a gap (P-502, P-080)", () => {
    fc.assert(
      fc.property(acts(), fc.nat(), fc.nat(), (steps, n, m) => {
        const { deltas } = play(steps);
        if (deltas.length < 3) return;
        const at = n % (deltas.length - 2);
        const [a, b, c] = deltas.slice(at, at + 3) as [Delta, Delta, Delta];
        const left = mergeDeltas(mergeDeltas(a, b) as Delta, c);
        const right = mergeDeltas(a, mergeDeltas(b, c) as Delta);
        expect(left).toEqual(right);
        expect(mergeDeltas(a, c)).toBeUndefined();
        const until = deltas.slice(0, at + (m % 4)).map((delta) => ({ delta }));
        const merged = fresh([...until, { delta: left as Delta }]);
        const single = fresh([...until, { delta: a }, { delta: b }, { delta: c }]);
        expect(all(merged)).toEqual(all(single));
      }),
      RUNS,
    );
  });

  test("what is known never shrinks (P-503)", () => {
    fc.assert(
      fc.property(receivedOf, ({ received }) => {
        const origin = new RemoteReplica();
        let version = 0;
        let latest = 0;
        for (const statement of received) {
          say(origin, statement);
          const said = "delta" in statement ? statement.delta.to : statement.snapshot.version;
          expect(origin.version).toBeGreaterThanOrEqual(version);
          expect(origin.latest).toBeGreaterThanOrEqual(Math.max(latest, said));
          ({ version, latest } = origin);
        }
      }),
      RUNS,
    );
  });

  test("all deltas in any order, repeated, are as good as the full state (P-504, P-080)", () => {
    fc.assert(
      fc.property(acts(), fc.infiniteStream(fc.nat()), (steps, random) => {
        const history = play(steps);
        const twice = [...history.deltas, ...history.deltas];
        const shuffled = twice
          .map((delta) => [random.next().value, delta] as const)
          .sort((a, b) => a[0] - b[0])
          .map(([, delta]) => ({ delta }));
        const byDeltas = fresh(shuffled);
        const byState = fresh([
          { snapshot: { version: last(history).to, entries: [...history.own.entries()] } },
        ]);
        expect(all(byDeltas)).toEqual(all(byState));
        expect(byDeltas.residue).toBe(0);
      }),
      RUNS,
    );
  });

  test("what was seen to be removed never shows again, whatever older message comes (P-505, P-070)", () => {
    fc.assert(
      fc.property(receivedOf, ({ history, received }) => {
        const origin = new RemoteReplica();
        const gone = new Set<string>();
        for (const statement of received) {
          for (const { before } of say(origin, statement))
            if (before !== undefined) gone.add(before.meta.phx_ref);
          for (const { meta, version } of origin.entries()) {
            expect(gone.has(meta.phx_ref)).toBe(false);
            const removed = history.removedAt.get(meta.phx_ref);
            if (removed !== undefined) expect(origin.version < removed || version > removed).toBe(true);
          }
        }
      }),
      RUNS,
    );
  });

  test("the diffs applied from nothing give the list at every step (P-508, P-140, P-141)", () => {
    fc.assert(
      fc.property(receivedOf, ({ received }) => {
        const origin = new RemoteReplica();
        const view = new View();
        const client = new Map<string, string>();
        for (const statement of received) {
          for (const [topic, { joins, leaves }] of view.take(say(origin, statement))) {
            for (const [, { phx_ref }] of leaves) expect(client.delete(phx_ref)).toBe(true);
            for (const [, { phx_ref }] of joins) {
              expect(client.has(phx_ref)).toBe(false);
              client.set(phx_ref, topic);
            }
          }
          expect([...client.keys()].sort()).toEqual(refsOf(origin.entries()));
          const listed = ["room0", "room1"].flatMap((topic) => view.entries(topic));
          expect(refsOf(listed)).toEqual(refsOf(origin.entries()));
        }
      }),
      RUNS,
    );
  });

  test("an entry has one state, and a newer one is never replaced by an older one (P-510, P-084)", () => {
    fc.assert(
      fc.property(receivedOf, ({ received }) => {
        const origin = new RemoteReplica();
        const newest = new Map<string, number>();
        for (const statement of received) {
          say(origin, statement);
          const seen = new Set<string>();
          for (const { topic, pid, key, version } of origin.entries()) {
            const entry = `${topic} ${pid} ${key}`;
            expect(seen.has(entry)).toBe(false);
            seen.add(entry);
            expect(version).toBeGreaterThanOrEqual(newest.get(entry) ?? 0);
            newest.set(entry, version);
          }
        }
      }),
      RUNS,
    );
  });

  test("dropping what a closed gap makes superfluous changes no later outcome (P-512, P-075)", () => {
    fc.assert(
      fc.property(receivedOf, ({ history, received }) => {
        // One receives everything in order and so never keeps anything; the other receives it with
        // gaps.
        const inOrder = fresh(history.deltas.map((delta) => ({ delta })));
        expect(inOrder.residue).toBe(0);
        const gapped = fresh([...received, ...history.deltas.map((delta) => ({ delta }))]);
        expect(all(gapped)).toEqual(all(inOrder));
      }),
      RUNS,
    );
  });

  test("changes beyond a large gap are dropped until the gap is closed (P-084, P-086)", () => {
    fc.assert(
      fc.property(receivedOf, ({ history, received }) => {
        const origin = new RemoteReplica({ beyond: 3 });
        const gone = new Set<string>();
        for (const statement of received)
          for (const { before, after } of say(origin, statement)) {
            if (before !== undefined) gone.add(before.meta.phx_ref);
            if (after !== undefined) expect(gone.has(after.meta.phx_ref)).toBe(false);
          }
        expect(origin.residue).toBeLessThanOrEqual(8);
        origin.replace(history.snapshots.at(-1) ?? { version: 0, entries: [] });
        expect(refsOf(origin.entries())).toEqual(refsOf(history.own.entries()));
      }),
      RUNS,
    );
  });

  test("changes between two deltas condense, and short-lived entries vanish (P-079, P-629, P-630)", () => {
    const own = new LocalReplica();
    const changesOf = (delta: Delta | undefined) =>
      (delta?.changes ?? []).map((change) => ("meta" in change ? change.meta.phx_ref : "gone"));
    own.join("room", "p", "k", { phx_ref: "a" }, 1);
    own.leave("room", "p", "k");
    expect(own.flushDelta()).toBeUndefined();
    own.join("room", "p", "k", { phx_ref: "b" }, 2);
    own.update("room", "p", "k", { phx_ref: "c", phx_ref_prev: "b" });
    own.update("room", "p", "k", { phx_ref: "d", phx_ref_prev: "c" });
    expect(changesOf(own.flushDelta())).toEqual(["d"]);
    own.update("room", "p", "k", { phx_ref: "e", phx_ref_prev: "d" });
    own.leaveAll("p");
    expect(changesOf(own.flushDelta())).toEqual(["gone"]);
    expect(own.size + own.processes).toBe(0);
  });

  test("tracked, untracked and tracked again around losses, the last state stays (P-632)", () => {
    const { deltas, own } = play([
      ["join", 0, 0],
      ["tell", 0, 0],
      ["leave", 0, 0],
      ["tell", 0, 0],
      ["join", 0, 0],
      ["tell", 0, 0],
    ]);
    const orders = [
      [0, 1, 2],
      [2, 0, 1],
      [2, 1, 0],
      [0, 2, 1],
      [1, 0, 2],
    ];
    for (const order of orders) {
      const origin = new RemoteReplica();
      for (const n of order) origin.apply(deltas[n] as Delta);
      expect(refsOf(origin.entries())).toEqual(refsOf(own.entries()));
    }
    const lossy = new RemoteReplica();
    lossy.apply(deltas[0] as Delta);
    lossy.apply(deltas[2] as Delta);
    expect(refsOf(lossy.entries())).toEqual(refsOf(own.entries()));
  });

  test("an entry joined and left in reordered deltas never shows (P-603)", () => {
    const { deltas } = play([
      ["join", 0, 0],
      ["join", 1, 1],
      ["tell", 0, 0],
      ["leave", 0, 0],
      ["join", 2, 2],
      ["tell", 0, 0],
    ]);
    const origin = new RemoteReplica();
    const joined: string[] = [];
    for (const delta of deltas.toReversed())
      for (const { after } of origin.apply(delta)) if (after !== undefined) joined.push(after.key);
    expect(joined.sort()).toEqual(["k1", "k2"]);
    expect([origin.version, origin.residue]).toEqual([4, 0]);
  });

  test("a delta after a lost one shows at once, and the gap stays known (P-074, P-601)", () => {
    const { deltas } = play([
      ["join", 0, 0],
      ["tell", 0, 0],
      ["join", 1, 1],
      ["tell", 0, 0],
    ]);
    const origin = new RemoteReplica();
    expect(origin.apply(deltas[1] as Delta)).toHaveLength(1);
    expect([origin.version, origin.latest, origin.gapped]).toEqual([0, 2, true]);
    expect(origin.apply(deltas[0] as Delta)).toHaveLength(1);
    expect([origin.version, origin.latest, origin.gapped]).toEqual([2, 2, false]);
  });

  test("a large delta goes out in parts that follow one another and are worth as much (P-110, P-502)", () => {
    fc.assert(
      fc.property(acts(80), fc.integer({ min: 1, max: 5 }), (steps, limit) => {
        const history = play(steps);
        const parts = history.deltas.flatMap((delta) => [...splitDelta(delta, limit)]);
        parts.reduce((from, part) => {
          expect(part.from).toBe(from);
          expect(part.changes.length).toBeLessThanOrEqual(limit);
          for (const { version } of part.changes)
            expect(version > part.from && version <= part.to).toBe(true);
          return part.to;
        }, 0);
        const whole = fresh(history.deltas.map((delta) => ({ delta })));
        expect(all(fresh(parts.map((delta) => ({ delta }))))).toEqual(all(whole));
      }),
      RUNS,
    );
  });
});

describe("the journal of own deltas", () => {
  test("the log gives exactly the missing changes, or says that it cannot (P-082, P-514, P-737)", () => {
    fc.assert(
      fc.property(acts(120), fc.integer({ min: 1, max: 30 }), fc.nat(), (steps, maxChanges, ask) => {
        const history = play(steps);
        const log = new DeltaLog({ maxChanges, maxBytes: 1e6 });
        for (const delta of history.deltas) log.add(delta, 0);
        expect(log.size).toBeLessThanOrEqual(maxChanges);
        const since = ask % (last(history).to + 1);
        const missed = log.since(since);
        expect(missed === undefined).toBe(since < log.start);
        if (missed === undefined) return;
        expect(missed.changes).toEqual(condense(history.deltas, since));
        // Who knew everything up to there knows everything now.
        const knew = fresh(history.deltas.filter(({ to }) => to <= since).map((delta) => ({ delta })));
        if (knew.version !== since) return;
        knew.apply(missed);
        expect(all(knew)).toEqual(
          all(fresh([{ snapshot: { version: last(history).to, entries: [...history.own.entries()] } }])),
        );
      }),
      RUNS,
    );
  });

  test("the log is cut by number and bytes, and is replaced after a gap (P-081, P-716)", () => {
    const { deltas } = play(
      [0, 1, 2, 3].flatMap((who) =>
        [0, 1, 2].flatMap((key) => [["join", who, key] as const, ["tell", 0, 0] as const]),
      ),
    );
    expect(deltas).toHaveLength(12);
    const short = new DeltaLog({ maxChanges: 5, maxBytes: 1e6 });
    for (const delta of deltas) short.add(delta, 0);
    expect([short.start, short.size]).toEqual([7, 5]);
    const log = new DeltaLog({ maxChanges: 1000, maxBytes: 400 });
    for (const delta of deltas) log.add(delta, 0);
    expect(log.bytes).toBeLessThanOrEqual(400);
    expect(log.bytes).toBeGreaterThan(300);
    expect(log.start).toBeGreaterThan(0);
    log.add({ from: 1000, to: 1001, changes: [] }, 0);
    expect([log.start, log.size]).toEqual([1000, 0]);
    log.confirmed(1001);
    expect([log.start, log.size, log.bytes]).toEqual([1001, 0, 0]);
  });
});

describe("memory", () => {
  test("a million joins and leaves leave no trace at either end (P-075, P-511, P-716)", () => {
    const own = new LocalReplica();
    const log = new DeltaLog({ maxChanges: 10_000, maxBytes: 8 << 20 });
    const origin = new RemoteReplica();
    const view = new View();
    for (let n = 0; n < 500_000; n += 1) {
      const pid = `p${n % 50}`;
      own.join("room", pid, "k", { phx_ref: `r${n}` }, n);
      if (n % 5 === 0) tellAll();
      own.leave("room", pid, "k");
      if (n % 1000 === 0) tellAll();
    }
    tellAll();
    function tellAll(): void {
      const delta = own.flushDelta();
      if (delta === undefined) return;
      log.add(delta, 0);
      view.take(origin.apply(delta));
      log.confirmed(origin.version);
    }
    expect(own.version).toBe(1_000_000);
    expect([
      own.size,
      own.processes,
      log.size,
      log.bytes,
      origin.size,
      origin.residue,
      view.size,
      view.topics,
    ]).toEqual(Array(8).fill(0));
    expect([[...origin.topics()], [...own.topics()], origin.digest.entries()]).toEqual([[], [], []]);
  }, 90_000);

  test("merging ten changes costs the same in large and small states (P-705)", () => {
    const timeOf = (entries: number): number => {
      const own = new LocalReplica();
      const origin = new RemoteReplica();
      const view = new View();
      for (let n = 0; n < entries; n += 1)
        own.join(`room${n % 100}`, `p${n}`, `k${n}`, { phx_ref: `r${n}` }, n);
      view.take(origin.apply(own.flushDelta() as Delta));
      const times: number[] = [];
      for (let round = 0; round < 200; round += 1) {
        for (let n = 0; n < 10; n += 1)
          own.update(`room${n}`, `p${n}`, `k${n}`, { phx_ref: `u${round}.${n}` });
        const delta = own.flushDelta() as Delta;
        const from = performance.now();
        view.take(origin.apply(delta));
        times.push(performance.now() - from);
      }
      return times.sort((a, b) => a - b)[100] as number;
    };
    timeOf(1000);
    expect(timeOf(100_000)).toBeLessThan(1);
  });
});
