/**
 * A token bucket: so much a second in the long run, so much at once. Pure: the caller says what
 * time it is.
 */
export class Rate {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /**
   * Takes `amount` when it is there: 0. Otherwise takes nothing, and gives the ms until it would be
   * there.
   */
  take(amount: number, now: number): number {
    const passed = Math.max(0, now - this.#at);
    this.#at = now;
    this.#tokens = Math.min(this.#burst, this.#tokens + (passed * this.#perSecond) / 1000);
    if (this.#tokens >= amount) {
      this.#tokens -= amount;
      return 0;
    }
    return Math.ceil(((amount - this.#tokens) * 1000) / this.#perSecond);
  }

  /** Takes `amount` whether it is there or not: what is to come pays for it. */
  charge(amount: number): void {
    this.#tokens -= amount;
  }
}
