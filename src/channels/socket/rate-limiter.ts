/**
 * RateLimiter is a token bucket per key, such as a network or a user. Its memory is bounded: beyond
 * `maxKeys` it forgets the least recently used keys, which then have a full bucket.
 *
 * Counts are per thread. Pure: the caller passes the time.
 */
import { type Rate, TokenBucket } from "./token-bucket.js";

export class RateLimiter {
  readonly #rate: Rate;
  readonly #maxKeys: number;
  /** In order of last use. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rate: Rate, maxKeys = 10_000) {
    this.#rate = rate;
    this.#maxKeys = maxKeys;
  }

  /** Takes a token. Returns 0, or the milliseconds until one is available. */
  take(key: string, now: number): number {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#rate);
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#maxKeys) this.#buckets.delete(this.#buckets.keys().next().value as string);
    return bucket.take(now);
  }
}
