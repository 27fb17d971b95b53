/**
 * Decides who runs next in one thread: a FIFO queue of runnable processes, each given a short
 * slice.
 *
 * A burst starts when the thread turns to the queue and may last `loopMs`; then the event loop gets
 * its turn through a macrotask, so that sockets and timers are served however busy the processes
 * are. Within a burst the queue is resumed from microtasks, because an awaiting handler must not
 * pay a trip round the event loop for each answer. Microtasks are never used beyond the burst: they
 * would starve I/O.
 */
import { now } from "./clock.js";
import { context } from "./context.js";
import type { Process } from "./process.js";
import { Ring } from "./ring-buffer.js";

export interface SchedulerOptions {
  /** Messages one process may handle in a row. Default 64. */
  readonly turnsPerSlice: number;
  /** Milliseconds that one process may run before it queues again. Default 2. */
  readonly sliceMs: number;
  /** Milliseconds all processes together may run before the event loop gets a turn. Default 8. */
  readonly loopMs: number;
  /** A turn longer than this many milliseconds is reported. Default 50. */
  readonly longTurnMs: number;
}

/**
 * A promise that has been kept and whose `then` makes no other one: each costs dearly under the
 * hooks of AsyncLocalStorage, and no code waits for the end of a drain.
 */
class Kept extends Promise<void> {
  static override get [Symbol.species](): PromiseConstructor {
    return Nothing as unknown as PromiseConstructor;
  }
}
class Nothing {
  constructor(executor: (resolve: () => void, reject: () => void) => void) {
    executor(ignore, ignore);
  }
}
const ignore = (): void => {};
const KEPT = Kept.resolve();

const runSlice = (process: Process, start: number): number => process.slice(start);

/**
 * What a node needs of whatever decides who runs next: the thread's own queue, or a simulation's.
 */
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
  readonly #queue = new Ring<Process>();
  #burstEnd = 0;
  #inBurst = false;
  /** The burst has had its time; the immediate that ends it takes the queue up. */
  #spent = false;
  #draining = false;
  #microtaskQueued = false;

  /**
   * `onBug` takes what the runtime's own code throws; what user code throws never comes this far.
   */
  constructor(options: SchedulerOptions, onBug: (error: unknown) => void) {
    this.options = options;
    this.#onBug = onBug;
  }

  /**
   * Puts a process at the tail of the run queue. The process makes sure that it is queued only
   * once.
   */
  enqueue(process: Process): void {
    this.#queue.push(process);
    if (!this.#draining && !this.#microtaskQueued) this.#wake();
  }

  defer(fn: () => void): void {
    setImmediate(fn);
  }

  get length(): number {
    return this.#queue.length;
  }

  overdue(): boolean {
    if (this.#inBurst) return now() >= this.#burstEnd;
    this.#beginBurst();
    return false;
  }

  /** Gives the time. */
  #beginBurst(): number {
    const start = now();
    this.#inBurst = true;
    this.#spent = false;
    this.#burstEnd = start + this.options.loopMs;
    setImmediate(this.#nextBurst);
    return start;
  }

  #wake(): void {
    if (!this.#inBurst) this.#beginBurst();
    else if (this.#spent) return;
    this.#microtaskQueued = true;
    // Cheaper than queueMicrotask, which makes an AsyncResource for each callback.
    void KEPT.then(this.#resume);
  }

  readonly #resume = (): void => {
    this.#microtaskQueued = false;
    const start = now();
    if (start < this.#burstEnd) this.#drain(start);
    else this.#spent = true;
  };

  readonly #nextBurst = (): void => {
    this.#inBurst = false;
    if (this.#queue.length > 0) this.#drain(this.#beginBurst());
  };

  #drain(start: number): void {
    this.#draining = true;
    let time = start;
    for (let process = this.#queue.shift(); process !== undefined; process = this.#queue.shift()) {
      try {
        time = context.run(process, runSlice, process, time);
      } catch (error) {
        this.#onBug(error);
      }
      if (time >= this.#burstEnd) {
        this.#spent = true;
        break;
      }
    }
    this.#draining = false;
  }
}
