/**
 * What the operations on the tables share: the database, the answers they give, and the order of writes.
 *
 * Each concept (users.ts, challenges.ts, …) has its table and its operations in one file; repository.ts puts them together
 * into the process that everybody asks.
 */
import type { DataSource } from "typeorm";

/** What became of a request. A database that does not answer is an outcome, not an exception. */
export type Outcome<T> = readonly ["ok", T] | readonly ["error", Failure];

export type Failure = "taken" | "not_found" | "unavailable";

export const NOT_FOUND = ["error", "not_found"] as const;

export interface Database {
  readonly source: DataSource;
  readonly writes: WriteOrder;
}

/** `mysql` stores texts over 64 KiB and times below the second only when told to. */
export type Dialect = "sqlite" | "mysql";

export const dialectOf = ({ options }: DataSource): Dialect =>
  options.type === "better-sqlite3" ? "sqlite" : "mysql";

export const columnTypes = (dialect: Dialect) => ({
  text: dialect === "mysql" ? ("longtext" as const) : ("text" as const),
  /** A time, to the millisecond. */
  at: dialect === "mysql" ? { type: "datetime" as const, precision: 3 } : { type: "datetime" as const },
});

/** Writes of one challenge queue behind each other; those of different ones go on at the same time. */
export class WriteOrder {
  readonly #last = new Map<number, Promise<unknown>>();

  get size(): number {
    return this.#last.size;
  }

  /** Settles when the writes of this challenge that are under way have ended. */
  async settled(challenge: number): Promise<void> {
    await this.#last.get(challenge);
  }

  async allSettled(): Promise<void> {
    await Promise.allSettled(this.#last.values());
  }

  /** Runs `work` after the writes of the same challenge that came before it. */
  run<T>(challenge: number, work: () => Promise<T>): Promise<T> {
    const mine = (this.#last.get(challenge) ?? Promise.resolve()).then(work, work);
    const settled = mine.catch(() => {});
    this.#last.set(challenge, settled);
    void settled.then(() => {
      if (this.#last.get(challenge) === settled) this.#last.delete(challenge);
    });
    return mine;
  }
}
