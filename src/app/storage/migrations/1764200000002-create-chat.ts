/** What people say in rooms. */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { columnTypes, dialectOf } from "../database.js";
import { createTable, keyColumn } from "./tables.js";

export class CreateChat1764200000002 implements MigrationInterface {
  readonly name = "CreateChat1764200000002";

  async up(runner: QueryRunner): Promise<void> {
    const { text, at } = columnTypes(dialectOf(runner.connection));
    await createTable(runner, {
      name: "chat_messages",
      columns: [
        {
          name: "id",
          type: "integer",
          isPrimary: true,
          isGenerated: true,
          generationStrategy: "increment",
        },
        { name: "challenge_id", type: "integer" },
        { name: "user_id", type: "integer" },
        keyColumn(runner, "client_key", 40),
        { name: "text", type: text },
        { name: "created_at", ...at },
      ],
      uniques: [{ name: "chat_messages_key", columnNames: ["challenge_id", "user_id", "client_key"] }],
      foreignKeys: [
        {
          name: "chat_messages_challenge_fk",
          columnNames: ["challenge_id"],
          referencedTableName: "challenges",
          referencedColumnNames: ["id"],
          onDelete: "CASCADE",
        },
        {
          name: "chat_messages_user_fk",
          columnNames: ["user_id"],
          referencedTableName: "users",
          referencedColumnNames: ["id"],
          onDelete: "CASCADE",
        },
      ],
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable("chat_messages", true);
  }
}
