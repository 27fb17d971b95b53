/** Timers holds the named timers of a process; it gets `["timer", name]` when one fires. */
import { cancelTimer, type Ref, self, sendAfter } from "simurgh/runtime";

export class Timers {
  readonly #timers = new Map<string, Ref>();

  /** Starts a timer, unless one of that name runs. */
  arm(name: string, ms: number): void {
    if (!this.#timers.has(name)) this.#timers.set(name, sendAfter(self(), ["timer", name], Math.ceil(ms)));
  }

  disarm(name: string): void {
    const timer = this.#timers.get(name);
    if (timer !== undefined) cancelTimer(timer);
    this.#timers.delete(name);
  }

  /** The timer has fired. */
  fired(name: string): void {
    this.#timers.delete(name);
  }
}
