/**
 * The DataSource of PhoenixPair, from the same environment as the server: `DATABASE_URL`, else SQLite in `DATA_DIR`. For the
 * TypeORM command line and scripts.
 */
import { resolve } from "node:path";
import { readDatabase } from "./src/app/config.js";
import { createDataSource } from "./src/app/storage/data-source.js";

export default createDataSource(
  readDatabase(process.env.DATABASE_URL, resolve(process.env.DATA_DIR ?? "./data")),
);
