/**
 * Slows guessing down: after so many attempts within a window, further ones have to wait, and each
 * that is made after the wait doubles the next. Bounded: the oldest entries go first.
 */
export interface AttemptLimit {
  readonly most: number;
  readonly windowMs: number;
  /** The longest wait that doubling leads to. Default: the window. */
  readonly longestWaitMs?: number;
}

interface Entry {
  count: number;
  /** When the window began, or the last attempt over the limit was made. */
  since: number;
  waitMs: number;
}

const MAX_ENTRIES = 10_000;

export class Attempts {
  readonly #limit: AttemptLimit;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(limit: AttemptLimit, now: () => number = () => performance.now()) {
    this.#limit = limit;
    this.#now = now;
  }

  /** Milliseconds to wait before the next attempt; 0 for none. */
  waitFor(key: string): number {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.count < this.#limit.most) return 0;
    return Math.max(0, entry.since + entry.waitMs - this.#now());
  }

  /** An attempt was made, in vain where only those count. */
  count(key: string): void {
    const { most, windowMs, longestWaitMs = windowMs } = this.#limit;
    const now = this.#now();
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    // After twice the last wait the count begins again.
    const memoryMs = entry !== undefined && entry.count > most ? 2 * entry.waitMs : windowMs;
    const forgotten = entry === undefined || now - entry.since >= memoryMs;
    const next: Entry = forgotten ? { count: 0, since: now, waitMs: windowMs } : entry;
    next.count += 1;
    if (next.count > most) {
      next.since = now;
      next.waitMs = Math.min(next.waitMs * 2, longestWaitMs);
    }
    this.#entries.set(key, next);
    if (this.#entries.size > MAX_ENTRIES) this.#entries.delete(this.#entries.keys().next().value as string);
  }

  /**
   * Counts an attempt before its outcome is known, if it need not wait: so those made at once are
   * counted, too.
   */
  take(key: string): number {
    const wait = this.waitFor(key);
    if (wait === 0) this.count(key);
    return wait;
  }

  /** The last one came to nothing: it was neither right nor wrong. */
  forgive(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.count -= 1;
  }

  succeeded(key: string): void {
    this.#entries.delete(key);
  }
}
