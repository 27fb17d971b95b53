/**
 * Transactions on either database, each with its own deadline.
 *
 * SQLite has one connection, and whatever is asked of it between BEGIN and COMMIT is part of the transaction: there, all work
 * runs one after the other. MySQL gives each transaction a connection of its own, and may take for ever to answer: past the
 * deadline the connection is destroyed, and whether the commit came through is then unknown. So whoever writes here must be
 * able to ask again and find out: see room-log.ts.
 */
import type { DataSource, EntityManager, QueryRunner } from "typeorm";
import { dialectOf } from "./database.js";

/** What a transaction may do. Rows of a select are plain objects; numbers are numbers on both databases. */
export interface Transaction {
  query<Row = unknown>(sql: string, parameters?: readonly unknown[]): Promise<Row[]>;
  readonly manager: EntityManager;
}

/** Milliseconds a transaction may take, its connection included. */
const DEADLINE_MS = 3000;

export class Transactions {
  readonly #source: DataSource;
  readonly #oneConnection: boolean;
  #last: Promise<unknown> = Promise.resolve();

  constructor(source: DataSource) {
    this.#source = source;
    this.#oneConnection = dialectOf(source) === "sqlite";
  }

  /** Runs `work` while no transaction of another is open on its connection. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#oneConnection) return work();
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return mine;
  }

  /** Runs `work` in a transaction: all of it is stored when the promise is fulfilled. */
  run<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.alone(() => this.#run(work));
  }

  async #run<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const runner = this.#source.createQueryRunner();
    let late!: (error: Error) => void;
    const deadline = new Promise<never>((_resolve, reject) => {
      late = reject;
    });
    const timer = setTimeout(() => {
      late(new Error(`no answer within ${DEADLINE_MS} ms`));
      abandon(runner);
    }, DEADLINE_MS);
    try {
      return await Promise.race([this.#commit(runner, work), deadline]);
    } finally {
      clearTimeout(timer);
      await runner.release().catch(() => {});
    }
  }

  async #commit<T>(runner: QueryRunner, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    await runner.startTransaction();
    try {
      // Takes SQLite's lock for writing before anything is read: another process that shares the file could write in between, and
      // what had been read could then not be built upon.
      if (this.#oneConnection) await runner.query("UPDATE rooms SET last_seq = last_seq WHERE 0");
      const result = await work({
        query: (sql, parameters = []) => runner.query(sql, [...parameters]),
        manager: runner.manager,
      });
      await runner.commitTransaction();
      return result;
    } catch (error) {
      // Without a connection there is nothing to roll back; the error that matters is the first.
      await runner.rollbackTransaction().catch(() => {});
      throw error;
    }
  }
}

/** Takes the connection of a transaction that hangs out of the pool. What was sent may still be carried out. */
function abandon(runner: QueryRunner): void {
  void runner.connect().then(
    (connection: { destroy?(): void }) => connection.destroy?.(),
    () => {},
  );
}
