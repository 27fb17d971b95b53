/**
 * An index over who may see a challenge: lists and quotas are decided by its columns alone. In the
 * table they stand behind the texts, and SQLite reads all of a row that far.
 */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { TableIndex } from "typeorm";

const INDICES = [
  new TableIndex({ name: "challenges_visible", columnNames: ["access", "owner_id", "language", "id"] }),
  new TableIndex({ name: "challenges_owner", columnNames: ["owner_id"] }),
];

export class IndexChallenges1764500000000 implements MigrationInterface {
  readonly name = "IndexChallenges1764500000000";

  async up(runner: QueryRunner): Promise<void> {
    const there = new Set((await runner.getTable("challenges"))?.indices.map(({ name }) => name));
    for (const index of INDICES) if (!there.has(index.name)) await runner.createIndex("challenges", index);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const index of INDICES) await runner.dropIndex("challenges", index);
  }
}
