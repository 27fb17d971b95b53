/** The log of each room's document, and its snapshots: see storage/room-log.ts. */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { dialectOf } from "../database.js";
import { createTable } from "./tables.js";

export class CreateRoomLog1764300000000 implements MigrationInterface {
  readonly name = "CreateRoomLog1764300000000";

  async up(runner: QueryRunner): Promise<void> {
    const bytes = dialectOf(runner.connection) === "mysql" ? "longblob" : "blob";
    const whole = (name: string) => ({ name, type: "bigint" });
    const reference = (table: string, column: string) => ({
      columnNames: ["challenge_id"],
      referencedTableName: table,
      referencedColumnNames: [column],
      onDelete: "CASCADE",
    });
    const challenge = { name: "challenge_id", type: "integer", isPrimary: true };
    await createTable(runner, {
      name: "rooms",
      columns: [challenge, { name: "epoch", type: "varchar", length: "36" }, whole("last_seq")],
      foreignKeys: [reference("challenges", "id")],
    });
    await createTable(runner, {
      name: "room_updates",
      columns: [
        challenge,
        { ...whole("seq"), isPrimary: true },
        { name: "user_id", type: "integer", isNullable: true },
        { name: "bytes", type: bytes },
        whole("created_at"),
      ],
      foreignKeys: [reference("rooms", "challenge_id")],
    });
    await createTable(runner, {
      name: "room_snapshots",
      columns: [
        challenge,
        { ...whole("upto_seq"), isPrimary: true },
        { name: "epoch", type: "varchar", length: "36" },
        { name: "state", type: bytes },
        { name: "text_hash", type: "varchar", length: "64" },
        { name: "authors", type: "varchar", length: "1000" },
        whole("created_at"),
      ],
      foreignKeys: [reference("rooms", "challenge_id")],
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ["room_snapshots", "room_updates", "rooms"]) await runner.dropTable(table, true);
  }
}
