/**
 * A token bucket: allows `burst` events at once and `perSecond` in the long run. One number per
 * bucket, no timer.
 *
 * The state is the time at which the bucket is full again (the generic cell rate algorithm): each
 * event moves it by the interval of one token.
 */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export class TokenBucket {
  readonly #interval: number;
  readonly #tolerance: number;
  #fullAt: number;

  constructor({ perSecond, burst }: Rate, now: number) {
    this.#interval = 1000 / perSecond;
    this.#tolerance = (burst - 1) * this.#interval;
    this.#fullAt = now;
  }

  /** Takes a token. Returns 0, or the milliseconds until one is available. */
  take(now: number): number {
    const fullAt = Math.max(this.#fullAt, now);
    const wait = fullAt - now - this.#tolerance;
    // Less than a microsecond is rounding, not waiting.
    if (wait > 1e-3) return Math.ceil(wait);
    this.#fullAt = fullAt + this.#interval;
    return 0;
  }
}
