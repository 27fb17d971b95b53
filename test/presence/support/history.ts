/**
 * Histories of one replica for tests of the algebra: what it did, and every message it could have
 * sent about it.
 */
import fc from "fast-check";
import type { Delta, Entry, Snapshot } from "../../../src/presence/tracker/delta.js";
import { mergeDeltas } from "../../../src/presence/tracker/delta.js";
import { LocalReplica } from "../../../src/presence/tracker/local-replica.js";
import type { RemoteReplica } from "../../../src/presence/tracker/remote-replica.js";

export type Act = readonly ["join" | "update" | "leave" | "tell", who: number, key: number];

export const acts = (maxLength = 40): fc.Arbitrary<Act[]> =>
  fc.array(
    fc.tuple(
      fc.constantFrom("join", "join", "update", "leave", "tell", "tell") as fc.Arbitrary<Act[0]>,
      fc.nat(3),
      fc.nat(2),
    ),
    { maxLength },
  );

export interface History {
  readonly own: LocalReplica;
  /** What was notified, in order; they follow one another. */
  readonly deltas: readonly Delta[];
  /** Everything at each moment of telling. */
  readonly snapshots: readonly Snapshot[];
  /** Entries gone by each change. */
  readonly removedAt: ReadonlyMap<string, number>;
}

export function play(steps: readonly Act[]): History {
  const own = new LocalReplica();
  const deltas: Delta[] = [];
  const snapshots: Snapshot[] = [];
  const removedAt = new Map<string, number>();
  let ref = 0;
  const tell = (): void => {
    const delta = own.flushDelta();
    if (delta === undefined) return;
    deltas.push(delta);
    snapshots.push({ version: own.published, entries: [...own.entries()] });
  };
  for (const [what, who, key] of steps) {
    const at = [`room${key % 2}`, `<0.${who}.0>`, `k${key}`] as const;
    ref += 1;
    const meta = { phx_ref: `r${ref}` };
    if (what === "tell") tell();
    else if (what === "join") own.join(...at, meta, ref);
    else if (what === "update") {
      const before = own.get(...at);
      if (own.update(...at, meta)) removedAt.set((before as Entry).meta.phx_ref, own.version);
    } else {
      const step = own.leave(...at);
      if (step?.before !== undefined) removedAt.set(step.before.meta.phx_ref, own.version);
    }
  }
  tell();
  return { own, deltas, snapshots, removedAt };
}

export type Statement = { readonly delta: Delta } | { readonly snapshot: Snapshot };

export const say = (origin: RemoteReplica, statement: Statement): ReturnType<RemoteReplica["apply"]> =>
  "delta" in statement ? origin.apply(statement.delta) : origin.replace(statement.snapshot);

/** Any of what could be said about a history: single deltas, merged ones, snapshots of any age. */
export function statements(history: History): Statement[] {
  const { deltas, snapshots } = history;
  const all: Statement[] = [
    ...deltas.map((delta) => ({ delta })),
    ...snapshots.map((snapshot) => ({ snapshot })),
  ];
  for (let from = 0; from < deltas.length; from += 1) {
    let merged = deltas[from] as Delta;
    for (let to = from + 1; to < Math.min(deltas.length, from + 4); to += 1) {
      merged = mergeDeltas(merged, deltas[to] as Delta) as Delta;
      all.push({ delta: merged });
    }
  }
  return all;
}

/** What is visible, comparable. */
export const refsOf = (entries: Iterable<Entry>): string[] =>
  [...entries].map(({ meta }) => meta.phx_ref).sort();

/** All that is known, comparable: entries and causal data. */
export const all = (origin: RemoteReplica): unknown => [
  [...origin.entries()].map((entry) => JSON.stringify(entry)).sort(),
  origin.version,
  origin.latest,
  origin.residue,
];
