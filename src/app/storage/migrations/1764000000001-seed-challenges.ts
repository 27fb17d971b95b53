/**
 * Five challenges to begin with. A migration, so that they come once and stay deleted when they are
 * deleted.
 */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { dialectOf } from "../database.js";
import { SEEDS } from "../seeds.js";
import { stateCharacterSet } from "./tables.js";

export class SeedChallenges1764000000001 implements MigrationInterface {
  readonly name = "SeedChallenges1764000000001";

  async up(runner: QueryRunner): Promise<void> {
    // An older program may have made the table in a character set without the signs in these texts,
    // and ended here.
    if (dialectOf(runner.connection) === "mysql") await stateCharacterSet(runner, "challenges");
    // In UTC, as both databases have it; a Date can be bound with an entity only.
    const now = new Date().toISOString().replace("T", " ").replace("Z", "");
    // By column, not by entity: the entity may have columns that a later migration makes.
    const columns = ["id", "title", "language", "prompt", "response", "created_at", "updated_at"];
    for (const [index, seed] of SEEDS.entries()) {
      const found: unknown[] = await runner.query(
        "select id from challenges where title = ? and owner_id is null",
        [seed.title],
      );
      if (found.length > 0) continue;
      // With its number, which otherwise depends on how often this was begun.
      const values = [index + 1, seed.title, seed.language, seed.prompt, seed.response, now, now];
      await runner.query(
        `insert into challenges (${columns.join(", ")}) values (${columns.map(() => "?").join(", ")})`,
        values,
      );
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const { title } of SEEDS)
      await runner.query("delete from challenges where title = ? and owner_id is null", [title]);
  }
}
