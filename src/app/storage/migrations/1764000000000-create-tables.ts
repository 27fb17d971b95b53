/** Users and challenges. Written with the schema API, so that it serves SQLite and MySQL alike. */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { columnTypes, dialectOf } from "../database.js";
import { createTable, keyColumn } from "./tables.js";

export class CreateTables1764000000000 implements MigrationInterface {
  readonly name = "CreateTables1764000000000";

  async up(runner: QueryRunner): Promise<void> {
    const { text, at } = columnTypes(dialectOf(runner.connection));
    const id = {
      name: "id",
      type: "integer",
      isPrimary: true,
      isGenerated: true,
      generationStrategy: "increment" as const,
    };
    await createTable(runner, {
      name: "users",
      columns: [
        id,
        { name: "first_name", type: "varchar", length: "100" },
        { name: "email", type: "varchar", length: "254" },
        keyColumn(runner, "email_normal", 254),
        { name: "password_hash", type: "varchar", length: "255" },
        { name: "created_at", ...at },
      ],
      uniques: [{ name: "users_email_normal", columnNames: ["email_normal"] }],
    });
    await createTable(runner, {
      name: "challenges",
      columns: [
        id,
        { name: "title", type: "varchar", length: "200" },
        { name: "prompt", type: text },
        { name: "language", type: "varchar", length: "40" },
        { name: "response", type: text },
        { name: "owner_id", type: "integer", isNullable: true },
        { name: "created_at", ...at },
        { name: "updated_at", ...at },
      ],
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable("challenges", true);
    await runner.dropTable("users", true);
  }
}
