/**
 * LocalReplica holds the entries of this replica's processes. It numbers each change, and knows
 * which changes are not published yet.
 *
 * An entry that comes and goes between two deltas is never published; it only uses up numbers.
 */
import { type Change, type Delta, type Entry, entryId, entryKey, type Meta } from "./delta.js";
import { Digest } from "./digest.js";
import type { Step } from "./remote-replica.js";

export class LocalReplica {
  readonly digest = new Digest();
  readonly #topics = new Map<string, Map<string, Entry>>();
  readonly #byProcess = new Map<string, Map<string, Entry>>();
  /** The last unpublished change of each entry; `fresh`: its join is unpublished, too. */
  readonly #unpublished = new Map<string, { readonly change: Change; readonly fresh: boolean }>();
  #version: number;
  #published: number;
  #size = 0;
  #lastJoined = 0;

  constructor(version = 0) {
    this.#version = version;
    this.#published = version;
  }

  /** Number of the last change. */
  get version(): number {
    return this.#version;
  }

  /** Number of the last published change. */
  get published(): number {
    return this.#published;
  }

  /** Whether there are unpublished changes. */
  get hasUnpublished(): boolean {
    return this.#unpublished.size > 0;
  }

  get size(): number {
    return this.#size;
  }

  get processes(): number {
    return this.#byProcess.size;
  }

  topic(name: string): ReadonlyMap<string, Entry> | undefined {
    return this.#topics.get(name);
  }

  topics(): IterableIterator<string> {
    return this.#topics.keys();
  }

  get(topic: string, pid: string, key: string): Entry | undefined {
    return this.#topics.get(topic)?.get(entryKey(pid, key));
  }

  /** Number of entries of a process. */
  countOf(pid: string): number {
    return this.#byProcess.get(pid)?.size ?? 0;
  }

  /** The entries of one process. */
  of(pid: string): readonly Entry[] {
    return [...(this.#byProcess.get(pid)?.values() ?? [])];
  }

  *entries(): Iterable<Entry> {
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
    const entry: Entry = { topic, pid, key, meta, version, joined: this.#lastJoined, first: meta.phx_ref };
    this.#put(entry);
    this.#size += 1;
    const id = entryId(entry);
    this.#unpublished.set(id, { change: entry, fresh: !this.#unpublished.has(id) });
    return { before: undefined, after: entry };
  }

  /**
   * Replaces the meta of an entry in one step; it keeps its place. Undefined when there is no such
   * entry.
   */
  update(topic: string, pid: string, key: string, meta: Meta): Step | undefined {
    const before = this.get(topic, pid, key);
    if (before === undefined) return undefined;
    const entry: Entry = { ...before, meta, version: this.#next() };
    this.digest.toggle(before);
    this.#put(entry);
    const id = entryId(entry);
    this.#unpublished.set(id, { change: entry, fresh: this.#unpublished.get(id)?.fresh ?? false });
    return { before, after: entry };
  }

  leave(topic: string, pid: string, key: string): Step | undefined {
    const before = this.get(topic, pid, key);
    if (before === undefined) return undefined;
    const id = entryId(before);
    const version = this.#next();
    this.#remove(before);
    if (this.#unpublished.get(id)?.fresh) this.#unpublished.delete(id);
    else this.#unpublished.set(id, { change: { topic, pid, key, version }, fresh: false });
    return { before, after: undefined };
  }

  /** Removes all entries of a process. */
  leaveAll(pid: string): readonly Step[] {
    return this.of(pid).map(({ topic, key }) => this.leave(topic, pid, key) as Step);
  }

  /**
   * Returns the unpublished changes as one delta, and counts them as published. Undefined when
   * there are none.
   */
  flushDelta(): Delta | undefined {
    if (!this.hasUnpublished) return undefined;
    const changes = [...this.#unpublished.values()]
      .map(({ change }) => change)
      .sort((a, b) => a.version - b.version);
    const delta: Delta = { from: this.#published, to: this.#version, changes };
    this.#unpublished.clear();
    this.#published = this.#version;
    return delta;
  }

  /** Numbers all entries again from 1, for a new incarnation; all are unpublished then. */
  renumber(): void {
    this.#version = 0;
    this.#published = 0;
    this.#unpublished.clear();
    for (const entry of [...this.entries()]) {
      this.digest.toggle(entry);
      const renumbered: Entry = { ...entry, version: this.#next() };
      this.#put(renumbered);
      this.#unpublished.set(entryId(entry), { change: renumbered, fresh: true });
    }
  }

  #next(): number {
    this.#version += 1;
    return this.#version;
  }

  #put(entry: Entry): void {
    const { topic, pid, key } = entry;
    let entries = this.#topics.get(topic);
    if (entries === undefined) {
      entries = new Map();
      this.#topics.set(topic, entries);
    }
    entries.set(entryKey(pid, key), entry);
    let ofProcess = this.#byProcess.get(pid);
    if (ofProcess === undefined) {
      ofProcess = new Map();
      this.#byProcess.set(pid, ofProcess);
    }
    ofProcess.set(entryId(entry), entry);
    this.digest.toggle(entry);
  }

  #remove(entry: Entry): void {
    const { topic, pid, key } = entry;
    this.#size -= 1;
    this.digest.toggle(entry);
    const entries = this.#topics.get(topic);
    entries?.delete(entryKey(pid, key));
    if (entries?.size === 0) this.#topics.delete(topic);
    const ofProcess = this.#byProcess.get(pid);
    ofProcess?.delete(entryId(entry));
    if (ofProcess?.size === 0) this.#byProcess.delete(pid);
  }
}
