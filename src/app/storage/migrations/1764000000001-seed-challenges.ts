/** Five challenges to begin with. A migration, so that they come once and stay deleted when somebody deletes them. */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { SEEDS } from "../seeds.js";

export class SeedChallenges1764000000001 implements MigrationInterface {
  readonly name = "SeedChallenges1764000000001";

  async up(runner: QueryRunner): Promise<void> {
    const now = new Date();
    await runner.manager
      .getRepository("Challenge")
      .insert(SEEDS.map((seed) => ({ ...seed, ownerId: null, createdAt: now, updatedAt: now })));
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const { title } of SEEDS)
      await runner.manager.getRepository("Challenge").delete({ title, ownerId: null as never });
  }
}
