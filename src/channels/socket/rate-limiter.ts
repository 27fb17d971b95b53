/**
 * RateLimiter is a token bucket for each of many keys, such as networks or users. Its memory is
 * bounded: of more keys than it keeps, those that have been quiet the longest are forgotten, which
 * for them is a full bucket.
 *
 * Counts are those of the thread it is in. Pure: the caller says what time it is.
 */
import { type Rate, TokenBucket } from "./token-bucket.js";

export class RateLimiter {
  readonly #rate: Rate;
  readonly #maxKeys: number;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rate: Rate, maxKeys = 10_000) {
    this.#rate = rate;
    this.#maxKeys = maxKeys;
  }

  /** Takes one. 0 when there was one; else the milliseconds until there is. */
  take(key: string, now: number): number {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#rate, now);
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#maxKeys) this.#buckets.delete(this.#buckets.keys().next().value as string);
    return bucket.take(now);
  }
}
