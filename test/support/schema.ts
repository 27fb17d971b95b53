/**
 * What the tests of the schema share: a start that is cut off after some statement, and all that a
 * database holds.
 */
import { createDataSource } from "../../src/app/storage/data-source.js";
import { prepareSchema } from "../../src/app/storage/schema.js";

type Config = Parameters<typeof createDataSource>[0];

export class CutOff extends Error {}

/** What changes nothing: to be cut off before it or after it is the same. */
const READS = /^\s*(select|show|pragma|start|begin)/i;

/**
 * Prepares the schema, and loses the connection after `most` statements that change something.
 * Gives their number.
 */
export async function prepare(config: Config, most = Number.POSITIVE_INFINITY): Promise<number> {
  const source = createDataSource(config);
  await source.initialize();
  let statements = 0;
  const nothing = (): void => {};
  source.setOptions({
    logger: {
      logQuery(sql) {
        if (statements >= most) throw new CutOff("the connection is lost");
        if (!READS.test(sql)) statements += 1;
      },
      logQueryError: nothing,
      logQuerySlow: nothing,
      logSchemaBuild: nothing,
      logMigration: nothing,
      log: nothing,
    },
  });
  try {
    await prepareSchema(source);
  } finally {
    // With it the connection, and what it had not committed.
    await source.destroy();
  }
  return statements;
}

interface Table {
  readonly definition: string;
  readonly rows: readonly unknown[];
}

export type Contents = Readonly<Record<string, Table>>;

/** Every table as it is defined, and what stands in it but for times. */
export async function contents(config: Config): Promise<Contents> {
  const source = createDataSource(config);
  await source.initialize();
  try {
    const mysql = config.kind === "mysql";
    const tables: { readonly name: string; readonly sql: string }[] = await source.query(
      mysql
        ? "select table_name as name from information_schema.tables where table_schema = database() order by 1"
        : "select name, sql from sqlite_master where type = 'table' and name <> 'sqlite_sequence' order by 1",
    );
    const all: [string, Table][] = [];
    for (const { name, sql } of tables) {
      const definition = mysql ? (await source.query(`show create table ${name}`))[0]["Create Table"] : sql;
      const rows: Record<string, unknown>[] = await source.query(`select * from ${name} order by 1`);
      const kept = rows.map(({ created_at, updated_at, ...row }) => (name === "migrations" ? row.name : row));
      all.push([name, { definition: definition.replace(/ AUTO_INCREMENT=\d+/, ""), rows: kept }]);
    }
    return Object.fromEntries(all);
  } finally {
    await source.destroy();
  }
}
