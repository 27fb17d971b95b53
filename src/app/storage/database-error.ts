/**
 * What an error of a database driver means: pure. Two questions are asked of it, and both are
 * answered "no" of an error that is not listed here, since an unknown error says nothing about the
 * connection that gave it.
 *
 *     leavesConnectionFit   may the connection be used again?
 *     wasNotDone            certainly not carried out, and asking again may help
 *
 * Numbers are those of MySQL and MariaDB; texts are the result codes of SQLite.
 */

/** An error as mysql2 and better-sqlite3 give it. */
interface DriverError {
  readonly code?: string;
  readonly errno?: number;
}

/** TypeORM wraps what the driver threw. */
export function driverErrorOf(error: unknown): DriverError {
  const { driverError = error } = (error ?? {}) as { driverError?: unknown };
  return (driverError ?? {}) as DriverError;
}

/**
 * The server undid the statement or the whole transaction because of others, or did not begin it.
 */
const UNDONE_FOR_OTHERS = [
  1205, // lock wait timeout: the statement alone is undone
  1213, // deadlock
  1020, // a row has changed since the snapshot (innodb_snapshot_isolation)
  3572, // NOWAIT
  1613, // the time of a distributed transaction ran out
  1614, // the same, for a deadlock
  3101, // a group of servers refused the commit
];

/**
 * This server does not write, or does nothing at all, for anyone; another one may, behind the same
 * address.
 */
const REFUSED_BY_SERVER = [
  1290, // read_only
  1792, // read-only transaction
  1836, // read-only mode
  3989, // read-only schema
  1047, // a cluster's node that is not ready
];

/** Connections that the server has not accepted, for there are too many. */
const TOO_MANY = [1040, 1203];

/** What was asked cannot be done, by any connection and however often. */
const MISTAKES = [
  1022, 1048, 1054, 1062, 1064, 1146, 1169, 1216, 1217, 1264, 1265, 1292, 1364, 1365, 1366, 1406, 1451, 1452,
  1586, 1690, 3819, 4025,
];

/** The statement alone failed: it ran too long, or there is no space. */
const STATEMENT_ALONE = [1021, 1114, 1317, 1969, 3024];

const KEPT_AFTER = new Set([...UNDONE_FOR_OTHERS, ...MISTAKES, ...STATEMENT_ALONE]);
const NOT_DONE = new Set([...UNDONE_FOR_OTHERS, ...REFUSED_BY_SERVER, ...TOO_MANY]);
const MISTAKE = new Set(MISTAKES);

const SQLITE_WAITS = /^SQLITE_(BUSY|LOCKED)/;
const SQLITE_MISTAKE = /^SQLITE_(CONSTRAINT|TOOBIG|RANGE|MISMATCH|ERROR)/;
const SQLITE_KEPT = /^SQLITE_(BUSY|LOCKED|FULL|CONSTRAINT|TOOBIG|RANGE|MISMATCH|ERROR|INTERRUPT|ABORT)/;

const isSqlite = (code: string | undefined): code is string => code?.startsWith("SQLITE_") === true;

/**
 * Whether a connection that gave this error is fit for other work, once its transaction is rolled
 * back.
 */
export function leavesConnectionFit(error: unknown): boolean {
  const cause = driverErrorOf(error);
  if (cause instanceof StatementTooLarge) return true;
  const { code, errno } = cause;
  return isSqlite(code) ? SQLITE_KEPT.test(code) : errno !== undefined && KEPT_AFTER.has(errno);
}

/**
 * Whether the statement was certainly not carried out, be it a COMMIT, and may be if asked again.
 */
export function wasNotDone(error: unknown): boolean {
  const { code, errno } = driverErrorOf(error);
  return isSqlite(code) ? SQLITE_WAITS.test(code) : errno !== undefined && NOT_DONE.has(errno);
}

/** Whether asking again gives the same error again. */
export function isMistake(error: unknown): boolean {
  const cause = driverErrorOf(error);
  if (cause instanceof StatementTooLarge) return true;
  const { code, errno } = cause;
  return isSqlite(code) ? SQLITE_MISTAKE.test(code) : errno !== undefined && MISTAKE.has(errno);
}

/** Whether a row with the same unique key exists. */
export function isDuplicate(error: unknown): boolean {
  const { code } = driverErrorOf(error);
  return (
    code === "SQLITE_CONSTRAINT_UNIQUE" || code === "SQLITE_CONSTRAINT_PRIMARYKEY" || code === "ER_DUP_ENTRY"
  );
}

/** A COMMIT without an answer: what it was to store may be stored or not. */
export class OutcomeUnknown extends Error {
  override readonly name = "OutcomeUnknown";

  constructor(cause: unknown) {
    super(`it is unknown whether the commit came through: ${(cause as Error).message}`, { cause });
  }
}

/** The database gave no answer in time. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";

  constructor() {
    super("no answer in time");
  }
}

/** A statement that the server would not take; nothing was sent. */
export class StatementTooLarge extends Error {
  override readonly name = "StatementTooLarge";

  constructor(bytes: number, most: number) {
    super(`a statement of ${bytes} bytes is above the server's max_allowed_packet of ${most}; set it to 16M`);
  }
}
