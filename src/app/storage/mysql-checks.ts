/**
 * What must be so of a MySQL or MariaDB server and of the tables, since no connection can set it
 * for itself. Looked at when the program starts; what does not fit is refused in one line that
 * names the setting and the remedy.
 */
import type { QueryRunner } from "typeorm";
import { UnfitDatabase } from "./database.js";
import { CHARSET, COLLATION } from "./mysql-session.js";

/**
 * Bytes of the largest statement. A room's document has 4 MiB at most, and each of its bytes may
 * take two in a statement, as may those of the longest text.
 */
export const LEAST_PACKET = 9 * 1024 * 1024;

const NAMES = ["max_allowed_packet", "innodb_read_only", "log_bin", "binlog_format"];

export async function checkServer(runner: QueryRunner): Promise<void> {
  const rows: { readonly Variable_name: string; readonly Value: string }[] = await runner.query(
    `show variables where variable_name in (${NAMES.map(() => "?").join(", ")})`,
    NAMES,
  );
  const settings = Object.fromEntries(rows.map((row) => [row.Variable_name.toLowerCase(), row.Value]));
  if (Number(settings.max_allowed_packet) < LEAST_PACKET)
    throw new UnfitDatabase(
      `the database server's max_allowed_packet is ${settings.max_allowed_packet}, and the program needs ${LEAST_PACKET} or more to store a room; start the server with max_allowed_packet=16M`,
    );
  if (settings.innodb_read_only === "ON")
    throw new UnfitDatabase(
      "the database server only reads (innodb_read_only is ON); start it without, or set DATABASE_URL to one that writes",
    );
  if (settings.log_bin === "ON" && settings.binlog_format === "STATEMENT")
    throw new UnfitDatabase(
      "the database server's binlog_format is STATEMENT, with which it refuses changes at READ COMMITTED; start it with binlog_format=ROW or MIXED",
    );
  const engines: unknown[] = await runner.query(
    "select 1 from information_schema.engines where engine = 'InnoDB' and support in ('YES', 'DEFAULT')",
  );
  if (engines.length === 0)
    throw new UnfitDatabase(
      "the database server has no InnoDB, without which nothing is stored safely; start it with InnoDB on",
    );
}

interface Column {
  readonly name: string;
  readonly engine: string;
  readonly collation: string;
  readonly column: string | null;
  readonly found: string | null;
}

/**
 * After the migrations: a table that was restored or changed by other means may have another
 * engine, character set or collation.
 */
export async function checkTables(runner: QueryRunner): Promise<void> {
  const tables = [
    ...runner.connection.entityMetadatas.map(({ tableName }) => tableName),
    "rooms",
    "room_updates",
    "room_snapshots",
  ];
  const rows: Column[] = await runner.query(
    `select t.table_name as name, t.engine as engine, t.table_collation as collation, c.column_name as \`column\`, c.collation_name as found
     from information_schema.tables t
     left join information_schema.columns c on c.table_schema = t.table_schema and c.table_name = t.table_name and c.collation_name <> ?
     where t.table_schema = database() and t.table_name in (${tables.map(() => "?").join(", ")})
     order by t.table_name, c.ordinal_position`,
    [COLLATION, ...tables],
  );
  const missing = tables.filter((table) => !rows.some(({ name }) => name.toLowerCase() === table));
  if (missing.length > 0)
    throw new UnfitDatabase(
      `the table ${missing.join(", ")} is missing though it was made once; restore it from a backup`,
    );
  for (const { name, engine, collation, column, found } of rows) {
    if (engine !== "InnoDB")
      throw new UnfitDatabase(
        `the table ${name} has the engine ${engine}, where a crash loses what was acknowledged; run: ALTER TABLE ${name} ENGINE=InnoDB`,
      );
    if (column !== null || collation !== COLLATION)
      throw new UnfitDatabase(
        `the table ${name} has the collation ${found ?? collation}${column === null ? "" : ` in ${column}`}, not ${COLLATION}; run: ALTER TABLE ${name} CONVERT TO CHARACTER SET ${CHARSET} COLLATE ${COLLATION}`,
      );
  }
}
