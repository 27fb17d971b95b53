/** Users and challenges. Written with the schema API, so that it serves SQLite and MySQL alike. */
import { type MigrationInterface, type QueryRunner, Table } from "typeorm";
import { columnTypes, type Dialect } from "../entities.js";

export class CreateTables1764000000000 implements MigrationInterface {
  readonly name = "CreateTables1764000000000";

  async up(runner: QueryRunner): Promise<void> {
    const dialect: Dialect = runner.connection.options.type === "better-sqlite3" ? "sqlite" : "mysql";
    const { text, time, timePrecision } = columnTypes(dialect);
    const id = {
      name: "id",
      type: "integer",
      isPrimary: true,
      isGenerated: true,
      generationStrategy: "increment" as const,
    };
    const at = (name: string) => ({
      name,
      type: time,
      ...(timePrecision === undefined ? {} : { precision: timePrecision }),
    });
    await runner.createTable(
      new Table({
        name: "users",
        columns: [
          id,
          { name: "first_name", type: "varchar", length: "100" },
          { name: "email", type: "varchar", length: "254" },
          { name: "email_normal", type: "varchar", length: "254" },
          { name: "password_hash", type: "varchar", length: "255" },
          at("created_at"),
        ],
        uniques: [{ name: "users_email_normal", columnNames: ["email_normal"] }],
      }),
      true,
    );
    await runner.createTable(
      new Table({
        name: "challenges",
        columns: [
          id,
          { name: "title", type: "varchar", length: "200" },
          { name: "prompt", type: text },
          { name: "language", type: "varchar", length: "40" },
          { name: "response", type: text },
          { name: "owner_id", type: "integer", isNullable: true },
          at("created_at"),
          at("updated_at"),
        ],
      }),
      true,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable("challenges", true);
    await runner.dropTable("users", true);
  }
}
