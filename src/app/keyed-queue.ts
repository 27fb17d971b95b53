/**
 * Work of one key in the order it was asked for, one after the other; of different keys at the same
 * time. For what must not overlap with itself. It does not bound how long work takes: the caller
 * that hands it in does.
 */
export class KeyedQueue<Key> {
  readonly #last = new Map<Key, { readonly settled: Promise<unknown>; waiting: number }>();

  /** Keys with work under way. */
  get size(): number {
    return this.#last.size;
  }

  /** Works of this key that have not ended. */
  waiting(key: Key): number {
    return this.#last.get(key)?.waiting ?? 0;
  }

  /** Settles when the work of this key that is under way has ended. */
  async settled(key: Key): Promise<void> {
    await this.#last.get(key)?.settled;
  }

  async allSettled(): Promise<void> {
    await Promise.all([...this.#last.values()].map(({ settled }) => settled));
  }

  /** Runs `work` after what was handed in for the same key before. */
  run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine = (before?.settled ?? Promise.resolve()).then(work);
    const entry = {
      settled: mine.then(
        () => {},
        () => {},
      ),
      waiting: (before?.waiting ?? 0) + 1,
    };
    this.#last.set(key, entry);
    void entry.settled.then(() => {
      const last = this.#last.get(key);
      if (last === entry) this.#last.delete(key);
      else if (last !== undefined) last.waiting -= 1;
    });
    return mine;
  }
}
