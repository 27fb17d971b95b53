/**
 * The one connection to a SQLite file. Whatever is asked of it between BEGIN and COMMIT belongs to
 * the transaction, so uses of it take turns.
 *
 * It promises that each use finds a connection without an open transaction: after every use, failed
 * or not, what is left open is rolled back, and a connection for which that fails, or that gave an
 * error that does not leave it fit, is closed and opened again. SQLite itself rolls back when a
 * COMMIT finds the disk full, for example: what counts is what the connection says
 * (`inTransaction`), never what is assumed.
 *
 * It never waits for a lock that another process has: waiting here would stop the thread. See
 * transactions.ts.
 */
import type { DataSource } from "typeorm";
import { leavesConnectionFit, OutcomeUnknown, wasNotDone } from "./database-error.js";

interface Handle {
  readonly open: boolean;
  readonly inTransaction: boolean;
  exec(sql: string): unknown;
  pragma(text: string): unknown;
}

interface Driver {
  databaseConnection: Handle;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
}

export class SqliteConnection {
  readonly #driver: Driver;
  #last: Promise<unknown> = Promise.resolve();
  #usable = true;

  constructor(source: DataSource) {
    this.#driver = source.driver as unknown as Driver;
    this.#handle.pragma("busy_timeout = 0");
  }

  get #handle(): Handle {
    return this.#driver.databaseConnection;
  }

  /** Runs `work` while nothing else uses the connection. */
  use<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(() => this.#use(work));
    this.#last = mine.catch(() => {});
    return mine;
  }

  /** Runs `work` in a transaction. */
  transaction<T>(begin: "BEGIN" | "BEGIN IMMEDIATE", work: () => Promise<T>): Promise<T> {
    return this.use(async () => {
      this.#handle.exec(begin);
      const result = await work();
      // A statement that failed may have ended it; what came after would then be stored by itself.
      if (!this.#handle.inTransaction) throw new Error("the transaction was rolled back");
      try {
        this.#handle.exec("COMMIT");
      } catch (error) {
        throw wasNotDone(error) ? error : new OutcomeUnknown(error);
      }
      return result;
    });
  }

  async #use<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#usable) await this.#reopen();
    try {
      return await work();
    } catch (error) {
      const cause = error instanceof OutcomeUnknown ? error.cause : error;
      if (isOfDriver(cause) && !leavesConnectionFit(cause)) this.#usable = false;
      throw error;
    } finally {
      this.#rollback();
      if (!this.#usable) await this.#reopen().catch(() => {});
    }
  }

  #rollback(): void {
    try {
      if (this.#handle.inTransaction) this.#handle.exec("ROLLBACK");
    } catch {
      // What the connection says next is what counts.
    }
    if (!this.#handle.open || this.#handle.inTransaction) this.#usable = false;
  }

  async #reopen(): Promise<void> {
    this.#usable = false;
    // It may be closed already, or not let itself be closed.
    await this.#driver.disconnect().catch(() => {});
    await this.#driver.connect();
    this.#handle.pragma("busy_timeout = 0");
    this.#usable = true;
  }
}

/** An error of the driver rather than of the program. */
const isOfDriver = (error: unknown): boolean => {
  const { code = "", driverError } = error as { code?: string; driverError?: unknown };
  return driverError !== undefined || code.startsWith("SQLITE_");
};
