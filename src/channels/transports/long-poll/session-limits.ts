/**
 * SessionLimits admits new long-poll sessions. A session costs memory until it times out, and
 * starting one costs a `connect`, so both are limited: the sessions of one network and of one
 * socket id, and the rate at which one network starts them, refused attempts included.
 *
 * Pure except for its counts; the caller passes the time. Counts are per gateway.
 */
import { RateLimiter } from "../../socket/rate-limiter.js";
import type { Rate } from "../../socket/token-bucket.js";

export interface SessionLimitOptions {
  /** Concurrent sessions of one network; false for no limit. */
  readonly maxSessionsPerNetwork: number | false;
  /** Concurrent sessions with one socket id, usually one user; false for no limit. */
  readonly maxSessionsPerId: number | false;
  /** Attempts of one network to start a session; false for no limit. */
  readonly sessionRate: Rate | false;
}

/** Admitted, until `release` is called; or refused, with the time to retry. */
export type Admission =
  | { readonly ok: true; release(): void }
  | { readonly ok: false; readonly retryAfterMs: number };

/** The time to retry at the maximum of sessions: abandoned ones end within about this time. */
const FULL_RETRY_MS = 5000;

export class SessionLimits {
  readonly #options: SessionLimitOptions;
  readonly #perNetwork = new Map<string, number>();
  readonly #perId = new Map<string, number>();
  readonly #rateLimiter: RateLimiter | undefined;

  constructor(options: SessionLimitOptions) {
    this.#options = options;
    if (options.sessionRate !== false) this.#rateLimiter = new RateLimiter(options.sessionRate);
  }

  /** Before `connect`: counts the attempt and the session. */
  admitNetwork(network: string, now: number): Admission {
    const wait = this.#rateLimiter?.take(network, now) ?? 0;
    if (wait > 0) return { ok: false, retryAfterMs: wait };
    return count(this.#perNetwork, network, this.#options.maxSessionsPerNetwork);
  }

  /** After `connect`, when the socket id is known; null is not counted. */
  admitId(id: string | null): Admission {
    return id === null ? UNLIMITED : count(this.#perId, id, this.#options.maxSessionsPerId);
  }
}

const UNLIMITED: Admission = { ok: true, release() {} };

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
