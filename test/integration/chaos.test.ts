/** One chaos round for each kind of fault. `npm run chaos -- --rounds 1000` plays more of them. */
import { expect, test } from "vitest";
import { faultsOf, playRounds } from "../chaos/rounds.js";
import { describeWith } from "../support/requirements.js";

const SEED = Number(process.env.CHAOS_SEED ?? 1);

for (const { database, need } of [
  { database: "SQLite", need: "tmpfs" },
  { database: "MariaDB", need: "MariaDB" },
] as const) {
  describeWith(need, `chaos rounds on ${database}`, () => {
    const rounds = faultsOf(database);
    test("no acknowledged edit is lost by any kind of fault", { timeout: rounds * 60_000 }, async () => {
      const result = await playRounds({ database, rounds, seed: SEED });
      expect(result.acknowledged).toBeGreaterThan(rounds);
      expect(result.rounds.size).toBe(rounds);
    });
  });
}
