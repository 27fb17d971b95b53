/**
 * `npm run chaos -- --rounds 1000 [--seed n] [--database SQLite|MariaDB]`: kills, freezes and full
 * disks under writers, and whether all that was acknowledged is there afterwards. Without
 * `--database` both have half of the rounds, at the same time.
 */
import { parseArgs } from "node:util";
import { build } from "../../scripts/build.mjs";
import { playRounds } from "./rounds.js";
import type { DatabaseName } from "./world.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "100" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 30)) },
    database: { type: "string" },
  },
});
const databases = ["SQLite", "MariaDB"].filter(
  (name) => name === (values.database ?? name),
) as DatabaseName[];
const rounds = Number(values.rounds);
const seed = Number(values.seed);
if (databases.length === 0 || !Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) {
  console.error("usage: npm run chaos -- [--rounds n] [--seed n] [--database SQLite|MariaDB]");
  process.exit(2);
}

build();
console.log(`seed ${seed}; replay with --seed ${seed} --rounds ${rounds}`);
const results = await Promise.allSettled(
  databases.map(async (database) => {
    const share = Math.ceil(rounds / databases.length);
    const started = performance.now();
    const onRound = (round: number, fault: string): void => {
      if (process.stdout.isTTY) console.log(`${database} ${round + 1}/${share}: ${fault}`);
      else if ((round + 1) % 50 === 0) console.log(`${database} ${round + 1}/${share}`);
    };
    const { acknowledged, rounds: counts } = await playRounds({ database, rounds: share, seed, onRound });
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.log(
      `${database}: ${share} rounds in ${seconds} s, ${acknowledged} acknowledged edits, 0 lost, 0 doubled`,
    );
    for (const [fault, { count, ms }] of counts)
      console.log(`  ${String(count).padStart(5)} × ${(ms / count / 1000).toFixed(1)} s  ${fault}`);
  }),
);
for (const result of results)
  if (result.status === "rejected") console.error((result.reason as Error).message);
process.exit(results.every(({ status }) => status === "fulfilled") ? 0 : 1);
