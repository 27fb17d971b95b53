/**
 * The drivers of both databases, with statements that fail on purpose: the n-th from now on, or
 * that and all after it, in one of the ways a statement can fail. Everything else goes to a real
 * database.
 */
import { createRequire } from "node:module";
import mysql, { type Pool, type PoolConnection } from "mysql2";
import type { Drivers } from "../../src/app/storage/data-source.js";

/** How a statement fails. */
export type Way =
  /**
   * The database answers with this error and has done nothing, or has undone the whole transaction.
   */
  | { readonly error: Failure; readonly undone?: "transaction" }
  /** It was carried out, and the answer is an error all the same. */
  | { readonly afterwards: Failure }
  /** The connection breaks, before or after it was carried out. MySQL only. */
  | { readonly lost: "before" | "after" }
  /** No answer ever comes. MySQL only. */
  | "hangs";

export interface Failure {
  readonly code: string;
  readonly errno?: number;
}

export class Faults {
  /** Statements since the last start. */
  seen: string[] = [];
  #way: Way | undefined;
  #from = 0;
  #repeatedly = false;

  /**
   * Counts from the next statement on; statement `from` fails, and with `repeatedly` those after
   * it.
   */
  start(way?: Way, from = 0, repeatedly = false): void {
    this.seen = [];
    this.#way = way;
    this.#from = from;
    this.#repeatedly = repeatedly;
  }

  next(sql: string): Way | undefined {
    const n = this.seen.push(sql) - 1;
    return n === this.#from || (this.#repeatedly && n > this.#from) ? this.#way : undefined;
  }

  get drivers(): Drivers {
    return {
      sqlite: faultySqlite(this),
      mysql: { createPool: (options: object) => faultyPool(this, options) } as never,
    };
  }
}

const failure = ({ code, errno }: Failure): Error =>
  Object.assign(new Error(`${code} on purpose`), { code, ...(errno === undefined ? {} : { errno }) });

interface Statement {
  readonly reader: boolean;
  run(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown;
}

interface Database {
  readonly inTransaction: boolean;
  prepare(sql: string): Statement;
  exec(sql: string): unknown;
}

function faultySqlite(faults: Faults): unknown {
  const Real = createRequire(import.meta.url)("better-sqlite3") as new (...args: unknown[]) => Database;
  return class extends Real {
    #carryOut<T>(sql: string, work: () => T): T {
      const way = faults.next(sql);
      if (way === undefined) return work();
      if (typeof way === "string" || "lost" in way) throw new Error("not for SQLite");
      if ("afterwards" in way) {
        work();
        throw failure(way.afterwards);
      }
      if (way.undone === "transaction" && this.inTransaction) super.exec("ROLLBACK");
      throw failure(way.error);
    }

    override exec(sql: string): unknown {
      return this.#carryOut(sql, () => super.exec(sql));
    }

    override prepare(sql: string): Statement {
      const real = super.prepare(sql);
      return {
        reader: real.reader,
        run: (...values) => this.#carryOut(sql, () => real.run(...values)),
        all: (...values) => this.#carryOut(sql, () => real.all(...values)),
      };
    }
  };
}

type Callback = (error: unknown, rows?: unknown, fields?: unknown) => void;

function faultyPool(faults: Faults, options: object): Pool {
  const pool = mysql.createPool(options);
  pool.on("connection", (connection) => void spoil(faults, connection as PoolConnection));
  return pool;
}

function spoil(faults: Faults, connection: PoolConnection): void {
  for (const name of ["query", "execute"] as const) {
    const real = (connection[name] as (sql: string, values: unknown, callback: Callback) => unknown).bind(
      connection,
    );
    const spoiled = (sql: string, values: unknown, callback: Callback): void => {
      const way = faults.next(sql);
      if (way === undefined) real(sql, values, callback);
      else if (way === "hangs") return;
      else if ("afterwards" in way) real(sql, values, () => callback(failure(way.afterwards)));
      else if ("lost" in way) {
        const lose = (): void => {
          connection.destroy();
          callback(failure({ code: "ECONNRESET" }));
        };
        if (way.lost === "after") real(sql, values, lose);
        else lose();
      } else if (way.undone === "transaction") real("ROLLBACK", [], () => callback(failure(way.error)));
      else setImmediate(() => callback(failure(way.error)));
    };
    Object.assign(connection, { [name]: spoiled });
  }
}
