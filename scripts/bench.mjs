// npm run bench [-- name] [--url ws://…]: runs the questions in bench/<name>/, one file each, all
// or those named, one after the other, each in a process of its own and on the built code.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "./build.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const bench = join(root, "bench");
const questionsOf = (name) =>
  readdirSync(join(bench, name))
    .filter((file) => file.endsWith(".ts") && file !== "harness.ts" && !file.startsWith("peer-"))
    .sort();
const all = (existsSync(bench) ? readdirSync(bench, { withFileTypes: true }) : [])
  .filter((entry) => entry.isDirectory() && entry.name !== "fixtures" && questionsOf(entry.name).length > 0)
  .map((entry) => entry.name);
// What follows the name, or stands without one, is for the questions: --url, see bench/README.md.
const args = process.argv.slice(2);
const named = args[0] !== undefined && !args[0].startsWith("--");
const rest = named ? args.slice(1) : args;
const wanted = named ? [args[0]] : all;
for (const name of wanted) {
  if (!all.includes(name)) {
    console.error(`there is no bench named ${name}; there are: ${all.join(", ") || "none"}`);
    process.exit(1);
  }
}
build();
let failed = false;
for (const name of wanted) {
  for (const file of questionsOf(name)) {
    console.log(`\n${name}/${file}`);
    const result = spawnSync(
      process.execPath,
      ["--import", "./scripts/typescript-loader.mjs", join("bench", name, file), ...rest],
      {
        cwd: root,
        stdio: "inherit",
        env: { ...process.env, NODE_ENV: "production" },
      },
    );
    failed ||= result.status !== 0;
  }
}
process.exit(failed ? 1 : 0);
