/**
 * What is visible: the entries of all replicas that are up, per topic and in the order in which
 * they joined, equal on every replica. Turns what changed into diffs, so that all diffs together
 * always give what is listed.
 */
import type { Meta, Row } from "./delta.js";
import type { Step } from "./remote-replica.js";

/** What changed on one topic. */
export interface TopicDiff {
  readonly joins: readonly (readonly [key: string, meta: Meta])[];
  readonly leaves: readonly (readonly [key: string, meta: Meta])[];
}

/** What changed, by topic; only topics with changes are in it. */
export type Diff = ReadonlyMap<string, TopicDiff>;

interface Topic {
  rows: Row[];
  /** Number of entries of each key. */
  readonly keys: Map<string, number>;
}

/** A view for reading. */
export type ReadView = Pick<View, "size" | "topics" | "names" | "rows" | "keys" | "metas">;

/** More changes of one topic than this are sorted in at once, not one by one. */
const FEW = 32;

const EMPTY: readonly Row[] = [];

export const inOrder = (a: Row, b: Row): number =>
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
  rows(topic: string): readonly Row[] {
    return this.#topics.get(topic)?.rows ?? EMPTY;
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
      const { topic } = (step.after ?? step.before) as Row;
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
      topic = { rows: [], keys: new Map() };
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
    if (steps.length <= FEW) for (const step of steps) place(topic.rows, step);
    else {
      const gone = new Set(steps.map(({ before }) => before));
      const come = steps.flatMap(({ after }) => (after === undefined ? [] : [after]));
      topic.rows = [...topic.rows.filter((row) => !gone.has(row)), ...come].sort(inOrder);
    }
    if (topic.rows.length === 0) this.#topics.delete(name);
  }
}

function place(rows: Row[], { before, after }: Step): void {
  if (before !== undefined && after !== undefined && inOrder(before, after) === 0) {
    rows[find(rows, before)] = after;
    return;
  }
  if (before !== undefined) rows.splice(find(rows, before), 1);
  if (after === undefined) return;
  const last = rows.at(-1);
  if (last === undefined || inOrder(last, after) < 0) rows.push(after);
  else rows.splice(lowest(rows, after), 0, after);
}

function find(rows: readonly Row[], row: Row): number {
  let index = lowest(rows, row);
  while (index < rows.length && rows[index] !== row) index += 1;
  if (index === rows.length) throw new Error(`an entry that is not listed changed: ${row.topic} ${row.key}`);
  return index;
}

/** Index of the first that does not come before `row`. */
function lowest(rows: readonly Row[], row: Row): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (inOrder(rows[middle] as Row, row) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
