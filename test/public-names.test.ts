/**
 * Names that leave the process: exports of the package, telemetry events, metrics and kinds of
 * reports. Users write them into their programs, dashboards and alerts. A change of
 * public-names.txt is a change for users and gets its line in CHANGELOG.md; `vitest -u` writes it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = new URL("..", import.meta.url).pathname;
const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, string | { readonly "simurgh-source": string }>>;
};

const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => /\.tsx?$/.test(path) && !path.startsWith("app/"))
  .map((path) => [path, readFileSync(join(ROOT, "src", path), "utf8")] as const);

/** What `pattern` captures in the sources of the library, each once, in order. */
const namesIn = (pattern: RegExp, folder = ""): string[] => {
  const found = sources
    .filter(([path]) => path.startsWith(folder))
    .flatMap(([, text]) => [...text.matchAll(pattern)].map(([, name]) => name as string));
  return [...new Set(found)].sort();
};

/** The names that an index exports, types included. */
function exported(index: string): string[] {
  const text = readFileSync(join(ROOT, index), "utf8");
  const lists = [...text.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, list]) =>
    (list as string).split(",").map((name) => name.trim().replace(/^type /, "")),
  );
  const others = [...text.matchAll(/export (?:\* as|const|function|class|type|interface) (\w+)/g)];
  return [...lists, ...others.map(([, name]) => name as string)].filter((name) => name !== "").sort();
}

test("the names that users rely on are those of public-names.txt", async () => {
  const sections: Record<string, readonly string[]> = {
    "telemetry events": namesIn(/telemetry\.(?:emit|named)\(\s*["`]([^"`]+)["`]/g),
    metrics: namesIn(/"((?:simurgh|phoenix)_[a-z_]+)"/g, "observer/"),
    "kinds of reports": namesIn(/readonly kind: "([a-z_]+)"/g, "runtime/kernel/reports.ts"),
  };
  for (const [entry, target] of Object.entries(exports))
    if (typeof target !== "string") sections[`simurgh${entry.slice(1)}`] = exported(target["simurgh-source"]);
  const text = Object.entries(sections)
    .map(([title, names]) => [`# ${title} (${names.length})`, ...names].join("\n"))
    .join("\n\n");
  for (const names of Object.values(sections)) expect(names.length).toBeGreaterThan(0);
  await expect(`${text}\n`).toMatchFileSnapshot("./public-names.txt");
});
