/**
 * What a search looks through, folded by the program: see search.ts. The texts of before are folded
 * here.
 */
import type { MigrationInterface, QueryRunner } from "typeorm";
import { columnTypes, dialectOf } from "../database.js";
import { refreshSearchTexts } from "../search.js";
import { addColumn } from "./tables.js";

export class AddSearchTexts1764400000001 implements MigrationInterface {
  readonly name = "AddSearchTexts1764400000001";

  async up(runner: QueryRunner): Promise<void> {
    const { text } = columnTypes(dialectOf(runner.connection));
    // Null where an older program, which does not know them, adds a challenge.
    await addColumn(runner, "challenges", "search_title", text);
    await addColumn(runner, "challenges", "search_prompt", text);
    await refreshSearchTexts(runner);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropColumns("challenges", ["search_title", "search_prompt"]);
  }
}
