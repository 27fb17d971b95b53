/**
 * Ends a worker thread that uses too much memory before V8 ends the whole program.
 *
 * V8 cannot refuse an allocation. At a heap's limit it asks Node, which ends the thread, and lets
 * it continue for 16 MiB until it stops. Whatever needs more than that at once is fatal to the
 * process: one scavenge that moves a large young generation to the old one, or one large table that
 * grows. So the heap of a thread has
 *
 *     0 ────────────── limit ─────── alarm ─────── hard limit
 *                        │             │               └ Node ends the thread, or the process
 *                        │             └ used, garbage included: the thread is terminated
 *                        └ used after a full collection: the thread asks to be terminated
 *
 * and a young generation that fits into those 16 MiB. A thread between its limit and the hard one
 * is ended in peace. Memory outside the heap, such as that of buffers, counts too. What remains is
 * in docs/adr/0001-heap-of-a-thread.md.
 */
import { constants, type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";
import { getHeapStatistics, type HeapInfo } from "node:v8";
import type { ResourceLimits, Worker } from "node:worker_threads";

const MIB = 1024 * 1024;

/** A third of it may move to the old generation at once. */
const YOUNG_MB = 24;

/**
 * How often a thread is looked at from outside, ms: it can hardly fill the room up to its hard
 * limit in that time.
 */
export const LOOK_MS = 50;

export interface HeapLimits {
  readonly limitBytes: number;
  readonly alarmBytes: number;
  /** For the worker. */
  readonly hard: ResourceLimits;
}

/**
 * Room between the limit and the hard one: as much again, but not more than 1 GiB, nor less than
 * 128 MiB, which takes a tight loop longer to fill than a busy main thread to look.
 */
const roomFor = (limitMb: number): number => Math.min(1024, Math.max(128, limitMb));

/** What is given is the limit; without it, the hard limit is Node's and the limit below it. */
export function heapLimits(given: ResourceLimits = {}): HeapLimits {
  const nodes = getHeapStatistics().heap_size_limit / MIB;
  const limitMb = given.maxOldGenerationSizeMb ?? Math.max(nodes / 2, nodes - 1024);
  const roomMb = roomFor(limitMb);
  return {
    limitBytes: limitMb * MIB,
    alarmBytes: (limitMb + roomMb / 2) * MIB,
    hard: {
      ...given,
      maxOldGenerationSizeMb: Math.ceil(limitMb + roomMb),
      maxYoungGenerationSizeMb: Math.min(given.maxYoungGenerationSizeMb ?? YOUNG_MB, YOUNG_MB),
    },
  };
}

export const usedBytes = ({ used_heap_size, external_memory }: HeapInfo): number =>
  used_heap_size + external_memory;

interface Collection extends PerformanceEntry {
  readonly detail?: { readonly kind?: number };
}

const FULL = constants.NODE_PERFORMANCE_GC_MAJOR;

/**
 * In the thread: calls `over` with the bytes that are left after a full collection when they are
 * more than the limit.
 */
export function watchHeap(limitBytes: number, over: (bytes: number) => void): () => void {
  const observer = new PerformanceObserver((list) => {
    if (!(list.getEntries() as Collection[]).some(({ detail }) => detail?.kind === FULL)) return;
    const bytes = usedBytes(getHeapStatistics());
    if (bytes > limitBytes) over(bytes);
  });
  observer.observe({ entryTypes: ["gc"] });
  return () => observer.disconnect();
}

/** Node ≥ 22.16 can look into a thread that is busy. */
type Inspectable = Worker & { getHeapStatistics?(): Promise<HeapInfo> };

/**
 * From outside, for as long as the thread is busy with one thing and no collection is seen inside:
 * calls `over` when its heap is past the alarm. Does nothing where Node cannot look.
 */
export function pollHeapUsage(worker: Worker, alarmBytes: number, over: (bytes: number) => void): () => void {
  const { getHeapStatistics: look } = worker as Inspectable;
  if (look === undefined) return () => {};
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    look.call(worker).then(
      (statistics) => {
        looking = false;
        const bytes = usedBytes(statistics);
        if (bytes > alarmBytes) over(bytes);
      },
      // The thread has ended.
      () => clearInterval(timer),
    );
  }, LOOK_MS);
  timer.unref();
  return () => clearInterval(timer);
}
