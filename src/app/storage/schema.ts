/**
 * The schema at the start of the program: one process migrates while the others wait, and a
 * database that does not fit is refused in one line that says what to do.
 *
 *     MySQL, MariaDB   a named lock of the connection that migrates, released with it
 *     SQLite           one transaction that writes: it goes with the process
 *
 * A start may be cut off between any two statements and repeated. On SQLite nothing has happened
 * then; on MySQL every migration can be done again over what it had done (migrations/tables.ts).
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type DataSource, MigrationExecutor, type QueryRunner } from "typeorm";
import { dialectOf, UnfitDatabase } from "./database.js";
import { TABLE_OPTIONS } from "./migrations/tables.js";
import { checkServer, checkTables } from "./mysql-checks.js";
import { refreshSearchTexts } from "./search.js";
import { checkContents } from "./sqlite-checks.js";

/** Names under which older programs recorded migrations. */
export const FORMER_NAMES: Readonly<Record<string, string>> = {
  CreateSharing1764200000001: "CreateSharingRepeatably1764200000001",
};

export interface SchemaOptions {
  /** Milliseconds to wait for a process that migrates. */
  readonly patienceMs?: number;
  readonly log?: (line: string) => void;
  /** Runs with the lock, once the database is known to fit. */
  readonly beforeMigrations?: () => Promise<void>;
}

/** A conversion of large tables takes this long at most. */
const PATIENCE_MS = 120_000;

/** Milliseconds between two looks at a lock that another process has. */
const LOOK_AGAIN_MS = 250;

export async function prepareSchema(
  source: DataSource,
  {
    beforeMigrations,
    patienceMs = PATIENCE_MS,
    log = (line) => console.error(`[phoenixpair] ${line}`),
  }: SchemaOptions = {},
): Promise<void> {
  const runner = source.createQueryRunner();
  const locks = dialectOf(source) === "mysql" ? mysqlLock(runner) : sqliteLock(runner);
  try {
    const lock = await locks;
    const until = performance.now() + patienceMs;
    for (let waiting = false; !(await lock.take()); waiting = true) {
      if (!waiting) log("another process prepares this database; waiting for it");
      if (performance.now() > until)
        throw new UnfitDatabase(
          `another process has been preparing this database for ${Math.round(patienceMs / 1000)} s; start again when it has finished, or end it first`,
        );
      await sleep(LOOK_AGAIN_MS);
    }
    try {
      await migrate(source, runner, beforeMigrations);
    } catch (error) {
      await lock.release(false).catch(() => {});
      throw error;
    }
    await lock.release(true);
  } finally {
    await runner.release().catch(() => {});
  }
}

async function migrate(source: DataSource, runner: QueryRunner, before?: () => Promise<void>): Promise<void> {
  const mysql = dialectOf(source) === "mysql";
  if (mysql) await checkServer(runner);
  else await checkContents(runner, source.options.database as string);
  await createMigrationsTable(runner, mysql);
  await checkVersion(source, runner);
  // Also fails where nothing may be written.
  for (const [former, name] of Object.entries(FORMER_NAMES))
    await runner.query("update migrations set name = ? where name = ?", [name, former]);
  await before?.();
  const executor = new MigrationExecutor(source, runner);
  executor.transaction = mysql ? "each" : "none";
  await executor.executePendingMigrations();
  if (mysql) await checkTables(runner);
  await refreshSearchTexts(runner);
  // Writes at each start, so that a full disk is noticed now.
  if (!mysql) await runner.query(`pragma user_version = ${source.migrations.length}`);
}

/** As TypeORM makes it, but for the engine and the character set. */
async function createMigrationsTable(runner: QueryRunner, mysql: boolean): Promise<void> {
  await runner.query(
    mysql
      ? `create table if not exists migrations (id int not null auto_increment primary key, timestamp bigint not null, name varchar(255) not null) ENGINE=InnoDB ${TABLE_OPTIONS}`
      : "create table if not exists migrations (id integer primary key autoincrement not null, timestamp bigint not null, name varchar not null)",
  );
}

/**
 * Refuses a schema that a newer program has changed: what this one wrote would be lost, or would
 * not fit.
 */
async function checkVersion(source: DataSource, runner: QueryRunner): Promise<void> {
  const known = new Set([...source.migrations.map(({ name }) => name), ...Object.keys(FORMER_NAMES)]);
  const rows: { readonly name: string }[] = await runner.query("select name from migrations order by id");
  const unknown = rows.map(({ name }) => name).filter((name) => !known.has(name));
  if (unknown.length > 0)
    throw new UnfitDatabase(
      `this database belongs to a newer version of the program (its schema has ${unknown.join(", ")}); start that version, or go back to a backup from before it (docs/deployment.md)`,
    );
}

interface Lock {
  /** False: another process has it. */
  take(): Promise<boolean>;
  release(done: boolean): Promise<void>;
}

async function mysqlLock(runner: QueryRunner): Promise<Lock> {
  // Of the whole server: named after the database. A name may have 64 characters.
  const [{ name }] = await runner.query("select database() as name");
  const lock = `phoenixpair:${createHash("sha256").update(name).digest("hex").slice(0, 40)}`;
  return {
    async take() {
      const [{ taken }] = await runner.query("select get_lock(?, 0) as taken", [lock]);
      if (taken === null) throw new Error("the server gives no named lock (GET_LOCK)");
      return Number(taken) === 1;
    },
    async release() {
      await runner.query("select release_lock(?) as released", [lock]);
    },
  };
}

async function sqliteLock(runner: QueryRunner): Promise<Lock> {
  return {
    async take() {
      // Has no effect within a transaction. A migration may make a table again that others refer
      // to.
      await runner.query("pragma foreign_keys = off");
      try {
        await runner.query("begin immediate");
        return true;
      } catch (error) {
        if (isBusy(error)) return false;
        throw error;
      }
    },
    async release(done) {
      try {
        await runner.query(done ? "commit" : "rollback");
        // What was prepared stands in the file itself, and does not depend on its log.
        if (done) await runner.query("pragma wal_checkpoint(truncate)");
      } finally {
        await runner.query("pragma foreign_keys = on");
      }
    },
  };
}

const isBusy = (error: unknown): boolean =>
  /^SQLITE_BUSY/.test(
    (error as { readonly driverError?: { readonly code?: string } }).driverError?.code ?? "",
  );

/** Why the database cannot be used, and what to do, in one line. */
export function startProblem(error: unknown): string {
  if (error instanceof UnfitDatabase) return error.message;
  const { driverError, code, message } = error as Error & {
    readonly code?: string;
    readonly driverError?: { readonly code?: string; readonly message: string };
  };
  const known = REMEDIES[driverError?.code ?? code ?? ""];
  if (known !== undefined) return known;
  const why = [driverError?.code ?? code, driverError?.message ?? message].filter(Boolean).join(": ");
  return `the database cannot be used (${why.replace(/\s+/g, " ")}); check DATABASE_URL, or DATA_DIR for SQLite`;
}

const READ_ONLY =
  "the database server only reads (read_only is ON); set DATABASE_URL to the one that writes, or SET GLOBAL read_only = OFF";
const DAMAGED =
  "the database file in DATA_DIR is damaged; put a backup in place of all its files (docs/deployment.md)";

const REMEDIES: Readonly<Record<string, string>> = {
  ER_OPTION_PREVENTS_STATEMENT: READ_ONLY,
  ER_READ_ONLY_MODE: READ_ONLY,
  SQLITE_FULL: "the disk of DATA_DIR is full; make room there, or set DATA_DIR to a folder elsewhere",
  SQLITE_READONLY: "the database file in DATA_DIR may not be written to; give this user the right to",
  SQLITE_CORRUPT: DAMAGED,
  SQLITE_NOTADB: DAMAGED,
};
