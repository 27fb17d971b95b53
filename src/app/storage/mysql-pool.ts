/**
 * The connections to a MySQL or MariaDB server, as TypeORM's driver takes them: each taker has a
 * lease on one.
 *
 * It promises, of every statement, inside and outside of transactions:
 * - A connection is used again only after an error that is known to leave it fit
 *   (database-error.ts). After any other it is destroyed, and so are those opened before it, since
 *   what happened to one (a failover, a restart) happened to all.
 * - Each statement has a deadline, after which its connection is destroyed, once `limitStatements`
 *   is called: before, the schema may be changed, which takes as long as it takes.
 * - The first statement of a lease is repeated, on another connection where necessary, when it was
 *   not carried out; the later ones are not, for they may build on it.
 * - A statement that the server would not take is not sent.
 *
 * Each new connection gets its session (mysql-session.ts) first.
 */
import type { ExecuteValues, Pool, PoolConnection, QueryResult, QueryValues } from "mysql2";
import { backoff } from "simurgh/runtime";
import { leavesConnectionFit, NoAnswer, StatementTooLarge, wasNotDone } from "./database-error.js";
import { LOCK_STATEMENT, SESSION_STATEMENTS } from "./mysql-session.js";

/** The longest that a timer can be set to. */
const UNLIMITED_MS = 2 ** 31 - 1;
/** How often a first statement is repeated. */
const MOST_REPEATS = 5;
/** Milliseconds before the first repetition, and at the most. */
const WAIT = [10, 50] as const;
/**
 * Connections that are older than an unfit one are given up at most this often, in milliseconds.
 */
const RETIRE_EVERY_MS = 1000;
/** Bytes of a packet that are not the statement. */
const HEADER = 1024;

/** What is known of an open connection. */
interface Known {
  /** Connections opened since others were last given up have a higher one. */
  readonly generation: number;
  /** Bytes one statement may have. */
  readonly maxPacket: number;
}

type Answer = readonly [QueryResult, unknown];
type Callback<T> = (error: Error | null, value?: T) => void;

export class MysqlPool {
  readonly #pool: Pool;
  readonly #known = new WeakMap<PoolConnection, Known>();
  /** Connections that are not in use. */
  readonly #idle = new Set<PoolConnection>();
  #generation = 0;
  #retiredAt = Number.NEGATIVE_INFINITY;
  #statementMs = UNLIMITED_MS;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /**
   * From now on, a statement may take so long, a connection included, and waiting for locks has a
   * limit.
   */
  limitStatements(ms: number): void {
    if (this.#statementMs === UNLIMITED_MS) this.#retire();
    this.#statementMs = ms;
  }

  /** When a statement that begins now must be answered. */
  deadline(): number {
    return performance.now() + this.#statementMs;
  }

  getConnection(callback: Callback<Lease>): void {
    const lease = new Lease(this);
    lease.connect().then(
      () => callback(null, lease),
      (error: Error) => callback(error),
    );
  }

  end(callback: Callback<never>): void {
    this.#pool.end((error) => callback(error));
  }

  /**
   * A connection that is not older than the last failure; destroyed when it comes after the
   * deadline.
   */
  async take(deadline: number): Promise<PoolConnection> {
    for (;;) {
      const connection = await this.#next(deadline);
      this.#idle.delete(connection);
      const known = this.#known.get(connection);
      if (known?.generation === this.#generation) return connection;
      if (known === undefined) {
        await this.#prepare(connection, deadline);
        return connection;
      }
      connection.destroy();
    }
  }

  knownOf(connection: PoolConnection): Known {
    return this.#known.get(connection) as Known;
  }

  giveBack(connection: PoolConnection): void {
    if (this.#known.get(connection)?.generation === this.#generation) {
      this.#idle.add(connection);
      connection.release();
    } else connection.destroy();
  }

  /** Gives up a connection, and with it those that are older than this failure. */
  discard(connection: PoolConnection): void {
    const generation = this.#known.get(connection)?.generation;
    connection.destroy();
    const now = performance.now();
    if (generation !== this.#generation || now - this.#retiredAt < RETIRE_EVERY_MS) return;
    this.#retiredAt = now;
    this.#retire();
  }

  /** Those in use go when they are given back. */
  #retire(): void {
    this.#generation += 1;
    for (const connection of this.#idle) connection.destroy();
    this.#idle.clear();
  }

  #next(deadline: number): Promise<PoolConnection> {
    return new Promise((resolve, reject) => {
      const ms = deadline - performance.now();
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        reject(new NoAnswer());
      }, ms);
      this.#pool.getConnection((error, connection) => {
        clearTimeout(timer);
        if (late && !error) connection.release();
        else if (error) reject(error);
        else resolve(connection);
      });
    });
  }

  async #prepare(connection: PoolConnection, deadline: number): Promise<void> {
    const generation = this.#generation;
    // Lost while it is not in use: the pool takes it out.
    connection.on("error", () => {});
    connection.on("end", () => void this.#idle.delete(connection));
    try {
      const limits = this.#statementMs === UNLIMITED_MS ? [] : [LOCK_STATEMENT];
      const asked = [...SESSION_STATEMENTS, ...limits].map((sql) => send(connection, sql, [], deadline));
      const packet = send(connection, "SELECT @@max_allowed_packet AS bytes", [], deadline);
      const [[rows]] = await Promise.all([packet, ...asked]);
      const maxPacket = Number((rows as { bytes: number }[])[0]?.bytes);
      this.#known.set(connection, { generation, maxPacket });
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }
}

/** One taker's use of a connection: what TypeORM takes for a connection of mysql2. */
export class Lease {
  readonly #pool: MysqlPool;
  #connection: PoolConnection | undefined;
  #used = false;
  #released = false;
  /** Why nothing more can be asked. */
  #failure: unknown;
  /** When everything asked here must have been answered; of each statement where undefined. */
  deadline: number | undefined;

  constructor(pool: MysqlPool) {
    this.#pool = pool;
  }

  async connect(): Promise<void> {
    this.#connection ??= await this.#pool.take(this.#until());
  }

  /** Bytes that the values of one statement may have. */
  get maxValueBytes(): number {
    return this.#connection === undefined ? 0 : this.#pool.knownOf(this.#connection).maxPacket / 2 - HEADER;
  }

  /** Whether its connection is gone, and with it whatever transaction was open. */
  get wasLost(): boolean {
    return this.#connection === undefined;
  }

  promise(): { query(sql: string, values?: readonly unknown[]): Promise<Answer> } {
    return { query: (sql, values = []) => this.#run(sql, values) };
  }

  /** For the end of a transaction, which may have failed. */
  async rollback(): Promise<void> {
    if (this.#connection === undefined) return;
    try {
      await send(this.#connection, "ROLLBACK", [], this.#pool.deadline());
    } catch {
      this.destroy();
    }
  }

  release(): void {
    this.#released = true;
    if (this.#connection !== undefined) this.#pool.giveBack(this.#connection);
    this.#connection = undefined;
  }

  destroy(): void {
    this.#failure ??= new Error("the connection was given up");
    if (this.#connection !== undefined) this.#pool.discard(this.#connection);
    this.#connection = undefined;
  }

  // TypeORM listens for the errors of a connection unless it is listened to.
  listeners(): readonly unknown[] {
    return [this];
  }

  #until(): number {
    return Math.min(this.deadline ?? Number.POSITIVE_INFINITY, this.#pool.deadline());
  }

  async #run(sql: string, values: readonly unknown[]): Promise<Answer> {
    if (this.#failure !== undefined) throw this.#failure;
    const until = this.#until();
    for (let repeats = 0; ; repeats += 1) {
      try {
        this.#connection ??= await this.#pool.take(until);
        if (this.#released) throw new Error("the connection was released");
        const answer = await send(
          this.#connection,
          sql,
          values,
          until,
          this.#pool.knownOf(this.#connection).maxPacket,
        );
        this.#used = true;
        return answer;
      } catch (error) {
        if (!leavesConnectionFit(error)) this.#discard();
        const again = !this.#used && repeats < MOST_REPEATS && mayRepeat(sql, error);
        const ms = backoff(repeats, ...WAIT);
        if (!again || performance.now() + ms > until) {
          // A transaction in which one statement failed must not continue with the next.
          if (this.deadline !== undefined || this.#connection === undefined) this.#failure = error;
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, ms));
      }
    }
  }

  #discard(): void {
    if (this.#connection !== undefined) this.#pool.discard(this.#connection);
    this.#connection = undefined;
  }
}

/**
 * Reading changes nothing: it may be asked again of another connection unless there is none to be
 * had.
 */
const mayRepeat = (sql: string, error: unknown): boolean =>
  wasNotDone(error) || (isRead(sql) && wasLost(error));

const isRead = (sql: string): boolean => /^\s*select\b/i.test(sql);

const wasLost = (error: unknown): boolean =>
  ["PROTOCOL_CONNECTION_LOST", "ECONNRESET", "EPIPE"].includes((error as { code?: string }).code ?? "") ||
  [1053, 1317, 1927, 4031].includes((error as { errno?: number }).errno ?? 0);

/** Sends one statement; without an answer by the deadline the connection is of no use. */
function send(
  connection: PoolConnection,
  sql: string,
  values: readonly unknown[],
  deadline: number,
  maxPacket = Number.POSITIVE_INFINITY,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // Written into the statement, bytes are in hexadecimal and texts escaped; sent apart from it,
    // both are as they are.
    const written = bytesOf(sql, values, 2);
    const bound = written > maxPacket - HEADER;
    if (bound) {
      const bytes = bytesOf(sql, values, 1);
      if (bytes > maxPacket - HEADER) {
        reject(new StatementTooLarge(bytes, maxPacket));
        return;
      }
    }
    const timer = setTimeout(() => reject(new NoAnswer()), deadline - performance.now());
    const answered = (error: Error | null, rows: QueryResult, fields: unknown): void => {
      clearTimeout(timer);
      if (bound) connection.unprepare(sql);
      if (error) reject(error);
      else resolve([rows, fields]);
    };
    if (bound) connection.execute(sql, values as ExecuteValues, answered);
    else connection.query(sql, values as QueryValues, answered);
  });
}

/** How many bytes a statement has on the wire: `perByte` for each byte of a value. */
function bytesOf(sql: string, values: readonly unknown[], perByte: 1 | 2): number {
  let sum = Buffer.byteLength(sql);
  for (const value of values) {
    if (value instanceof Uint8Array) sum += value.length * perByte;
    else if (typeof value === "string") sum += Buffer.byteLength(value) * perByte;
    sum += 32;
  }
  return sum;
}
