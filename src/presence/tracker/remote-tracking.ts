/**
 * Processes of this thread whose entries the trackers of other threads keep, because their topics
 * are there. When such a thread dies its tracker can tell nobody: so the tracker of the process's
 * own thread knows them too, and does in its place what the end of a tracker means for those it
 * tracked: they end, or are tracked anew by the next one.
 *
 * Channels on their own topic never are abroad; a channel that is on a lobby's list may be.
 */
import type { Pid } from "simurgh/runtime";
import type { Meta } from "./delta.js";

export interface AbroadEntry {
  readonly pid: Pid;
  readonly topic: string;
  readonly key: string;
  readonly meta: Meta;
  /** It lives on without its tracker, and is tracked anew. */
  readonly retrack: boolean;
}

const place = (pid: Pid, topic: string, key: string): string => JSON.stringify([String(pid), topic, key]);

export class RemotelyTracked {
  readonly #byThread = new Map<number, Map<string, AbroadEntry>>();
  /** Those whose thread is gone and that no other has taken in yet. */
  readonly #orphaned = new Map<string, AbroadEntry>();

  /** Threads that keep any. */
  get threads(): readonly number[] {
    return [...this.#byThread.keys()];
  }

  get orphaned(): readonly AbroadEntry[] {
    return [...this.#orphaned.values()];
  }

  /** A thread keeps this entry, with this meta from now on. */
  put(thread: number, entry: AbroadEntry): void {
    const at = place(entry.pid, entry.topic, entry.key);
    this.#orphaned.delete(at);
    const kept = this.#byThread.get(thread) ?? new Map<string, AbroadEntry>();
    this.#byThread.set(thread, kept.set(at, entry));
  }

  /** A thread does not keep it any more. */
  remove(thread: number, pid: Pid, topic: string, key: string): void {
    const kept = this.#byThread.get(thread);
    kept?.delete(place(pid, topic, key));
    if (kept?.size === 0) this.#byThread.delete(thread);
  }

  /** The tracker there has ended: what it kept, and what becomes orphaned by it. */
  lose(thread: number, becomesHomeless: (entry: AbroadEntry) => boolean): readonly AbroadEntry[] {
    const kept = this.#byThread.get(thread) ?? new Map<string, AbroadEntry>();
    this.#byThread.delete(thread);
    for (const [at, entry] of kept) if (becomesHomeless(entry)) this.#orphaned.set(at, entry);
    return [...kept.values()];
  }

  settle({ pid, topic, key }: AbroadEntry): void {
    this.#orphaned.delete(place(pid, topic, key));
  }
}
