/**
 * The DataSource for either database. The schema comes from migrations alone, never from
 * `synchronize`.
 */
import { createRequire } from "node:module";
import type * as mysql2 from "mysql2";
import type { PoolOptions } from "mysql2";
import { DataSource, type Logger } from "typeorm";
import type { DatabaseConfig } from "../config.js";
import { challengeEntity } from "./challenges.js";
import { chatEntity } from "./chat.js";
import type { Dialect } from "./database.js";
import { CreateTables1764000000000 } from "./migrations/1764000000000-create-tables.js";
import { SeedChallenges1764000000001 } from "./migrations/1764000000001-seed-challenges.js";
import { CreateSessions1764200000000 } from "./migrations/1764200000000-create-sessions.js";
import { CreateSharingRepeatably1764200000001 } from "./migrations/1764200000001-create-sharing.js";
import { CreateChat1764200000002 } from "./migrations/1764200000002-create-chat.js";
import { CreateRoomLog1764300000000 } from "./migrations/1764300000000-create-room-log.js";
import { StateCharacterSets1764400000000 } from "./migrations/1764400000000-state-character-sets.js";
import { AddSearchTexts1764400000001 } from "./migrations/1764400000001-add-search-texts.js";
import { IndexChallenges1764500000000 } from "./migrations/1764500000000-index-challenges.js";
import { MarkGivenRoles1764600000000 } from "./migrations/1764600000000-mark-given-roles.js";
import { MysqlPool } from "./mysql-pool.js";
import { COLLATION } from "./mysql-session.js";
import { sessionEntity } from "./sessions.js";
import { invitationEntity, membershipEntity } from "./sharing.js";
import { userEntity } from "./users.js";

const entities = (dialect: Dialect) =>
  [userEntity, sessionEntity, challengeEntity, membershipEntity, invitationEntity, chatEntity].map((entity) =>
    entity(dialect),
  );

const migrations = [
  CreateTables1764000000000,
  SeedChallenges1764000000001,
  CreateSessions1764200000000,
  CreateSharingRepeatably1764200000001,
  CreateChat1764200000002,
  CreateRoomLog1764300000000,
  StateCharacterSets1764400000000,
  AddSearchTexts1764400000001,
  IndexChallenges1764500000000,
  MarkGivenRoles1764600000000,
];

interface SqliteHandle {
  pragma(text: string): unknown;
}

const silent = (): void => {};
/** What fails is reported by who asked, in words of the program. */
const logger: Logger = {
  logQuery: silent,
  logQueryError: silent,
  logQuerySlow: silent,
  logSchemaBuild: silent,
  logMigration: silent,
  log: silent,
};

/** Milliseconds the database server may take to accept a connection. */
const CONNECT_TIMEOUT_MS = 3000;

/** In place of the drivers themselves: for tests that have statements fail. */
export interface Drivers {
  readonly sqlite?: unknown;
  readonly mysql?: Pick<typeof mysql2, "createPool">;
}

/** Loaded when it is used. */
const mysqlDriver = (): Pick<typeof mysql2, "createPool"> => createRequire(import.meta.url)("mysql2");

export function createDataSource({ kind, location }: DatabaseConfig, drivers: Drivers = {}): DataSource {
  if (kind === "sqlite") {
    return new DataSource({
      type: "better-sqlite3",
      driver: drivers.sqlite,
      database: location,
      entities: entities("sqlite"),
      migrations,
      logger,
      synchronize: false,
      prepareDatabase: (handle: unknown) => {
        const database = handle as SqliteHandle;
        database.pragma("busy_timeout = 5000");
        database.pragma("journal_mode = WAL");
        // What was acknowledged must survive the power being cut, not only the process.
        database.pragma("synchronous = FULL");
        database.pragma("foreign_keys = ON");
      },
    });
  }
  return new DataSource({
    type: "mysql",
    driver: {
      createPool: (options: PoolOptions) =>
        new MysqlPool((drivers.mysql ?? mysqlDriver()).createPool(options)),
    },
    url: location.replace(/^mariadb:/, "mysql:"),
    charset: COLLATION,
    timezone: "Z",
    connectTimeout: CONNECT_TIMEOUT_MS,
    entities: entities("mysql"),
    migrations,
    logger,
    synchronize: false,
    // A connection keeps its session (mysql-session.ts) for as long as it lives.
    extra: { connectionLimit: 10, enableKeepAlive: true, queueLimit: 10_000, resetOnRelease: false },
  });
}
