/**
 * RemoteReplica holds what is known of another replica's entries: a delta-state observed-remove set
 * with a single writer.
 *
 * All changes up to `version` are applied. Later changes after a gap are applied at once, and
 * remembered as ranges until the gap is closed. Tombstones exist only beyond the gap: once
 * everything before is known, a missing entry is known to be removed.
 *
 *     changes of the origin    1 2 3 4 5 6 7 8 9
 *     seen here                ■ ■ ■ ■     ■ ■       version 4, one range 6..8
 */
import {
  type Change,
  type Delta,
  type Entry,
  entryId,
  entryKey,
  isEntry,
  type Snapshot,
  type Tombstone,
} from "./delta.js";
import { Digest } from "./digest.js";

/** One entry that came, went, or was replaced. */
export interface Step {
  readonly before: Entry | undefined;
  readonly after: Entry | undefined;
}

export interface OriginLimits {
  /** Changes kept beyond a gap; with more, everything waits for a snapshot. */
  readonly beyond: number;
}

const DEFAULT_LIMITS: OriginLimits = { beyond: 10_000 };
const NOTHING: readonly Step[] = [];

export class RemoteReplica {
  readonly digest = new Digest();
  readonly #topics = new Map<string, Map<string, Entry>>();
  /** Removals beyond the gap. */
  readonly #removed = new Map<string, Tombstone>();
  readonly #limits: OriginLimits;
  #version = 0;
  #size = 0;
  /** What was seen beyond the gap: disjoint, in order. */
  #ranges: { from: number; to: number }[] = [];
  #beyond = 0;
  /** Set when too many changes came after a gap: only a delta or snapshot up to here is applied. */
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

  get(topic: string, place: string): Entry | undefined {
    return this.#topics.get(topic)?.get(place);
  }

  topic(name: string): ReadonlyMap<string, Entry> | undefined {
    return this.#topics.get(name);
  }

  topics(): IterableIterator<string> {
    return this.#topics.keys();
  }

  *entries(): Iterable<Entry> {
    for (const topic of this.#topics.values()) yield* topic.values();
  }

  /** A snapshot at the present version, without entries beyond a gap. */
  snapshot(): Snapshot {
    return {
      version: this.#version,
      entries: [...this.entries()].filter(({ version }) => version <= this.#version),
    };
  }

  /**
   * Applies a delta, wherever in the history it belongs. Returns what changed; nothing when all of
   * it was known.
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
   * Applies everything the replica had at one point: entries that it does not contain, and that are
   * not newer, are removed.
   */
  replace({ version, entries }: Snapshot): readonly Step[] {
    if (version < this.#version || version < (this.#awaited ?? 0)) return NOTHING;
    this.#awaited = undefined;
    const steps: Step[] = [];
    const present = new Set(entries.map(entryId));
    for (const entry of [...this.entries()]) {
      if (entry.version <= version && !present.has(entryId(entry))) this.#remove(entry, steps);
    }
    for (const entry of entries) this.#change(entry, steps);
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
      for (const entry of [...(this.#topics.get(topic)?.values() ?? [])]) this.#remove(entry, steps);
    }
    return steps;
  }

  #change(change: Change, steps: Step[]): void {
    const { topic, pid, key, version } = change;
    const place = entryKey(pid, key);
    const before = this.get(topic, place);
    if (before !== undefined && version <= before.version) return;
    const id = this.#removed.size > 0 || !isEntry(change) ? entryId(change) : "";
    const removed = this.#removed.get(id);
    if (removed !== undefined) {
      if (version <= removed.version) return;
      this.#removed.delete(id);
    }
    if (isEntry(change)) {
      let entries = this.#topics.get(topic);
      if (entries === undefined) {
        entries = new Map();
        this.#topics.set(topic, entries);
      }
      entries.set(place, change);
      this.digest.toggle(change);
      if (before === undefined) this.#size += 1;
      else this.digest.toggle(before);
      steps.push({ before, after: change });
    } else {
      this.#removed.set(id, change);
      if (before !== undefined) this.#remove(before, steps);
    }
    this.#beyond += 1;
  }

  #remove(entry: Entry, steps: Step[]): void {
    const entries = this.#topics.get(entry.topic);
    if (entries?.delete(entryKey(entry.pid, entry.key)) !== true || entries === undefined) return;
    if (entries.size === 0) this.#topics.delete(entry.topic);
    this.#size -= 1;
    this.digest.toggle(entry);
    steps.push({ before: entry, after: undefined });
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
      for (const [id, { version }] of this.#removed) if (version <= this.#version) this.#removed.delete(id);
    }
  }

  #overflow(): void {
    this.#awaited = this.latest;
    this.#ranges = [];
    this.#removed.clear();
    this.#beyond = 0;
  }
}
