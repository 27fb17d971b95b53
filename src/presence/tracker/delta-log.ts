/**
 * DeltaLog holds the last deltas of this replica, for replicas that missed some
 * (Phoenix.Tracker.DeltaGeneration).
 *
 * Deltas are removed at the old end: when all replicas have confirmed them, when there are more
 * than `maxChanges` changes, or more than `maxBytes` bytes. A replica that lacks changes of the log
 * gets exactly those; one that lacks older ones gets everything.
 */
import { type Change, condense, type Delta } from "./delta.js";

export interface LogLimits {
  /** Changes kept at most. */
  readonly maxChanges: number;
  /** Bytes kept at most, as `sizeOf` estimates them. */
  readonly maxBytes: number;
}

interface Kept {
  readonly delta: Delta;
  readonly at: number;
  readonly bytes: number;
}

/** About how many bytes a change is on the wire. */
export function sizeOf(change: Change): number {
  const names = change.topic.length + change.pid.length + change.key.length + 32;
  return "meta" in change ? names + JSON.stringify(change.meta).length : names;
}

export class DeltaLog {
  readonly #limits: LogLimits;
  #kept: Kept[] = [];
  #changes = 0;
  #bytes = 0;
  /** Where the journal ends: the next delta must begin here. */
  #end: number;

  constructor(limits: LogLimits, start = 0) {
    this.#limits = limits;
    this.#end = start;
  }

  /** Number of changes kept. */
  get size(): number {
    return this.#changes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The number before the first change in the log. */
  get start(): number {
    return this.#kept[0]?.delta.from ?? this.#end;
  }

  /** When the oldest delta after `version` was added; undefined when there is none. */
  addedAfter(version: number): number | undefined {
    return this.#kept.find(({ delta }) => delta.to > version)?.at;
  }

  /**
   * Adds the delta that follows the last one. A delta after a gap replaces the log.
   */
  add(delta: Delta, now: number): void {
    if (delta.from !== this.#end) this.#clear();
    const bytes = delta.changes.reduce((sum, change) => sum + sizeOf(change), 0);
    this.#kept.push({ delta, at: now, bytes });
    this.#changes += delta.changes.length;
    this.#bytes += bytes;
    this.#end = delta.to;
    while (this.#changes > this.#limits.maxChanges || this.#bytes > this.#limits.maxBytes) this.#drop();
  }

  /** Removes changes that all replicas have seen. */
  confirmed(version: number): void {
    while ((this.#kept[0]?.delta.to ?? Number.POSITIVE_INFINITY) <= version) this.#drop();
  }

  /** What happened after `version`; undefined when the journal does not reach back so far. */
  since(version: number): Delta | undefined {
    if (version < this.start) return undefined;
    const missed = this.#kept.filter(({ delta }) => delta.to > version).map(({ delta }) => delta);
    return { from: Math.min(version, this.#end), to: this.#end, changes: condense(missed, version) };
  }

  #drop(): void {
    const oldest = this.#kept.shift();
    if (oldest === undefined) return;
    this.#changes -= oldest.delta.changes.length;
    this.#bytes -= oldest.bytes;
  }

  #clear(): void {
    this.#kept = [];
    this.#changes = 0;
    this.#bytes = 0;
  }
}
