/**
 * A work pace limits how much work each user's edits may make on this thread: so many steps (see document/dry-run.ts) a second in
 * the long run, and some at once. Edits of all the user's connections and rooms count together. Pure: the caller says what time
 * it is.
 */

/** 300,000 steps are some 30 ms of CPU. */
const STEPS_PER_MS = 300;
/** What may be used at once, in ms of the pace. */
const BURST_MS = 1500;
/** Users remembered before those that have paid are dropped. */
const REMEMBERED = 1000;

export class WorkPace {
  /** When what each user has used will be paid. */
  readonly #paidAt = new Map<number, number>();

  /** Users that are remembered. */
  get size(): number {
    return this.#paidAt.size;
  }

  /** Milliseconds until the user's next edit may be looked at. */
  wait(userId: number, now: number): number {
    return Math.max(0, Math.ceil((this.#paidAt.get(userId) ?? 0) - now - BURST_MS));
  }

  /** What an edit took: the edits to come pay for it. */
  charge(userId: number, steps: number, now: number): void {
    this.#paidAt.set(userId, Math.max(now, this.#paidAt.get(userId) ?? 0) + steps / STEPS_PER_MS);
    if (this.#paidAt.size <= REMEMBERED) return;
    for (const [user, paidAt] of this.#paidAt) if (paidAt <= now) this.#paidAt.delete(user);
  }
}
