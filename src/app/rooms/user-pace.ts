/**
 * A user pace limits how much of something each user may use on this thread: so much a second in
 * the long run, and some at once. What all the user's connections use in all rooms counts together.
 * What something takes is known afterwards: it is charged then, and what comes next waits for it.
 * Pure: the caller says what time it is.
 */
import type { Rate } from "simurgh/channels";

/** Steps of work that edits make (see document/dry-run.ts): 300,000 are some 30 ms of CPU. */
export const WORK: Rate = { perSecond: 300_000, burst: 450_000 };

/**
 * Structs by which a document grows. No user types as many; but a document that is full of them is
 * compacted, for which all its clients have to join again.
 */
export const GROWTH: Rate = { perSecond: 40, burst: 15_000 };

/** Users remembered before those that have paid are dropped. */
const REMEMBERED = 1000;

export class UserPace {
  readonly #perMs: number;
  readonly #burstMs: number;
  /** When what each user has used will be paid. */
  readonly #paidAt = new Map<number, number>();

  constructor({ perSecond, burst }: Rate) {
    this.#perMs = perSecond / 1000;
    this.#burstMs = burst / this.#perMs;
  }

  /** Users that are remembered. */
  get size(): number {
    return this.#paidAt.size;
  }

  /** Milliseconds until the user may continue. */
  wait(userId: number, now: number): number {
    return Math.max(0, Math.ceil((this.#paidAt.get(userId) ?? 0) - now - this.#burstMs));
  }

  /** What was used: what comes next pays for it. */
  charge(userId: number, amount: number, now: number): void {
    this.#paidAt.set(userId, Math.max(now, this.#paidAt.get(userId) ?? 0) + amount / this.#perMs);
    if (this.#paidAt.size <= REMEMBERED) return;
    for (const [user, paidAt] of this.#paidAt) if (paidAt <= now) this.#paidAt.delete(user);
  }
}
