/**
 * The entries of the processes of this replica, numbered change by change, and what of them the
 * others have not been told yet.
 *
 * What comes and goes between two tellings is never told: it only uses up numbers.
 */
import { type Change, type Delta, entryOf, type Meta, placeOf, type Row } from "./delta.js";
import { Digest } from "./digest.js";
import type { Step } from "./remote-replica.js";

export class LocalReplica {
  readonly digest = new Digest();
  readonly #topics = new Map<string, Map<string, Row>>();
  readonly #byProcess = new Map<string, Map<string, Row>>();
  /** Last untold change of each entry; of one that joined untold, it says so. */
  readonly #untold = new Map<string, { readonly change: Change; readonly fresh: boolean }>();
  #version: number;
  #told: number;
  #size = 0;
  #lastJoined = 0;

  constructor(version = 0) {
    this.#version = version;
    this.#told = version;
  }

  /** Number of the last change. */
  get version(): number {
    return this.#version;
  }

  /** Number of the last change told to the others. */
  get told(): number {
    return this.#told;
  }

  /** Whether there is something to tell. */
  get pending(): boolean {
    return this.#untold.size > 0;
  }

  get size(): number {
    return this.#size;
  }

  get processes(): number {
    return this.#byProcess.size;
  }

  topic(name: string): ReadonlyMap<string, Row> | undefined {
    return this.#topics.get(name);
  }

  topics(): IterableIterator<string> {
    return this.#topics.keys();
  }

  get(topic: string, pid: string, key: string): Row | undefined {
    return this.#topics.get(topic)?.get(placeOf(pid, key));
  }

  /** Number of entries of a process. */
  countOf(pid: string): number {
    return this.#byProcess.get(pid)?.size ?? 0;
  }

  /** Those of one process. */
  of(pid: string): readonly Row[] {
    return [...(this.#byProcess.get(pid)?.values() ?? [])];
  }

  *rows(): Iterable<Row> {
    for (const topic of this.#topics.values()) yield* topic.values();
  }

  /**
   * Adds an entry; undefined when the process is tracked under that topic and key already. `wall`
   * in ms.
   */
  join(topic: string, pid: string, key: string, meta: Meta, wall: number): Step | undefined {
    if (this.get(topic, pid, key) !== undefined) return undefined;
    // In order also within one ms, and when the wall clock went back.
    this.#lastJoined = Math.max(this.#lastJoined + 0.001, wall);
    const version = this.#next();
    const row: Row = { topic, pid, key, meta, version, joined: this.#lastJoined, first: meta.phx_ref };
    this.#put(row);
    this.#size += 1;
    const entry = entryOf(row);
    this.#untold.set(entry, { change: row, fresh: !this.#untold.has(entry) });
    return { before: undefined, after: row };
  }

  /**
   * Replaces the meta of an entry in one step; it keeps its place. Undefined when there is no such
   * entry.
   */
  update(topic: string, pid: string, key: string, meta: Meta): Step | undefined {
    const before = this.get(topic, pid, key);
    if (before === undefined) return undefined;
    const row: Row = { ...before, meta, version: this.#next() };
    this.digest.toggle(before);
    this.#put(row);
    const entry = entryOf(row);
    this.#untold.set(entry, { change: row, fresh: this.#untold.get(entry)?.fresh ?? false });
    return { before, after: row };
  }

  leave(topic: string, pid: string, key: string): Step | undefined {
    const before = this.get(topic, pid, key);
    if (before === undefined) return undefined;
    const entry = entryOf(before);
    const version = this.#next();
    this.#remove(before);
    if (this.#untold.get(entry)?.fresh) this.#untold.delete(entry);
    else this.#untold.set(entry, { change: { topic, pid, key, version }, fresh: false });
    return { before, after: undefined };
  }

  /** Removes all entries of a process. */
  leaveAll(pid: string): readonly Step[] {
    return this.of(pid).map(({ topic, key }) => this.leave(topic, pid, key) as Step);
  }

  /**
   * What the others have not been told, as one delta; from now on it counts as told. Undefined when
   * there is nothing.
   */
  tell(): Delta | undefined {
    if (!this.pending) return undefined;
    const changes = [...this.#untold.values()]
      .map(({ change }) => change)
      .sort((a, b) => a.version - b.version);
    const delta: Delta = { from: this.#told, to: this.#version, changes };
    this.#untold.clear();
    this.#told = this.#version;
    return delta;
  }

  /** Numbers everything anew from 1, for a new incarnation; all of it is untold then. */
  renumber(): void {
    this.#version = 0;
    this.#told = 0;
    this.#untold.clear();
    for (const row of [...this.rows()]) {
      this.digest.toggle(row);
      const renumbered: Row = { ...row, version: this.#next() };
      this.#put(renumbered);
      this.#untold.set(entryOf(row), { change: renumbered, fresh: true });
    }
  }

  #next(): number {
    this.#version += 1;
    return this.#version;
  }

  #put(row: Row): void {
    const { topic, pid, key } = row;
    let rows = this.#topics.get(topic);
    if (rows === undefined) {
      rows = new Map();
      this.#topics.set(topic, rows);
    }
    rows.set(placeOf(pid, key), row);
    let ofProcess = this.#byProcess.get(pid);
    if (ofProcess === undefined) {
      ofProcess = new Map();
      this.#byProcess.set(pid, ofProcess);
    }
    ofProcess.set(entryOf(row), row);
    this.digest.toggle(row);
  }

  #remove(row: Row): void {
    const { topic, pid, key } = row;
    this.#size -= 1;
    this.digest.toggle(row);
    const rows = this.#topics.get(topic);
    rows?.delete(placeOf(pid, key));
    if (rows?.size === 0) this.#topics.delete(topic);
    const ofProcess = this.#byProcess.get(pid);
    ofProcess?.delete(entryOf(row));
    if (ofProcess?.size === 0) this.#byProcess.delete(pid);
  }
}
