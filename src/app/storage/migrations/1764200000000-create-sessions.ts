/**
 * Sessions that are renewed by a refresh token. Users who were signed in before sign in once more.
 */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { columnTypes, dialectOf } from "../database.js";
import { createTable } from "./tables.js";

export class CreateSessions1764200000000 implements MigrationInterface {
  readonly name = "CreateSessions1764200000000";

  async up(runner: QueryRunner): Promise<void> {
    const { at } = columnTypes(dialectOf(runner.connection));
    await createTable(runner, {
      name: "sessions",
      columns: [
        { name: "id", type: "varchar", length: "36", isPrimary: true },
        { name: "user_id", type: "integer" },
        { name: "token_hash", type: "varchar", length: "64" },
        { name: "previous_hash", type: "varchar", length: "64", isNullable: true },
        { name: "created_at", ...at },
        { name: "expires_at", ...at },
      ],
      indices: [{ name: "sessions_user", columnNames: ["user_id"] }],
      foreignKeys: [
        {
          name: "sessions_user_fk",
          columnNames: ["user_id"],
          referencedTableName: "users",
          referencedColumnNames: ["id"],
          onDelete: "CASCADE",
        },
      ],
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable("sessions", true);
  }
}
