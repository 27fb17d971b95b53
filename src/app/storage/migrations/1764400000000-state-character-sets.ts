/**
 * The character set and the collation of every table, which older programs left to the server's
 * defaults: utf8mb4, compared by bytes. The columns with a text that users choose as a key hold its
 * bytes alone, where spaces at the end count, too.
 *
 * Bytes are finer than any other collation, so no unique key can fail. SQLite has compared by bytes
 * always.
 */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { dialectOf } from "../database.js";
import { stateCharacterSet } from "./tables.js";

const TABLES = [
  "users",
  "challenges",
  "sessions",
  "memberships",
  "invitations",
  "chat_messages",
  "rooms",
  "room_updates",
  "room_snapshots",
];

const KEYS = [
  ["users", "email_normal", "varbinary(1016)"],
  ["chat_messages", "client_key", "varbinary(160)"],
] as const;

export class StateCharacterSets1764400000000 implements MigrationInterface {
  readonly name = "StateCharacterSets1764400000000";

  async up(runner: QueryRunner): Promise<void> {
    if (dialectOf(runner.connection) === "sqlite") return;
    for (const table of TABLES) await stateCharacterSet(runner, table);
    // After the conversion: a text becomes bytes in the character set that its column has.
    for (const [table, column, type] of KEYS)
      await runner.query(`alter table ${table} modify ${column} ${type} not null`);
  }

  async down(runner: QueryRunner): Promise<void> {
    if (dialectOf(runner.connection) === "sqlite") return;
    await runner.query(`alter table users modify email_normal varchar(254) not null`);
    await runner.query(`alter table chat_messages modify client_key varchar(40) not null`);
  }
}
