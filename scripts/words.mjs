/**
 * Checks the language of sources, tests and documents: the words of the vocabulary in
 * CONTRIBUTING.md, comments of at most 100 columns, and titles of tests that are one sentence of at
 * most 80 characters. Names are checked word by word: `toldAt` counts as "told at".
 *
 *     node scripts/words.mjs [file or folder …]
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";

const ROOT = new URL("..", import.meta.url).pathname;
const CHECKED = ["src", "test", "bench", "scripts", "docs", "README.md", "CHANGELOG.md"];
/**
 * The specification and the scenarios of the oracle are quoted as they are: what Erlang gave for
 * them is recorded under their names. This script has the words as examples.
 */
const LEFT_OUT = ["docs/spec", "test/oracle", "scripts/words.mjs"];
const CODE = new Set([".ts", ".tsx", ".mjs", ".mts"]);
const MAX_COMMENT = 100;
const MAX_TITLE = 80;

function* filesIn(path) {
  if (LEFT_OUT.includes(path)) return;
  if (!statSync(join(ROOT, path)).isDirectory()) {
    if (CODE.has(extname(path)) || extname(path) === ".md") yield path;
    return;
  }
  for (const name of readdirSync(join(ROOT, path)).sort()) yield* filesIn(`${path}/${name}`);
}

/** The rows of the vocabulary: a pattern for each word of the first column, and the second one. */
function vocabulary() {
  const [, section] = readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8").split("## Vocabulary");
  const rows = section.matchAll(/^\| ([^|]+) \| ([^|]+) \|$/gm);
  return [...rows]
    .slice(1)
    .flatMap(([, old, term]) =>
      old
        .split(",")
        .map((word) => ({ word: word.trim(), pattern: new RegExp(`\\b${word.trim()}\\b`), term })),
    );
}

/** `toldAt`, `TOLD_AT` and "Told at" are all "told at". */
const asWords = (line) =>
  line
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replaceAll(/[_#*]+/g, " ")
    .replaceAll(/\s+/g, " ")
    .toLowerCase();

const TITLE =
  /\b(test|it|describe|suite)(?:\.\w+)*\s*(?:\([^"'`]*\)\s*)?\(\s*(["'`])((?:\\.|(?!\2)[\s\S])*?)\2/g;
const REQUIREMENTS = / \([A-Z]-\d{3}[^)]*\)$/;

/** What is wrong with the titles of a test file, each with its line. */
function* wrongTitles(text) {
  for (const { 1: kind, 3: whole, index } of text.matchAll(TITLE)) {
    const title = whole.replace(REQUIREMENTS, "");
    const line = text.slice(0, index).split("\n").length;
    if (title.includes(";")) yield [line, `a title with ";" is two tests: ${title}`];
    if (kind !== "describe" && title.length > MAX_TITLE)
      yield [line, `a title of ${title.length} characters, at most ${MAX_TITLE}: ${title}`];
  }
}

function* problemsOf(path, words) {
  const text = readFileSync(join(ROOT, path), "utf8");
  const isCode = CODE.has(extname(path));
  for (const [at, line] of text.split("\n").entries()) {
    const plain = asWords(line);
    for (const { word, pattern, term } of words)
      if (pattern.test(plain)) yield [at + 1, `"${word}": say ${term}`];
    const isComment = isCode && /^\s*(?:\/\/|\*|\/\*)/.test(line) && !line.includes("biome-ignore");
    if (isComment && [...line].length > MAX_COMMENT) yield [at + 1, `a comment beyond column ${MAX_COMMENT}`];
  }
  if (path.startsWith("test/") && isCode) yield* wrongTitles(text);
}

const words = vocabulary();
const asked = process.argv.slice(2).map((path) => path.replace(/\/$/, ""));
let count = 0;
for (const start of asked.length > 0 ? asked : CHECKED)
  for (const path of filesIn(start))
    for (const [line, problem] of problemsOf(path, words)) {
      count += 1;
      console.error(`${path}:${line}: ${problem}`);
    }
if (count > 0) {
  console.error(`${count} problems; the words are those of CONTRIBUTING.md, "Vocabulary"`);
  process.exit(1);
}
console.log(`the language is that of CONTRIBUTING.md (${words.length} words kept out)`);
