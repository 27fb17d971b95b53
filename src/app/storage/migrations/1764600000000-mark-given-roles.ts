/**
 * Which roles an owner has given by hand: a link changes none of these. Of the roles of before that
 * is not known.
 */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { addColumn } from "./tables.js";

export class MarkGivenRoles1764600000000 implements MigrationInterface {
  readonly name = "MarkGivenRoles1764600000000";

  async up(runner: QueryRunner): Promise<void> {
    // False where an older program, which does not know it, adds a person.
    await addColumn(runner, "memberships", "by_owner", "boolean not null default 0");
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropColumns("memberships", ["by_owner"]);
  }
}
