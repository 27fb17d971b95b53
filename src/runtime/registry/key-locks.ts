/**
 * Mutual exclusion by key, for the processes of one thread (Elixir: `Registry.lock/3`). First come,
 * first served; a holder that ends gives the lock back, one that ends while it waits is passed
 * over. Different keys do not wait for each other.
 */
import { ProcessExited } from "../kernel/errors.js";
import type { Process } from "../kernel/process.js";

interface Waiter {
  readonly process: Process;
  readonly take: () => void;
}

export class KeyLocks {
  /** Who waits for a held key. A key that is not here is free. */
  readonly #held = new Map<unknown, Waiter[]>();

  get size(): number {
    return this.#held.size;
  }

  /** Runs `fn` while no other one runs under the same key. Rejects with what it throws. */
  async run<T>(process: Process, key: unknown, fn: () => T | Promise<T>): Promise<T> {
    const waiters = this.#held.get(key);
    if (waiters === undefined) this.#held.set(key, []);
    else {
      await new Promise<void>((take) => waiters.push({ process, take }));
      if (!process.alive) {
        // It ended between being given the lock and going on.
        this.#pass(key);
        throw new ProcessExited(process.pid);
      }
    }
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      this.#pass(key);
    };
    const forget = process.onExit(release);
    try {
      return await fn();
    } finally {
      forget();
      release();
    }
  }

  #pass(key: unknown): void {
    const waiters = this.#held.get(key) as Waiter[];
    for (let next = waiters.shift(); next !== undefined; next = waiters.shift()) {
      if (!next.process.alive) continue;
      next.take();
      return;
    }
    this.#held.delete(key);
  }
}
