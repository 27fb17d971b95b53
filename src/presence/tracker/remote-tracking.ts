/**
 * RemotelyTracked holds the local processes that are tracked on another thread, because that thread
 * owns their topic. If it dies, nothing else knows these entries: this thread's tracker then exits
 * the processes, or has them tracked again (see orphans.ts).
 *
 * Channels are always tracked on their own thread; only processes on foreign topics, such as a
 * lobby list, appear here.
 */
import type { Pid } from "simurgh/runtime";
import type { Meta } from "./delta.js";

export interface RemoteEntry {
  readonly pid: Pid;
  readonly topic: string;
  readonly key: string;
  readonly meta: Meta;
  /** The process survives its tracker, and is tracked again. */
  readonly retrack: boolean;
}

const place = (pid: Pid, topic: string, key: string): string => JSON.stringify([String(pid), topic, key]);

export class RemotelyTracked {
  readonly #byThread = new Map<number, Map<string, RemoteEntry>>();
  /** Entries whose thread has died, and that no other thread tracks yet. */
  readonly #orphaned = new Map<string, RemoteEntry>();

  /** Threads that track processes of this one. */
  get threads(): readonly number[] {
    return [...this.#byThread.keys()];
  }

  get orphaned(): readonly RemoteEntry[] {
    return [...this.#orphaned.values()];
  }

  /** A thread tracks this entry, with this meta from now on. */
  put(thread: number, entry: RemoteEntry): void {
    const at = place(entry.pid, entry.topic, entry.key);
    this.#orphaned.delete(at);
    const kept = this.#byThread.get(thread) ?? new Map<string, RemoteEntry>();
    this.#byThread.set(thread, kept.set(at, entry));
  }

  /** A thread does not track the entry any more. */
  remove(thread: number, pid: Pid, topic: string, key: string): void {
    const kept = this.#byThread.get(thread);
    kept?.delete(place(pid, topic, key));
    if (kept?.size === 0) this.#byThread.delete(thread);
  }

  /**
   * The tracker there has exited. Returns its entries; those for which the function says so become
   * orphans.
   */
  lose(thread: number, becomesOrphan: (entry: RemoteEntry) => boolean): readonly RemoteEntry[] {
    const kept = this.#byThread.get(thread) ?? new Map<string, RemoteEntry>();
    this.#byThread.delete(thread);
    for (const [at, entry] of kept) if (becomesOrphan(entry)) this.#orphaned.set(at, entry);
    return [...kept.values()];
  }

  settle({ pid, topic, key }: RemoteEntry): void {
    this.#orphaned.delete(place(pid, topic, key));
  }
}
