/**
 * Steps of migrations, for both databases. Each may be cut off after any statement and done again:
 * MySQL commits every change of a table by itself, so a migration that ended halfway is repeated
 * over what it had done. A table or column that is there already is left as it is.
 *
 * On MySQL a table states its engine, character set and collation itself; the server's defaults
 * have no part in it.
 */
import { type QueryRunner, Table, type TableColumnOptions, type TableOptions } from "typeorm";
import { dialectOf } from "../database.js";
import { CHARSET, COLLATION } from "../mysql-session.js";

/** What stands after the columns. Of DYNAMIC rows an index may have 3072 bytes. */
export const TABLE_OPTIONS = `ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET=${CHARSET} COLLATE=${COLLATION}`;

export async function createTable(runner: QueryRunner, options: TableOptions): Promise<void> {
  // TypeORM writes the engine at the end of the statement, where the other options belong as well.
  const mysql = dialectOf(runner.connection) === "mysql";
  const engine = mysql ? { engine: `InnoDB ${TABLE_OPTIONS}` } : {};
  await runner.createTable(new Table({ ...options, ...engine }), true);
  // An older program may have made it, and ended before it could record that.
  if (mysql) await stateCharacterSet(runner, options.name);
}

/** Converts a table of MySQL that has another character set or collation. */
export async function stateCharacterSet(runner: QueryRunner, table: string): Promise<void> {
  if (await isStated(runner, table)) return;
  // One statement: with four bytes a character, an index over a text may need the longer keys of
  // DYNAMIC rows.
  await runner.query(
    `alter table ${table} row_format=dynamic, convert to character set ${CHARSET} collate ${COLLATION}`,
  );
}

async function isStated(runner: QueryRunner, table: string): Promise<boolean> {
  const others: unknown[] = await runner.query(
    `select 1 from information_schema.tables where table_schema = database() and table_name = ?
       and (table_collation <> ? or lower(row_format) <> 'dynamic')
     union all
     select 1 from information_schema.columns where table_schema = database() and table_name = ?
       and collation_name <> ?`,
    [table, COLLATION, table, COLLATION],
  );
  return others.length === 0;
}

/** Adds a column at the end. Not with TypeORM, which copies the whole table for it on SQLite. */
export async function addColumn(
  runner: QueryRunner,
  table: string,
  name: string,
  definition: string,
): Promise<void> {
  if (await runner.hasColumn(table, name)) return;
  await runner.query(`alter table ${table} add column ${name} ${definition}`);
}

/**
 * A text of the program's users that is a key: on MySQL its bytes, where spaces at the end count,
 * too.
 */
export const keyColumn = (runner: QueryRunner, name: string, length: number): TableColumnOptions =>
  dialectOf(runner.connection) === "mysql"
    ? { name, type: "varbinary", length: String(4 * length) }
    : { name, type: "varchar", length: String(length) };
