/**
 * Compares the requirements of docs/spec with the tests: each has to be named by the title of a
 * test, or in docs/deviations.md with the reason for a difference; a title names none that does not
 * exist; and sources name none, since a comment says what holds, not where it is written.
 *
 *     node scripts/spec-coverage.mjs
 */
import { readdirSync, readFileSync } from "node:fs";

const ROOT = new URL("..", import.meta.url);
const read = (path) => readFileSync(new URL(path, ROOT), "utf8");
const files = (folder, name) =>
  readdirSync(new URL(folder, ROOT), { recursive: true })
    .filter((path) => name.test(path))
    .map((path) => `${folder}/${path}`);

/** What `text` names: C-001, or a range of them, C-001 to C-003 or C-001..C-003. */
function* named(text) {
  for (const [, kind, first, last] of text.matchAll(/\b([A-Z])-(\d{3})(?:\s*(?:\.\.|–|to)\s*\1-(\d{3}))?/g))
    for (let n = Number(first); n <= Number(last ?? first); n += 1)
      yield `${kind}-${String(n).padStart(3, "0")}`;
}

/** The requirements, each with its text. Those of a list of cases stand without asterisks. */
function* requirements(text) {
  for (const line of text.split("\n"))
    for (const [, id, listed] of line.matchAll(/\*\*([A-Z]-\d{3})\*\*|^- (X-\d{3}) /g))
      yield [id ?? listed, line];
}

const TITLE =
  /\b(?:test|it|describe|suite)(?:\.\w+)*\s*(?:\([^"'`]*\)\s*)?\(\s*(["'`])((?:\\.|(?!\1)[\s\S])*?)\1/g;
const titles = files("test", /\.(ts|tsx|mjs)$/).flatMap((file) =>
  [...read(file).matchAll(TITLE)].map(([, , title]) => [file, title]),
);

const wanted = new Map(files("docs/spec", /\.md$/).flatMap((file) => [...requirements(read(file))]));
const kinds = new Set([...wanted.keys()].map((id) => id[0]));
const covered = new Set(named(read("docs/deviations.md")));
const problems = [];
for (const [file, title] of titles)
  for (const id of named(title)) {
    covered.add(id);
    if (kinds.has(id[0]) && !wanted.has(id)) problems.push(`${file}: ${id} is no requirement: ${title}`);
  }
for (const file of files("src", /\.(ts|tsx)$/))
  for (const id of named(read(file)))
    if (kinds.has(id[0])) problems.push(`${file}: names ${id}; say what holds instead`);
for (const [id, text] of wanted)
  if (!covered.has(id)) problems.push(`no test names ${id}: ${text.replaceAll("*", "").slice(0, 140)}`);

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
console.log(`${wanted.size} requirements, each named by a test or in docs/deviations.md`);
