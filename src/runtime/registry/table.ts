/**
 * The entries of one registry: by key, and by process so that the end of a process finds them all.
 */
import type { RuntimeNode } from "../kernel/node.js";
import type { Pid } from "../kernel/pid.js";
import { Process } from "../kernel/process.js";
import { termKey } from "../kernel/term-key.js";
import { KeyLocks } from "./key-locks.js";
import type { RegistryOptions } from "./registry.js";

export interface Entry {
  readonly key: unknown;
  readonly process: Process;
  value: unknown;
}

/** All entries under one key, by process; within a process in order of registration. */
type Bucket = Map<Process, Entry[]>;

export class RegistryTable {
  readonly unique: boolean;
  readonly owner: Pid;
  readonly #node: RuntimeNode;
  readonly #name: string;
  readonly #partitions: number;
  readonly #listeners: readonly string[];
  readonly locks = new KeyLocks();
  readonly #meta = new Map<unknown, unknown>();
  readonly #buckets = new Map<unknown, Bucket>();
  /** The keys of each process, and how to stop watching it. */
  readonly #owners = new Map<Process, { readonly keys: Set<unknown>; readonly release: () => void }>();
  #count = 0;

  constructor(node: RuntimeNode, options: RegistryOptions) {
    this.#node = node;
    this.#name = options.name;
    this.unique = options.keys === "unique";
    this.owner = node.whereis(options.name) ?? node.outside;
    this.#partitions = options.partitions ?? 1;
    this.#listeners = options.listeners ?? [];
    for (const [key, value] of options.meta ?? []) this.putMeta(key, value);
  }

  /**
   * Adds an entry. Gives the holder when the key is unique and taken, also when it is the process
   * itself.
   */
  register(process: Process, key: unknown, value: unknown): Pid | undefined {
    const id = termKey(key);
    let bucket = this.#buckets.get(id);
    if (bucket === undefined) {
      bucket = new Map();
      this.#buckets.set(id, bucket);
    } else if (this.unique) {
      for (const holder of bucket.keys()) return holder.pid;
    }
    const entries = bucket.get(process);
    if (entries === undefined) bucket.set(process, [{ key, process, value }]);
    else entries.push({ key, process, value });
    this.#count += 1;
    let owner = this.#owners.get(process);
    if (owner === undefined) {
      owner = { keys: new Set(), release: process.onExit(() => this.#forget(process)) };
      this.#owners.set(process, owner);
    }
    owner.keys.add(id);
    this.#tell(["register", this.#name, key, process.pid, value]);
    return undefined;
  }

  unregister(process: Process, key: unknown, accept: (entry: Entry) => boolean = () => true): void {
    const id = termKey(key);
    const bucket = this.#buckets.get(id);
    const entries = bucket?.get(process);
    if (bucket === undefined || entries === undefined) return;
    const kept = entries.filter((entry) => !accept(entry));
    if (kept.length === entries.length) return;
    this.#count -= entries.length - kept.length;
    if (kept.length > 0) {
      bucket.set(process, kept);
      return;
    }
    this.#drop(id, bucket, process);
    const owner = this.#owners.get(process);
    owner?.keys.delete(id);
    if (owner?.keys.size === 0) {
      owner.release();
      this.#owners.delete(process);
    }
    this.#tell(["unregister", this.#name, key, process.pid]);
  }

  /** The process has exited. Listeners are not notified: they must monitor. */
  #forget(process: Process): void {
    for (const id of this.#owners.get(process)?.keys ?? []) {
      const bucket = this.#buckets.get(id) as Bucket;
      this.#count -= bucket.get(process)?.length ?? 0;
      this.#drop(id, bucket, process);
    }
    this.#owners.delete(process);
  }

  #drop(id: unknown, bucket: Bucket, process: Process): void {
    bucket.delete(process);
    if (bucket.size === 0) this.#buckets.delete(id);
  }

  /** The registry itself has ended. */
  drop(): void {
    for (const { release } of this.#owners.values()) release();
    this.#owners.clear();
    this.#buckets.clear();
  }

  entries(key: unknown): Entry[] {
    const bucket = this.#buckets.get(termKey(key));
    if (bucket === undefined) return [];
    const all: Entry[] = [];
    for (const entries of bucket.values()) all.push(...entries);
    return all;
  }

  /** The entries under a key by partition; a unique key is whole in one. */
  partitioned(key: unknown): Entry[][] {
    const all = this.entries(key);
    if (all.length === 0) return [];
    if (this.unique || this.#partitions === 1) return [all];
    const parts: Entry[][] = Array.from({ length: this.#partitions }, () => []);
    for (const entry of all) parts[entry.process.pid.id % this.#partitions]?.push(entry);
    return parts.filter((part) => part.length > 0);
  }

  keysOf(pid: Pid): unknown[] {
    const process = this.#node.process(pid);
    if (process === undefined) return [];
    const keys: unknown[] = [];
    for (const id of this.#owners.get(process)?.keys ?? []) {
      for (const entry of this.#buckets.get(id)?.get(process) ?? []) keys.push(entry.key);
    }
    return keys;
  }

  *all(): IterableIterator<Entry> {
    for (const bucket of this.#buckets.values()) for (const entries of bucket.values()) yield* entries;
  }

  count(): number {
    return this.#count;
  }

  meta(key: unknown): readonly ["ok", unknown] | "error" {
    const id = termKey(key);
    return this.#meta.has(id) ? ["ok", this.#meta.get(id)] : "error";
  }

  putMeta(key: unknown, value: unknown): void {
    this.#meta.set(termKey(key), value);
  }

  #tell(event: readonly unknown[]): void {
    for (const listener of this.#listeners) {
      const pid = this.#node.whereis(listener);
      if (pid !== undefined) Process.deliver(this.#node, pid, event);
    }
  }
}
