/**
 * The session of each connection to MySQL or MariaDB. A server's own settings decide what a quote
 * or a backslash in a statement means, whether a change outside a transaction is kept, in which
 * character set texts travel, what a transaction sees. Nothing here depends on them: every
 * connection sets what the program relies on before its first statement, and one where that fails
 * is closed (mysql-pool.ts).
 */
/** The character set and the collation of every text: compared by bytes. */
export const CHARSET = "utf8mb4";
export const COLLATION = "utf8mb4_bin";

const VARIABLES = {
  // The driver writes parameters into the text of a statement, with backslashes and in single
  // quotes.
  sql_mode: "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
  character_set_client: CHARSET,
  character_set_results: CHARSET,
  collation_connection: COLLATION,
  time_zone: "'+00:00'",
  autocommit: "1",
  completion_type: "0",
  foreign_key_checks: "1",
  unique_checks: "1",
  sql_auto_is_null: "0",
  sql_safe_updates: "0",
  sql_big_selects: "1",
  sql_select_limit: "18446744073709551615",
} as const;

export const SESSION_STATEMENTS: readonly string[] = [
  `SET ${Object.entries(VARIABLES)
    .map(([name, value]) => `SESSION ${name} = ${value}`)
    .join(", ")}`,
  // Each statement sees what is committed: a read after waiting for a lock sees what the lock's
  // last holder wrote.
  "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
];

/**
 * Once the schema is there, in seconds: waiting for a lock ends before the deadline of a statement
 * does.
 */
export const LOCK_STATEMENT = "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 2";
