/**
 * TokenBucket allows `burst` events at once and `perSecond` in the long run. One number per bucket,
 * no timer. Pure: the caller gives the time, in ms of a monotonic clock.
 *
 * The state is the time at which the bucket is full again (the generic cell rate algorithm): each
 * token moves it by one interval.
 */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export class TokenBucket {
  readonly #interval: number;
  readonly #burst: number;
  #fullAt = Number.NEGATIVE_INFINITY;

  constructor({ perSecond, burst }: Rate) {
    this.#interval = 1000 / perSecond;
    this.#burst = burst;
  }

  /**
   * Takes `tokens`. Returns 0; or takes nothing, and returns the milliseconds until they are
   * available.
   */
  take(now: number, tokens = 1): number {
    const fullAt = Math.max(this.#fullAt, now);
    const wait = fullAt - now - (this.#burst - tokens) * this.#interval;
    // Less than a microsecond is rounding, not waiting.
    if (wait > 1e-3) return Math.ceil(wait);
    this.#fullAt = fullAt + tokens * this.#interval;
    return 0;
  }

  /** Takes `tokens` whether they are available or not: later events wait for them. */
  charge(now: number, tokens: number): void {
    this.#fullAt = Math.max(this.#fullAt, now) + tokens * this.#interval;
  }
}
