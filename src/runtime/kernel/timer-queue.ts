/**
 * All timers of one thread in one queue, ordered by deadline and, on a tie, by creation.
 *
 * An indexed binary heap: setting and cancelling cost O(log n), and a cancelled timer leaves
 * nothing behind, which matters because every call arms a timer that almost never fires. One system
 * alarm serves the whole queue.
 */
import type { Clock } from "./clock.js";

export abstract class Timer {
  deadline = Number.POSITIVE_INFINITY;
  sequence = 0;
  /** Place in the heap; -1 before it is started and once fired or cancelled. */
  index = -1;

  abstract fire(): void;

  get active(): boolean {
    return this.index >= 0;
  }
}

/** A timer that does nothing but call a function. */
class FunctionTimer extends Timer {
  readonly fire: () => void;

  constructor(fire: () => void) {
    super();
    this.fire = fire;
  }
}

const before = (a: Timer, b: Timer): boolean =>
  a.deadline < b.deadline || (a.deadline === b.deadline && a.sequence < b.sequence);

export class TimerQueue {
  readonly #clock: Clock;
  readonly #onBug: (error: unknown) => void;
  readonly #heap: Timer[] = [];
  #sequence = 0;
  #alarmAt = Number.POSITIVE_INFINITY;
  #cancelAlarm: (() => void) | undefined;

  /** `onBug` takes what a timer's own code throws: timers run runtime code only. */
  constructor(clock: Clock, onBug: (error: unknown) => void) {
    this.#clock = clock;
    this.#onBug = onBug;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Runs `fire` once `delay` ms have passed, never earlier. */
  after(delay: number, fire: () => void): Timer {
    return this.at(this.#clock.now() + delay, fire);
  }

  /** Runs `fire` once the clock has reached `deadline`. */
  at(deadline: number, fire: () => void): Timer {
    const timer = new FunctionTimer(fire);
    this.#start(timer, deadline);
    return timer;
  }

  /** Starts a timer of its owner's own making, to fire once `delay` ms have passed. */
  start(timer: Timer, delay: number): void {
    this.#start(timer, this.#clock.now() + delay);
  }

  #start(timer: Timer, deadline: number): void {
    timer.deadline = deadline;
    timer.sequence = this.#sequence;
    this.#sequence += 1;
    this.#up(timer, this.#heap.length);
    if (timer.index === 0 && deadline < this.#alarmAt) this.#arm();
  }

  /** Milliseconds left before it fires, or false when it has fired or was cancelled. */
  remaining(timer: Timer): number | false {
    return timer.active ? Math.max(0, Math.ceil(timer.deadline - this.#clock.now())) : false;
  }

  /** Removes the timer. False when it had already fired or was cancelled before. */
  cancel(timer: Timer): boolean {
    const index = timer.index;
    if (index < 0) return false;
    timer.index = -1;
    const last = this.#heap.pop() as Timer;
    if (last !== timer) {
      const parent = this.#heap[(index - 1) >> 1];
      if (index > 0 && parent !== undefined && before(last, parent)) this.#up(last, index);
      else this.#down(last, index);
    }
    // The alarm stays armed: an early ring finds nothing due and re-arms, cheaper than re-arming on
    // each cancel.
    return true;
  }

  /** Drops every timer and the alarm. */
  clear(): void {
    for (const timer of this.#heap) timer.index = -1;
    this.#heap.length = 0;
    this.#cancelAlarm?.();
    this.#cancelAlarm = undefined;
    this.#alarmAt = Number.POSITIVE_INFINITY;
  }

  readonly #ring = (): void => {
    this.#cancelAlarm = undefined;
    this.#alarmAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    for (let first = this.#heap[0]; first !== undefined && first.deadline <= now; first = this.#heap[0]) {
      this.cancel(first);
      try {
        first.fire();
      } catch (error) {
        this.#onBug(error);
      }
    }
    if (this.#heap.length > 0) this.#arm();
  };

  #arm(): void {
    const first = this.#heap[0] as Timer;
    this.#cancelAlarm?.();
    this.#alarmAt = first.deadline;
    this.#cancelAlarm = this.#clock.alarm(Math.max(0, first.deadline - this.#clock.now()), this.#ring);
  }

  #up(timer: Timer, from: number): void {
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex] as Timer;
      if (!before(timer, parent)) break;
      this.#heap[index] = parent;
      parent.index = index;
      index = parentIndex;
    }
    this.#heap[index] = timer;
    timer.index = index;
  }

  #down(timer: Timer, from: number): void {
    const size = this.#heap.length;
    let index = from;
    for (;;) {
      let childIndex = 2 * index + 1;
      if (childIndex >= size) break;
      let child = this.#heap[childIndex] as Timer;
      const right = this.#heap[childIndex + 1];
      if (right !== undefined && before(right, child)) {
        child = right;
        childIndex += 1;
      }
      if (!before(child, timer)) break;
      this.#heap[index] = child;
      child.index = index;
      index = childIndex;
    }
    this.#heap[index] = timer;
    timer.index = index;
  }
}
