/** The server that chaos rounds break, with the database it stores in. */
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import type { Connection } from "mysql2/promise";
import { AppServer } from "../support/app-server.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { SmallDisk } from "../support/tmpfs.js";

export type DatabaseName = "SQLite" | "MariaDB";

/** Room for the rows of some hundred rounds, and little enough to be filled in milliseconds. */
const DISK_MB = 64;

export interface World {
  readonly server: AppServer;
  /** Where the SQLite file lies. */
  readonly disk?: SmallDisk;
  readonly mariadb?: MariaDb;
  /** Runs statements beside the server, with all rights. */
  execute(...statements: string[]): Promise<void>;
  /** A connection to the database beside the server's own. */
  openSqlite(): Sqlite.Database;
  openMariaDb(): Promise<Connection>;
  stop(): Promise<void>;
}

export async function startWorld(database: DatabaseName): Promise<World> {
  const env = { SHARDS: "1", ACCESS_TOKEN_SECONDS: "3600" };
  if (database === "SQLite") {
    const disk = new SmallDisk(DISK_MB);
    const server = await AppServer.start({ ...env, DATA_DIR: disk.folder });
    const openSqlite = () => new Sqlite(join(disk.folder, "phoenixpair.sqlite"), { timeout: 5000 });
    return {
      server,
      disk,
      openSqlite,
      openMariaDb: () => Promise.reject(new Error("the database is SQLite")),
      async execute(...statements) {
        const connection = openSqlite();
        try {
          for (const statement of statements) connection.exec(statement);
        } finally {
          connection.close();
        }
      },
      async stop() {
        await server.stop();
        disk.remove();
      },
    };
  }
  const mariadb = await startMariaDb();
  const url = await mariadb.createDatabase();
  const server = await AppServer.start({ ...env, DATABASE_URL: url });
  const openMariaDb = async (): Promise<Connection> => {
    const connection = await mariadb.connectAsRoot();
    // Its server may be killed at any moment.
    connection.on("error", () => {});
    await connection.query(`USE ${new URL(url).pathname.slice(1)}`);
    return connection;
  };
  return {
    server,
    mariadb,
    openMariaDb,
    openSqlite() {
      throw new Error("the database is MariaDB");
    },
    async execute(...statements) {
      const connection = await openMariaDb();
      try {
        for (const statement of statements) await connection.query(statement);
      } finally {
        await connection.end();
      }
    },
    async stop() {
      await server.stop();
      await mariadb.stop();
    },
  };
}
