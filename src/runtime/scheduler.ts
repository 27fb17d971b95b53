/**
 * Decides who runs next in one thread: a FIFO queue of runnable processes, each given a short slice.
 *
 * A burst starts when the thread turns to the queue and may last `loopMs`; then the event loop gets its turn through
 * a macrotask, so that sockets and timers are served however busy the processes are. Within a burst the
 * queue is resumed from microtasks, because an awaiting handler must not pay a trip round the event loop for each
 * answer. Microtasks are never used beyond the burst: they would starve I/O.
 */
import { context } from "./context.js";
import type { Process } from "./process.js";

export interface SchedulerOptions {
  /** Messages one process may handle in a row. Default 64. */
  readonly turnsPerSlice: number;
  /** Milliseconds one process may go on before it queues again. Default 2. */
  readonly sliceMs: number;
  /** Milliseconds all processes together may run before the event loop gets a turn. Default 8. */
  readonly loopMs: number;
  /** A turn longer than this many milliseconds is reported. Default 50. */
  readonly longTurnMs: number;
}

const RESOLVED = Promise.resolve();

const runSlice = (process: Process, now: number): number => process.slice(now);

/** What a node needs of whatever decides who runs next: the thread's own queue, or a simulation's. */
export interface RunQueue {
  readonly options: SchedulerOptions;
  /** How many wait for their turn. */
  readonly length: number;
  /** Puts a process at the tail; it makes sure that it is queued only once. */
  enqueue(process: Process): void;
  /** Whether those that run must let the event loop have its turn before they take more. */
  overdue(): boolean;
  /** Runs `fn` when those that run now have had their turn and the event loop has had its own. */
  defer(fn: () => void): void;
}

export class Scheduler implements RunQueue {
  readonly options: SchedulerOptions;
  readonly #onBug: (error: unknown) => void;
  #queue: Process[] = [];
  #head = 0;
  #burstEnd = 0;
  #inBurst = false;
  #draining = false;
  #microtaskQueued = false;

  /** `onBug` takes what the runtime's own code throws; what user code throws never comes this far. */
  constructor(options: SchedulerOptions, onBug: (error: unknown) => void) {
    this.options = options;
    this.#onBug = onBug;
  }

  /** Puts a process at the tail of the run queue. The process makes sure that it is queued only once. */
  enqueue(process: Process): void {
    this.#queue.push(process);
    if (!this.#draining && !this.#microtaskQueued) this.#wake();
  }

  defer(fn: () => void): void {
    setImmediate(fn);
  }

  get length(): number {
    return this.#queue.length - this.#head;
  }

  overdue(): boolean {
    if (this.#inBurst) return performance.now() >= this.#burstEnd;
    this.#beginBurst();
    return false;
  }

  #beginBurst(): void {
    this.#inBurst = true;
    this.#burstEnd = performance.now() + this.options.loopMs;
    setImmediate(this.#nextBurst);
  }

  #wake(): void {
    if (!this.#inBurst) this.#beginBurst();
    else if (performance.now() >= this.#burstEnd) {
      return; // The immediate that ends this burst takes the queue up.
    }
    this.#microtaskQueued = true;
    // Cheaper than queueMicrotask, which makes an AsyncResource for each callback.
    void RESOLVED.then(this.#resume);
  }

  readonly #resume = (): void => {
    this.#microtaskQueued = false;
    this.#drain();
  };

  readonly #nextBurst = (): void => {
    this.#inBurst = false;
    if (this.length === 0) return;
    this.#beginBurst();
    this.#drain();
  };

  #drain(): void {
    this.#draining = true;
    let now = performance.now();
    while (this.#head < this.#queue.length) {
      const process = this.#queue[this.#head] as Process;
      this.#head += 1;
      if (this.#head >= 1024 && this.#head * 2 >= this.#queue.length) {
        this.#queue = this.#queue.slice(this.#head);
        this.#head = 0;
      }
      try {
        now = context.run(process, runSlice, process, now);
      } catch (error) {
        this.#onBug(error);
      }
      if (now >= this.#burstEnd) break;
    }
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    }
    this.#draining = false;
  }
}
