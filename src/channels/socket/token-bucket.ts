/**
 * A token bucket: lets `burst` things through at once and `perSecond` in the long run. One number a
 * bucket; nothing ticks.
 *
 * Kept as the time at which the bucket would be full again (the generic cell rate algorithm): each
 * thing let through moves it on by the time one token takes.
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

  /** Takes a token. 0 when there was one; else the milliseconds until there is. */
  take(now: number): number {
    const fullAt = Math.max(this.#fullAt, now);
    const wait = fullAt - now - this.#tolerance;
    // Less than a microsecond is rounding, not waiting.
    if (wait > 1e-3) return Math.ceil(wait);
    this.#fullAt = fullAt + this.#interval;
    return 0;
  }
}
