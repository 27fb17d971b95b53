/** Who may enter which room: a challenge's access, the roles of single people, and invitations. */
import { type MigrationInterface, type QueryRunner, Table, TableColumn } from "typeorm";
import { columnTypes, dialectOf } from "../database.js";

export class CreateSharing1764200000001 implements MigrationInterface {
  readonly name = "CreateSharing1764200000001";

  async up(runner: QueryRunner): Promise<void> {
    const { text, at } = columnTypes(dialectOf(runner.connection));
    await runner.addColumns("challenges", [
      new TableColumn({ name: "access", type: "varchar", length: "12", default: "'open'" }),
      new TableColumn({ name: "starter", type: text, isNullable: true }),
    ]);
    // What stands there now is the nearest to what they started from.
    await runner.query("update challenges set starter = response");
    const challenge = {
      columnNames: ["challenge_id"],
      referencedTableName: "challenges",
      referencedColumnNames: ["id"],
      onDelete: "CASCADE",
    };
    const user = {
      columnNames: ["user_id"],
      referencedTableName: "users",
      referencedColumnNames: ["id"],
      onDelete: "CASCADE",
    };
    await runner.createTable(
      new Table({
        name: "memberships",
        columns: [
          { name: "challenge_id", type: "integer", isPrimary: true },
          { name: "user_id", type: "integer", isPrimary: true },
          { name: "role", type: "varchar", length: "12" },
          { name: "created_at", ...at },
        ],
        indices: [{ name: "memberships_user", columnNames: ["user_id"] }],
        foreignKeys: [
          { name: "memberships_challenge_fk", ...challenge },
          { name: "memberships_user_fk", ...user },
        ],
      }),
      true,
    );
    await runner.createTable(
      new Table({
        name: "invitations",
        columns: [
          {
            name: "id",
            type: "integer",
            isPrimary: true,
            isGenerated: true,
            generationStrategy: "increment",
          },
          { name: "challenge_id", type: "integer" },
          { name: "token_hash", type: "varchar", length: "64" },
          { name: "role", type: "varchar", length: "12" },
          { name: "created_at", ...at },
          { name: "expires_at", ...at },
          { name: "uses", type: "integer", default: 0 },
        ],
        uniques: [{ name: "invitations_token", columnNames: ["token_hash"] }],
        indices: [{ name: "invitations_challenge", columnNames: ["challenge_id"] }],
        foreignKeys: [{ name: "invitations_challenge_fk", ...challenge }],
      }),
      true,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable("invitations", true);
    await runner.dropTable("memberships", true);
    await runner.dropColumns("challenges", ["access", "starter"]);
  }
}
