/** The operations of the repository on a database that is prepared, without its process. */
import { KeyedQueue } from "../../src/app/keyed-queue.js";
import { createDataSource } from "../../src/app/storage/data-source.js";
import { type Database, dialectOf, type Outcome } from "../../src/app/storage/database.js";
import { prepareSchema } from "../../src/app/storage/schema.js";
import { Transactions } from "../../src/app/storage/transactions.js";

type Config = Parameters<typeof createDataSource>[0];

export function value<T>(outcome: Outcome<T>): T {
  if (outcome[0] === "error") throw new Error(outcome[1]);
  return outcome[1];
}

/** Runs `use` on a database, and closes it. */
export async function withDatabase(
  config: Config,
  use: (database: Database) => Promise<void>,
): Promise<void> {
  const source = createDataSource(config);
  await source.initialize();
  try {
    await prepareSchema(source);
    await use({
      source,
      dialect: dialectOf(source),
      transactions: new Transactions(source),
      writes: new KeyedQueue<number>(),
    });
  } finally {
    await source.destroy();
  }
}

/** The text of every statement that `work` sends. */
export async function statementsOf(
  { source }: Database,
  work: () => Promise<unknown>,
): Promise<readonly string[]> {
  const statements: string[] = [];
  const nothing = (): void => {};
  const { logger } = source;
  source.setOptions({
    logger: {
      logQuery: (sql) => void statements.push(sql),
      logQueryError: nothing,
      logQuerySlow: nothing,
      logSchemaBuild: nothing,
      logMigration: nothing,
      log: nothing,
    },
  });
  try {
    await work();
  } finally {
    source.setOptions({ logger });
  }
  return statements;
}
