/**
 * Mutation testing: changes the given sources in small ways and shows which changes no test
 * notices.
 *
 *     npm run mutate -- src/pubsub/local/dispatcher.ts [more …] [--tests test/pubsub …]
 *
 * By default the test is the file that mirrors the source, or the tests of the folder that mirrors
 * its folder. Only tests that reach a mutant are run for it. Mutants are active in the thread of
 * the test alone: mutants of code that runs in worker threads count as not noticed.
 *
 * Mutants of string and object literals are left out: most are texts of errors, or would not
 * compile.
 */
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Stryker } from "@stryker-mutator/core";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const REPORT = "reports/mutation.json";

const words = process.argv.slice(2);
const at = words.indexOf("--tests");
const sources = (at < 0 ? words : words.slice(0, at)).map((path) => relative(ROOT, path));
if (sources.length === 0) {
  console.error("usage: npm run mutate -- <source file or folder …> [--tests <test file or folder …>]");
  process.exit(2);
}
for (const source of sources)
  if (!existsSync(source)) {
    console.error(`there is no ${source}`);
    process.exit(2);
  }

/** The test file that mirrors the source, else the tests of the folder that mirrors its folder. */
function mirrored(source) {
  const test = source.replace(/^src/, "test");
  const folder = statSync(source).isDirectory() ? test : dirname(test);
  const found = [test.replace(/\.tsx?$/, ".test.ts"), folder].find((path) => existsSync(path));
  return found === undefined ? [] : [found];
}

const tests = at < 0 ? [...new Set(sources.flatMap(mirrored))] : words.slice(at + 1);
if (tests.length === 0) {
  console.error(`no tests mirror ${sources.join(", ")}; name them with --tests`);
  process.exit(2);
}
process.env.SIMURGH_MUTATE_TESTS = JSON.stringify(
  tests.map((path) => (path.endsWith(".ts") ? path : `${path}/**/*.test.ts`)),
);
console.log(`mutants of ${sources.join(", ")}\ntests in ${tests.join(", ")}`);

await new Stryker({
  mutate: sources.map((path) => (statSync(path).isDirectory() ? `${path}/**/*.ts` : path)),
  testRunner: "vitest",
  plugins: ["@stryker-mutator/vitest-runner"],
  vitest: { configFile: "scripts/mutate.vitest.ts" },
  // TypeScript 7 has no interface for it; the tests run from the sources anyway.
  tsconfigFile: "none",
  coverageAnalysis: "perTest",
  mutator: { excludedMutations: ["StringLiteral", "ObjectLiteral"] },
  ignorePatterns: ["dist", "reports"],
  concurrency: 2,
  reporters: ["json"],
  jsonReporter: { fileName: REPORT },
  tempDirName: "reports/stryker",
  logLevel: "warn",
  allowEmpty: true,
}).runMutationTest();

const { files } = JSON.parse(readFileSync(REPORT, "utf8"));
rmSync("reports/stryker", { recursive: true, force: true });
const NOTICED = new Set(["Killed", "Timeout"]);
const rows = Object.entries(files).map(([file, { mutants, source }]) => {
  const tried = mutants.filter(({ status }) => status !== "Ignored" && !status.endsWith("Error"));
  const left = tried.filter(({ status }) => !NOTICED.has(status));
  const lines = source.split("\n");
  for (const { location, replacement, status } of left)
    console.log(
      `${file}:${location.start.line}:${location.start.column} ${status === "NoCoverage" ? "not reached" : "not noticed"}: ` +
        `${lines[location.start.line - 1].trim()}  ->  ${(replacement ?? "").replaceAll(/\s+/g, " ")}`,
    );
  return { file, mutants: tried.length, noticed: tried.length - left.length };
});
console.table(
  rows.map((row) => ({ ...row, percent: Math.round((100 * row.noticed) / Math.max(1, row.mutants)) })),
);
