/**
 * Slows guessing of passwords down: after ten failures for one account from one address within five minutes, further
 * attempts have to wait. Bounded: the oldest entries go first.
 */
const MAX_FAILURES = 10;
const WINDOW_MS = 5 * 60 * 1000;
const MAX_ENTRIES = 10_000;

export class FailedAttempts {
  readonly #now: () => number;
  readonly #entries = new Map<string, { count: number; since: number }>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Milliseconds to wait before the next attempt; 0 for none. */
  waitFor(key: string): number {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.count < MAX_FAILURES) return 0;
    const left = entry.since + WINDOW_MS - this.#now();
    if (left > 0) return left;
    this.#entries.delete(key);
    return 0;
  }

  failed(key: string): void {
    const now = this.#now();
    const entry = this.#entries.get(key);
    if (entry !== undefined && now - entry.since < WINDOW_MS) {
      entry.count += 1;
      return;
    }
    this.#entries.delete(key);
    this.#entries.set(key, { count: 1, since: now });
    if (this.#entries.size > MAX_ENTRIES) this.#entries.delete(this.#entries.keys().next().value as string);
  }

  succeeded(key: string): void {
    this.#entries.delete(key);
  }
}
