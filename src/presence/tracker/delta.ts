/**
 * A delta is what one replica changed between two points of its history, condensed to the last
 * change of each entry (a delta-state CRDT).
 *
 * Only the replica whose process tracked an entry ever changes it, so its changes are numbered 1,
 * 2, 3 … and an entry is a register that the highest number wins. That makes merging deltas a
 * union: in any order, any number of times, with the same result. No other replica's word about an
 * entry is ever needed or believed.
 */

/** What presence knows of one entry. `phx_ref` names this very state of it. */
export type Meta = Readonly<Record<string, unknown>> & {
  readonly phx_ref: string;
  readonly phx_ref_prev?: string;
};

/** One entry as its replica tells it. */
export interface Entry {
  readonly topic: string;
  /** The tracked process, as text: unique among the processes of its replica. */
  readonly pid: string;
  readonly key: string;
  readonly meta: Meta;
  /** The number of the change that made it what it is. */
  readonly version: number;
  /**
   * Wall-clock ms at which it joined, always increasing in one replica. With `first` it gives its
   * place in lists.
   */
  readonly joined: number;
  /** The `phx_ref` it joined with. */
  readonly first: string;
}

/** An entry is gone as of this change. */
export interface Tombstone {
  readonly topic: string;
  readonly pid: string;
  readonly key: string;
  readonly version: number;
}

export type Change = Entry | Tombstone;

export const isEntry = (change: Change): change is Entry => "meta" in change;

/** Names an entry within its topic: a process is tracked once per topic and key. */
export const entryKey = (pid: string, key: string): string => `${pid} ${key}`;

/** Names an entry within its replica. */
export const entryId = ({ topic, pid, key }: Pick<Change, "topic" | "pid" | "key">): string =>
  `${pid} ${key.length} ${key}${topic}`;

/** All that happened after change `from`, up to and with change `to`. */
export interface Delta {
  readonly from: number;
  readonly to: number;
  /** At most one per id; their versions lie after `from` and not after `to`. */
  readonly changes: readonly Change[];
}

/** Everything of one replica at one point of its history. */
export interface Snapshot {
  readonly version: number;
  readonly entries: readonly Entry[];
}

/** Whether nothing is missing between the two. */
export const touching = (a: Delta, b: Delta): boolean => a.from <= b.to && b.from <= a.to;

/** Both as one; undefined when something between them is missing. */
export function mergeDeltas(a: Delta, b: Delta): Delta | undefined {
  if (!touching(a, b)) return undefined;
  return { from: Math.min(a.from, b.from), to: Math.max(a.to, b.to), changes: condense([a, b]) };
}

/** The last change of each entry, in order of their numbers, of those after `since`. */
export function condense(deltas: Iterable<Delta>, since = 0): Change[] {
  const last = new Map<string, Change>();
  for (const { changes } of deltas) {
    for (const change of changes) {
      if (change.version <= since) continue;
      const id = entryId(change);
      if (change.version > (last.get(id)?.version ?? 0)) last.set(id, change);
    }
  }
  return [...last.values()].sort((a, b) => a.version - b.version);
}

/** Splits a delta into consecutive ones of at most `limit` changes each. */
export function* splitDelta({ from, to, changes }: Delta, limit: number): Iterable<Delta> {
  let start = from;
  for (let index = 0; index < changes.length; index += limit) {
    const part = changes.slice(index, index + limit);
    const last = index + limit >= changes.length;
    const end = last ? to : (part.at(-1) as Change).version;
    yield { from: start, to: end, changes: part };
    start = end;
  }
  if (changes.length === 0) yield { from, to, changes };
}
