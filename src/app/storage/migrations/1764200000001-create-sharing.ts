/**
 * Who may enter which room: a challenge's access, the roles of single people, and invitations.
 *
 * Older programs do not check whether the schema is newer than they are; they only look for the
 * names of their own migrations, and this one had another name then (`FORMER_NAMES` in schema.ts).
 * So such a program tries to add these columns once more at its start and ends with an error,
 * before it writes what a newer program would lose.
 */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { columnTypes, dialectOf } from "../database.js";
import { addColumn, createTable } from "./tables.js";

export class CreateSharingRepeatably1764200000001 implements MigrationInterface {
  readonly name = "CreateSharingRepeatably1764200000001";

  async up(runner: QueryRunner): Promise<void> {
    const { text, at } = columnTypes(dialectOf(runner.connection));
    await addColumn(runner, "challenges", "access", "varchar(12) not null default 'open'");
    await addColumn(runner, "challenges", "starter", text);
    // What stands there now is the nearest to what they started from.
    await runner.query("update challenges set starter = response where starter is null");
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
    await createTable(runner, {
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
    });
    await createTable(runner, {
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
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable("invitations", true);
    await runner.dropTable("memberships", true);
    await runner.dropColumns("challenges", ["access", "starter"]);
  }
}
