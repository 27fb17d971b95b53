/**
 * The session of each connection to MySQL or MariaDB. A server's own settings decide what a quote or a backslash in a statement
 * means, whether a change outside a transaction is kept, in which character set texts travel, what a transaction sees. Nothing
 * here depends on them: every connection sets what the program relies on before its first statement, and one where that fails
 * is closed.
 */
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import type { Pool, PoolConnection, PoolOptions } from "mysql2";

/** The character set and the collation of every text: compared by bytes. */
export const CHARSET = "utf8mb4";
export const COLLATION = "utf8mb4_bin";

const VARIABLES = {
  // The driver writes parameters into the text of a statement, with backslashes and in single quotes.
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
  // Each statement sees what is committed: whoever reads after waiting for a lock reads what the lock's last holder wrote.
  "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
];

function prepare(connection: PoolConnection): void {
  for (const statement of SESSION_STATEMENTS)
    connection.query(statement, (error) => {
      // Fails what waits for this connection, too.
      if (error !== null) (connection as unknown as { stream: Socket }).stream.destroy(error);
    });
}

/** The driver for TypeORM: `mysql2`, with each connection of a pool prepared. Loaded only where a server is used. */
export function mysqlDriver(): object {
  const mysql2 = createRequire(import.meta.url)("mysql2") as typeof import("mysql2");
  return {
    ...mysql2,
    createPool(options: PoolOptions): Pool {
      const pool = mysql2.createPool(options);
      // Runs before the caller that asked for the connection gets it.
      pool.on("connection", prepare);
      return pool;
    },
  };
}
