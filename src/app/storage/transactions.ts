/**
 * Transactions: the one place where they are run, on either database.
 *
 *     run      writes; all is stored when the promise is fulfilled, nothing when it is rejected.
 *              With OutcomeUnknown the COMMIT was sent and not answered
 *     read     reads only: everything as of one moment, without a lock
 *     apart    work outside of transactions that has statements of its own
 *
 * A transaction that was not carried out is run again, a bounded time and later each time: when the
 * server undid it for others (a deadlock, a lock that another has), or the connection was lost
 * before its COMMIT. One whose outcome is unknown is never run again here: who asked must be able
 * to ask again and find out, see room-log.ts.
 *
 * The work may thus run several times, and must do nothing but ask the database. Where it builds on
 * what it reads, it locks first and reads afterwards. It locks no row that may be missing, for on
 * MySQL that may lock the gap where others insert.
 *
 * MySQL gives each transaction a connection of its own (mysql-pool.ts); SQLite has one, used in
 * turns (sqlite-connection.ts). There, a transaction waits for the lock of another process without
 * the connection, and reads continue meanwhile.
 */
import { backoff } from "simurgh/runtime";
import type { DataSource, EntityManager, QueryRunner } from "typeorm";
import { dialectOf } from "./database.js";
import { isMistake, NoAnswer, OutcomeUnknown, wasNotDone } from "./database-error.js";
import type { Lease, MysqlPool } from "./mysql-pool.js";
import { SqliteConnection } from "./sqlite-connection.js";

/**
 * What a transaction may do. Rows of a select are plain objects; numbers are numbers on both
 * databases.
 */
export interface Transaction {
  query<Row = unknown>(sql: string, parameters?: readonly unknown[]): Promise<Row[]>;
  /** Not for `save` and `remove`, which begin transactions of their own. */
  readonly manager: EntityManager;
  /** Bytes that the values of one statement may have together. */
  readonly maxValueBytes: number;
}

/**
 * Milliseconds a transaction may take, with all its repetitions and its connection, or a statement
 * apart.
 */
const DEADLINE_MS = 3000;
/** Milliseconds before the first repetition, and at the most. */
const WAIT = [5, 100] as const;
/** How often a transaction is run again that others stood in the way of. */
const MOST_REPEATS = 20;
/** The same, when its connection was lost. */
const MOST_LOST = 2;

/** The values of one statement on SQLite, which has no packets. */
const SQLITE_VALUE_BYTES = 16 * 1024 * 1024;

const PROBE_MS = 1000;

type Work<T> = (transaction: Transaction) => Promise<T>;
type Kind = "read" | "write";

export class Transactions {
  readonly #source: DataSource;
  readonly #deadlineMs: number;
  readonly #sqlite: SqliteConnection | undefined;
  #lastWrite: Promise<unknown> = Promise.resolve();
  #probe: { readonly at: number; readonly done: Promise<unknown> } | undefined;

  constructor(source: DataSource, deadlineMs = DEADLINE_MS) {
    this.#source = source;
    this.#deadlineMs = deadlineMs;
    this.#sqlite = dialectOf(source) === "sqlite" ? new SqliteConnection(source) : undefined;
    if (this.#sqlite === undefined)
      (source.driver as unknown as { pool: MysqlPool }).pool.limitStatements(deadlineMs);
  }

  run<T>(work: Work<T>): Promise<T> {
    const deadline = performance.now() + this.#deadlineMs;
    const sqlite = this.#sqlite;
    if (sqlite === undefined) return this.#again(deadline, () => this.#onMysql("write", work, deadline));
    return this.#writing(deadline, () => sqlite.transaction("BEGIN IMMEDIATE", () => this.#onSqlite(work)));
  }

  read<T>(work: Work<T>): Promise<T> {
    const deadline = performance.now() + this.#deadlineMs;
    const sqlite = this.#sqlite;
    if (sqlite === undefined) return this.#again(deadline, () => this.#onMysql("read", work, deadline));
    return this.#again(deadline, () => sqlite.transaction("BEGIN", () => this.#onSqlite(work)));
  }

  /**
   * Runs statements that are no transaction. On MySQL each stands for itself, on a connection of
   * the pool; on SQLite what writes is a transaction all the same, for the lock is then taken once.
   */
  apart<T>(kind: Kind, work: () => Promise<T>): Promise<T> {
    const sqlite = this.#sqlite;
    if (sqlite === undefined) return work();
    const deadline = performance.now() + this.#deadlineMs;
    return kind === "write"
      ? this.#writing(deadline, () => sqlite.transaction("BEGIN IMMEDIATE", work))
      : this.#again(deadline, () => sqlite.use(work));
  }

  /** Resolves when something could be stored now. Asked often, it tries once a second. */
  probe(): Promise<unknown> {
    const now = performance.now();
    if (this.#probe === undefined || now - this.#probe.at > PROBE_MS)
      this.#probe = { at: now, done: this.apart("write", () => this.#source.query(this.#probing)) };
    return this.#probe.done;
  }

  /** What a server, or a disk, that takes no writes refuses. It changes nothing. */
  get #probing(): string {
    return this.#sqlite === undefined
      ? "UPDATE rooms SET last_seq = last_seq WHERE 1 = 0"
      : "PRAGMA application_id = 0";
  }

  /** Who writes to SQLite waits for who asked before, since only one can have the lock. */
  #writing<T>(deadline: number, attempt: () => Promise<T>): Promise<T> {
    const mine = this.#lastWrite.then(() => {
      if (performance.now() > deadline) throw new NoAnswer();
      return this.#again(deadline, attempt);
    });
    this.#lastWrite = mine.catch(() => {});
    return mine;
  }

  async #again<T>(deadline: number, attempt: () => Promise<T>): Promise<T> {
    const most = this.#sqlite === undefined ? MOST_REPEATS : Number.POSITIVE_INFINITY;
    for (let repeats = 0, lost = 0; ; ) {
      try {
        return await attempt();
      } catch (error) {
        if (error instanceof LostBeforeCommit) lost += 1;
        else if (wasNotDone(error)) repeats += 1;
        else throw error;
        const ms = backoff(repeats + lost - 1, ...WAIT);
        if (repeats > most || lost > MOST_LOST || performance.now() + ms > deadline)
          throw error instanceof LostBeforeCommit ? error.cause : error;
        await new Promise((resolve) => setTimeout(resolve, ms));
      }
    }
  }

  #onSqlite<T>(work: Work<T>): Promise<T> {
    return work(transactionOf(this.#source.createQueryRunner(), SQLITE_VALUE_BYTES));
  }

  async #onMysql<T>(kind: Kind, work: Work<T>, deadline: number): Promise<T> {
    const runner = this.#source.createQueryRunner();
    try {
      const lease = (await runner.connect()) as Lease;
      lease.deadline = deadline;
      return await carryOut(runner, lease, kind, work);
    } finally {
      await runner.release();
    }
  }
}

const BEGIN = {
  read: [
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
  ],
  // Each statement reads what is committed when it begins: after a lock, what the last one who had
  // it has written.
  write: ["START TRANSACTION"],
} as const;

/** A connection that was there, and was lost before anything could have been stored. */
class LostBeforeCommit extends Error {}

/**
 * TypeORM's own transactions keep count of what they believe is open; these go by what the server
 * answers.
 */
async function carryOut<T>(runner: QueryRunner, lease: Lease, kind: Kind, work: Work<T>): Promise<T> {
  let committing = false;
  try {
    for (const statement of BEGIN[kind]) await runner.query(statement);
    const result = await work(transactionOf(runner, lease.maxValueBytes));
    committing = true;
    await runner.query("COMMIT");
    return result;
  } catch (error) {
    if (committing && kind === "write" && !wasNotDone(error)) {
      lease.destroy();
      throw new OutcomeUnknown(error);
    }
    // A connection that is gone takes its transaction along.
    if (lease.wasLost && !isMistake(error)) throw new LostBeforeCommit("", { cause: error });
    await lease.rollback();
    throw error;
  }
}

const transactionOf = (runner: QueryRunner, maxValueBytes: number): Transaction => ({
  query: (sql, parameters = []) => runner.query(sql, [...parameters]),
  manager: runner.manager,
  maxValueBytes,
});
