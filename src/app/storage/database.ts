/**
 * What the operations on the tables share: the database, and the answers they give.
 *
 * Each concept (users.ts, challenges.ts, …) has its table and its operations in one file;
 * repository.ts combines them into one process.
 */
import type { DataSource } from "typeorm";
import type { KeyedQueue } from "../keyed-queue.js";
import type { Transactions } from "./transactions.js";

/** What became of a request. A database that does not answer is an outcome, not an exception. */
export type Outcome<T> = readonly ["ok", T] | readonly ["error", Failure];

export type Failure =
  | "taken"
  | "not_found"
  | "forbidden"
  | "too_many"
  /** The person has as much as one may have. */
  | "quota"
  | "unavailable"
  /** The room takes no more connections, or none of this user. */
  | "full"
  /** Another node writes to that room now. */
  | "fenced"
  /** Rows that are asked for have gone into a snapshot. */
  | "behind"
  /** What is stored does not fit together. */
  | "damaged"
  /** What is stored takes too long to load. */
  | "too_slow"
  /** It is being loaded, and takes longer than one waits for an answer. */
  | "loading";

export const NOT_FOUND = ["error", "not_found"] as const;

/** What one person may have. Plain data: it crosses threads. */
export interface Quotas {
  readonly challenges: number;
  /** Of their challenges: prompts, texts and what they started from. */
  readonly bytes: number;
  readonly sessions: number;
}

export const DEFAULT_QUOTAS: Quotas = { challenges: 1000, bytes: 64 * 1024 * 1024, sessions: 100 };

export interface Database {
  readonly source: DataSource;
  readonly dialect: Dialect;
  readonly transactions: Transactions;
  /** Writes of one challenge, by its id, queue behind each other. */
  readonly writes: KeyedQueue<number>;
  /** Default: `DEFAULT_QUOTAS`. */
  readonly quotas?: Quotas | undefined;
}

/** A text that is a key: on MySQL its bytes are stored, and are compared as they are. */
export const keyType = (dialect: Dialect, length: number) =>
  dialect === "mysql"
    ? {
        type: "varbinary" as const,
        length: 4 * length,
        transformer: { to: (text: string) => text, from: String },
      }
    : { type: "varchar" as const, length };

/** `mysql` stores texts over 64 KiB and times below the second only with these types. */
export type Dialect = "sqlite" | "mysql";

export const dialectOf = ({ options }: DataSource): Dialect =>
  options.type === "better-sqlite3" ? "sqlite" : "mysql";

export const columnTypes = (dialect: Dialect) => ({
  text: dialect === "mysql" ? ("longtext" as const) : ("text" as const),
  /** A time, to the millisecond. */
  at: dialect === "mysql" ? { type: "datetime" as const, precision: 3 } : { type: "datetime" as const },
});

/** A time in a statement of our own, on both databases. */
export const timeText = (ms: number): string => new Date(ms).toISOString().replace("T", " ").replace("Z", "");

/** The database cannot be used as it is. The message is one line, with the remedy. */
export class UnfitDatabase extends Error {
  override readonly name = "UnfitDatabase";
}
