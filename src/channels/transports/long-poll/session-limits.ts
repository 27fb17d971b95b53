/**
 * Whether a new long-poll session may begin. Sessions cost memory for as long as a client may stay
 * away, and beginning one costs a `connect`, so both are limited: how many there are of one network
 * and of one socket id, and how fast one network begins them, refused attempts included.
 *
 * Pure but for its own counts; the time is handed in. Counts are those of one gateway.
 */
import { RateLimiter } from "../../socket/rate-limiter.js";
import type { Rate } from "../../socket/token-bucket.js";

export interface SessionLimitOptions {
  /** Sessions of one network at once; false for no limit. */
  readonly maxSessionsPerNetwork: number | false;
  /** Sessions with one socket id at once, which is mostly one user; false for no limit. */
  readonly maxSessionsPerId: number | false;
  /** Attempts of one network to begin a session; false for no limit. */
  readonly sessionRate: Rate | false;
}

/** Let in, until `release` is called, or when to try again. */
export type Admission =
  | { readonly ok: true; release(): void }
  | { readonly ok: false; readonly retryAfterMs: number };

/**
 * While a limit on how many there are is reached: sessions end by themselves within about this
 * time.
 */
const FULL_RETRY_MS = 5000;

export class SessionLimits {
  readonly #options: SessionLimitOptions;
  readonly #perNetwork = new Map<string, number>();
  readonly #perId = new Map<string, number>();
  readonly #paces: RateLimiter | undefined;

  constructor(options: SessionLimitOptions) {
    this.#options = options;
    if (options.sessionRate !== false) this.#paces = new RateLimiter(options.sessionRate);
  }

  /** Before `connect`: counts the attempt and the session that may come of it. */
  ofNetwork(network: string, now: number): Admission {
    const wait = this.#paces?.take(network, now) ?? 0;
    if (wait > 0) return { ok: false, retryAfterMs: wait };
    return count(this.#perNetwork, network, this.#options.maxSessionsPerNetwork);
  }

  /** After `connect`, which has given the socket id; null is none, and is not counted. */
  ofId(id: string | null): Admission {
    return id === null ? FREE : count(this.#perId, id, this.#options.maxSessionsPerId);
  }
}

const FREE: Admission = { ok: true, release() {} };

function count(counts: Map<string, number>, key: string, limit: number | false): Admission {
  const before = counts.get(key) ?? 0;
  if (limit !== false && before >= limit) return { ok: false, retryAfterMs: FULL_RETRY_MS };
  counts.set(key, before + 1);
  let held = true;
  return {
    ok: true,
    release() {
      if (!held) return;
      held = false;
      const left = (counts.get(key) ?? 1) - 1;
      if (left === 0) counts.delete(key);
      else counts.set(key, left);
    },
  };
}
