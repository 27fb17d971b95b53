/**
 * What is known of one replica's entries: a delta-state observed-remove set with a single writer.
 *
 * `version` says that all its changes up to there are in; later ones that came with a gap before
 * them show at once and are remembered as ranges until the gap is closed. A removal is remembered
 * only beyond the gap: as soon as everything before it is known, an entry that is not there is
 * known to be gone, and no tombstone is left.
 *
 *     changes of the origin    1 2 3 4 5 6 7 8 9
 *     seen here                ■ ■ ■ ■     ■ ■       version 4, one range 6..8
 */
import {
  type Change,
  type Delta,
  entryOf,
  isRow,
  placeOf,
  type Removal,
  type Row,
  type Snapshot,
} from "./delta.js";
import { Digest } from "./digest.js";

/** One entry that came, went, or was replaced. */
export interface Step {
  readonly before: Row | undefined;
  readonly after: Row | undefined;
}

export interface OriginLimits {
  /** Changes kept beyond a gap; with more, everything waits for a snapshot. */
  readonly beyond: number;
}

const DEFAULT_LIMITS: OriginLimits = { beyond: 10_000 };
const NOTHING: readonly Step[] = [];

export class RemoteReplica {
  readonly digest = new Digest();
  readonly #topics = new Map<string, Map<string, Row>>();
  /** Removals beyond the gap. */
  readonly #removed = new Map<string, Removal>();
  readonly #limits: OriginLimits;
  #version = 0;
  #size = 0;
  /** What was seen beyond the gap: disjoint, in order. */
  #ranges: { from: number; to: number }[] = [];
  #beyond = 0;
  /** Set when too much came beyond a gap: only what closes it up to here is taken any more. */
  #awaited: number | undefined;

  constructor(limits: OriginLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  /** All changes up to this one are known. */
  get version(): number {
    return this.#version;
  }

  /** Whether something later is known than something missing. */
  get gapped(): boolean {
    return this.#ranges.length > 0 || this.#awaited !== undefined;
  }

  /** The latest change known. */
  get latest(): number {
    return Math.max(this.#version, this.#ranges.at(-1)?.to ?? 0, this.#awaited ?? 0);
  }

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  /** Causal data kept beside the entries: none without a gap. */
  get residue(): number {
    return this.#ranges.length + this.#removed.size;
  }

  get(topic: string, place: string): Row | undefined {
    return this.#topics.get(topic)?.get(place);
  }

  topic(name: string): ReadonlyMap<string, Row> | undefined {
    return this.#topics.get(name);
  }

  topics(): IterableIterator<string> {
    return this.#topics.keys();
  }

  *rows(): Iterable<Row> {
    for (const topic of this.#topics.values()) yield* topic.values();
  }

  /** A snapshot at the present version; only what has no gap can be told. */
  snapshot(): Snapshot {
    return {
      version: this.#version,
      rows: [...this.rows()].filter(({ version }) => version <= this.#version),
    };
  }

  /**
   * Takes a delta, wherever in the history it belongs. Gives what changed; nothing when all of it
   * was known.
   */
  apply(delta: Delta): readonly Step[] {
    if (delta.to <= this.#version) return NOTHING;
    if (this.#awaited !== undefined) {
      this.#awaited = Math.max(this.#awaited, delta.to);
      if (delta.from > this.#version || delta.to < this.#awaited) return NOTHING;
      this.#awaited = undefined;
    }
    const steps: Step[] = [];
    for (const change of delta.changes) if (change.version > this.#version) this.#change(change, steps);
    this.#see(delta.from, delta.to);
    if (this.#beyond > this.#limits.beyond) this.#overflow();
    return steps;
  }

  /**
   * Takes everything the origin had at one point: what it does not contain, and is not newer, is
   * gone.
   */
  replace({ version, rows }: Snapshot): readonly Step[] {
    if (version < this.#version || version < (this.#awaited ?? 0)) return NOTHING;
    this.#awaited = undefined;
    const steps: Step[] = [];
    const present = new Set(rows.map(entryOf));
    for (const row of [...this.rows()]) {
      if (row.version <= version && !present.has(entryOf(row))) this.#remove(row, steps);
    }
    for (const row of rows) this.#change(row, steps);
    this.#see(0, version);
    return steps;
  }

  /**
   * Forgets the entries of topics this replica does not keep any more; what it knows of the
   * origin's changes stays.
   */
  keep(owns: (topic: string) => boolean): readonly Step[] {
    const steps: Step[] = [];
    for (const topic of [...this.#topics.keys()]) {
      if (owns(topic)) continue;
      for (const row of [...(this.#topics.get(topic)?.values() ?? [])]) this.#remove(row, steps);
    }
    return steps;
  }

  #change(change: Change, steps: Step[]): void {
    const { topic, pid, key, version } = change;
    const place = placeOf(pid, key);
    const before = this.get(topic, place);
    if (before !== undefined && version <= before.version) return;
    const entry = this.#removed.size > 0 || !isRow(change) ? entryOf(change) : "";
    const removed = this.#removed.get(entry);
    if (removed !== undefined) {
      if (version <= removed.version) return;
      this.#removed.delete(entry);
    }
    if (isRow(change)) {
      let rows = this.#topics.get(topic);
      if (rows === undefined) {
        rows = new Map();
        this.#topics.set(topic, rows);
      }
      rows.set(place, change);
      this.digest.toggle(change);
      if (before === undefined) this.#size += 1;
      else this.digest.toggle(before);
      steps.push({ before, after: change });
    } else {
      this.#removed.set(entry, change);
      if (before !== undefined) this.#remove(before, steps);
    }
    this.#beyond += 1;
  }

  #remove(row: Row, steps: Step[]): void {
    const rows = this.#topics.get(row.topic);
    if (rows?.delete(placeOf(row.pid, row.key)) !== true || rows === undefined) return;
    if (rows.size === 0) this.#topics.delete(row.topic);
    this.#size -= 1;
    this.digest.toggle(row);
    steps.push({ before: row, after: undefined });
  }

  /**
   * Notes that all changes after `from` up to `to` are in, and forgets what that makes superfluous.
   */
  #see(from: number, to: number): void {
    const ranges = [...this.#ranges, { from, to }].sort((a, b) => a.from - b.from);
    this.#ranges = [];
    for (const range of ranges) {
      if (range.from <= this.#version) {
        this.#version = Math.max(this.#version, range.to);
        continue;
      }
      const last = this.#ranges.at(-1);
      if (last !== undefined && range.from <= last.to) last.to = Math.max(last.to, range.to);
      else this.#ranges.push({ ...range });
    }
    if (this.#ranges.length === 0) {
      this.#removed.clear();
      this.#beyond = 0;
    } else if (this.#removed.size > 0) {
      for (const [entry, { version }] of this.#removed)
        if (version <= this.#version) this.#removed.delete(entry);
    }
  }

  #overflow(): void {
    this.#awaited = this.latest;
    this.#ranges = [];
    this.#removed.clear();
    this.#beyond = 0;
  }
}
