/**
 * View holds the visible entries: those of all replicas that are up, per topic in the order of
 * joining, which is the same on every replica. It turns changes into diffs; all diffs together
 * always give the list.
 */
import type { Entry, Meta } from "./delta.js";
import type { Step } from "./remote-replica.js";

/** What changed on one topic. */
export interface TopicDiff {
  readonly joins: readonly (readonly [key: string, meta: Meta])[];
  readonly leaves: readonly (readonly [key: string, meta: Meta])[];
}

/** What changed, by topic; only topics with changes are in it. */
export type Diff = ReadonlyMap<string, TopicDiff>;

interface Topic {
  entries: Entry[];
  /** Number of entries of each key. */
  readonly keys: Map<string, number>;
}

/** A view for reading. */
export type ReadView = Pick<View, "size" | "topics" | "names" | "entries" | "keys" | "metas">;

/** More changes of one topic than this are sorted in at once, not one by one. */
const FEW = 32;

const EMPTY: readonly Entry[] = [];

export const inOrder = (a: Entry, b: Entry): number =>
  a.joined - b.joined || (a.first < b.first ? -1 : a.first > b.first ? 1 : 0);

export class View {
  readonly #topics = new Map<string, Topic>();
  #size = 0;

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  /** Number of topics with entries. */
  get topics(): number {
    return this.#topics.size;
  }

  /** Topics with entries. */
  names(): IterableIterator<string> {
    return this.#topics.keys();
  }

  /** The entries of a topic. The array changes with it: copy what is to be kept. */
  entries(topic: string): readonly Entry[] {
    return this.#topics.get(topic)?.entries ?? EMPTY;
  }

  /** Number of different keys on a topic. */
  keys(topic: string): number {
    return this.#topics.get(topic)?.keys.size ?? 0;
  }

  /** Number of entries under this key. */
  metas(topic: string, key: string): number {
    return this.#topics.get(topic)?.keys.get(key) ?? 0;
  }

  /** Takes what changed; gives it as a diff. */
  take(steps: readonly Step[]): Diff {
    const byTopic = new Map<string, Step[]>();
    for (const step of steps) {
      const { topic } = (step.after ?? step.before) as Entry;
      const ofTopic = byTopic.get(topic);
      if (ofTopic === undefined) byTopic.set(topic, [step]);
      else ofTopic.push(step);
    }
    const diff = new Map<string, TopicDiff>();
    for (const [topic, ofTopic] of byTopic) {
      const joins: [string, Meta][] = [];
      const leaves: [string, Meta][] = [];
      for (const { before, after } of ofTopic) {
        if (before !== undefined) leaves.push([before.key, before.meta]);
        if (after !== undefined) joins.push([after.key, after.meta]);
      }
      this.#change(topic, ofTopic);
      diff.set(topic, { joins, leaves });
    }
    return diff;
  }

  #change(name: string, steps: readonly Step[]): void {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = { entries: [], keys: new Map() };
      this.#topics.set(name, topic);
    }
    for (const { before, after } of steps) {
      this.#size += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
      if (after !== undefined) topic.keys.set(after.key, (topic.keys.get(after.key) ?? 0) + 1);
      if (before !== undefined) {
        const left = (topic.keys.get(before.key) ?? 1) - 1;
        if (left === 0) topic.keys.delete(before.key);
        else topic.keys.set(before.key, left);
      }
    }
    if (steps.length <= FEW) for (const step of steps) place(topic.entries, step);
    else {
      const gone = new Set(steps.map(({ before }) => before));
      const come = steps.flatMap(({ after }) => (after === undefined ? [] : [after]));
      topic.entries = [...topic.entries.filter((entry) => !gone.has(entry)), ...come].sort(inOrder);
    }
    if (topic.entries.length === 0) this.#topics.delete(name);
  }
}

function place(entries: Entry[], { before, after }: Step): void {
  if (before !== undefined && after !== undefined && inOrder(before, after) === 0) {
    entries[find(entries, before)] = after;
    return;
  }
  if (before !== undefined) entries.splice(find(entries, before), 1);
  if (after === undefined) return;
  const last = entries.at(-1);
  if (last === undefined || inOrder(last, after) < 0) entries.push(after);
  else entries.splice(lowest(entries, after), 0, after);
}

function find(entries: readonly Entry[], entry: Entry): number {
  let index = lowest(entries, entry);
  while (index < entries.length && entries[index] !== entry) index += 1;
  if (index === entries.length)
    throw new Error(`an entry that is not listed changed: ${entry.topic} ${entry.key}`);
  return index;
}

/** Index of the first that does not come before `entry`. */
function lowest(entries: readonly Entry[], entry: Entry): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (inOrder(entries[middle] as Entry, entry) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
