/**
 * Barriers tells when a thread has received everything that other threads sent it before a moment.
 *
 * A barrier is a message that a thread sends behind all others: messages of one thread to another
 * arrive in order, so when the barrier is there, everything before it is. Pure.
 */
export type Barrier = readonly ["barrier", move: number, phase: "in" | "out", from: number];

export class Barriers {
  readonly #arrived = new Set<string>();
  #waiting: { readonly missing: Set<string>; readonly done: () => void } | undefined;

  add([, move, phase, from]: Barrier): void {
    const barrier = `${move} ${phase} ${from}`;
    this.#arrived.add(barrier);
    const waiting = this.#waiting;
    if (waiting?.missing.delete(barrier) && waiting.missing.size === 0) {
      this.#waiting = undefined;
      waiting.done();
    }
  }

  /** Calls `done` once the barriers of all threads in `from` have arrived. */
  expect(move: number, phase: "in" | "out", from: readonly number[], done: () => void): void {
    const missing = new Set(from.map((thread) => `${move} ${phase} ${thread}`));
    for (const barrier of missing) if (this.#arrived.has(barrier)) missing.delete(barrier);
    if (missing.size === 0) done();
    else this.#waiting = { missing, done };
  }

  clear(): void {
    this.#arrived.clear();
    this.#waiting = undefined;
  }
}
