/** Five challenges to begin with. A migration, so that they come once and stay deleted when somebody deletes them. */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { SEEDS } from "../seeds.js";

export class SeedChallenges1764000000001 implements MigrationInterface {
  readonly name = "SeedChallenges1764000000001";

  async up(runner: QueryRunner): Promise<void> {
    // In UTC, as both databases have it; a Date can be bound with an entity only.
    const now = new Date().toISOString().replace("T", " ").replace("Z", "");
    // By column, not by entity: the entity may have columns that a later migration makes.
    const columns = ["title", "language", "prompt", "response", "created_at", "updated_at"];
    for (const seed of SEEDS) {
      const values = [seed.title, seed.language, seed.prompt, seed.response, now, now];
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
