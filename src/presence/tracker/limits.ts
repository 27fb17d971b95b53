/** The limits of a tracker, so that no client can fill its memory. */

export interface PresenceLimits {
  /** Bytes of JSON. Default 1,024. */
  readonly key?: number;
  /** Bytes of JSON. Default 16,384. */
  readonly meta?: number;
  /** Bytes. Default 1,024. */
  readonly topic?: number;
  /** Default 1,000. */
  readonly entriesPerProcess?: number;
  /** Default 1,000. */
  readonly metasPerKey?: number;
  /** Default 100,000. */
  readonly entriesPerTopic?: number;
  /** Of one tracker, that is: of one thread. Default 1,000,000. */
  readonly entries?: number;
}

export const DEFAULT_LIMITS: Required<PresenceLimits> = {
  key: 1024,
  meta: 16 * 1024,
  topic: 1024,
  entriesPerProcess: 1000,
  metasPerKey: 1000,
  entriesPerTopic: 100_000,
  entries: 1_000_000,
};

export type TooLarge = readonly [
  "error",
  readonly ["too_large", what: "key" | "meta" | "topic", size: number, limit: number],
];

/** The error for a topic, key or meta over its limit, if there is one. */
export function tooLarge(
  topic: string,
  key: string,
  meta: unknown,
  limits: Required<PresenceLimits>,
): TooLarge | undefined {
  const sizes = [
    ["topic", Buffer.byteLength(topic)],
    ["key", Buffer.byteLength(key)],
    ["meta", Buffer.byteLength(JSON.stringify(meta))],
  ] as const;
  for (const [what, size] of sizes)
    if (size > limits[what]) return ["error", ["too_large", what, size, limits[what]]];
  return undefined;
}

/** How often one process may track, update and untrack. */
export interface RateLimit {
  readonly calls: number;
  readonly perMs: number;
}

/** Counts the calls of each process in windows of fixed length. */
export class Rates {
  readonly #limit: RateLimit;
  readonly #calls = new Map<string, { since: number; calls: number }>();

  constructor(limit: RateLimit) {
    this.#limit = limit;
  }

  /** Takes one call at `now`; how many ms to wait when there were too many. */
  take(who: string, now: number): number | undefined {
    const { calls, perMs } = this.#limit;
    let window = this.#calls.get(who);
    if (window === undefined || now - window.since >= perMs) {
      if (window === undefined && this.#calls.size >= 10_000) this.#forget(now);
      window = { since: now, calls: 0 };
      this.#calls.set(who, window);
    }
    window.calls += 1;
    return window.calls > calls ? Math.ceil(window.since + perMs - now) : undefined;
  }

  #forget(now: number): void {
    for (const [who, { since }] of this.#calls) if (now - since >= this.#limit.perMs) this.#calls.delete(who);
  }
}
