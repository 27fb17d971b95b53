import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Manifest } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const KB = 1024;
const out = mkdtempSync(join(tmpdir(), "phoenixpair-web-"));
let manifest: Manifest;

beforeAll(async () => {
  await build({
    configFile: fileURLToPath(new URL("../../src/app/web/vite.config.ts", import.meta.url)),
    build: { outDir: out },
    logLevel: "silent",
  });
  manifest = JSON.parse(readFileSync(join(out, ".vite", "manifest.json"), "utf8"));
}, 60_000);

afterAll(() => rmSync(out, { recursive: true, force: true }));

/** The script files that an entry needs before it runs, its own and those it imports. */
function scripts(key: string, found = new Set<string>()): Set<string> {
  const chunk = manifest[key]!;
  if (found.has(chunk.file)) return found;
  found.add(chunk.file);
  for (const other of chunk.imports ?? []) scripts(other, found);
  return found;
}

const gzipped = (files: Iterable<string>): number =>
  [...files].reduce((sum, file) => sum + gzipSync(readFileSync(join(out, file))).length, 0);

describe("the built web client", () => {
  test("the shell is at most 35 kB of script, gzipped", () => {
    expect(gzipped(scripts("index.html"))).toBeLessThanOrEqual(35 * KB);
  });

  test("a room with its heaviest language is at most 200 kB of script, gzipped", () => {
    const room = new Set([...scripts("index.html"), ...scripts("room/room-page.tsx")]);
    const languages = manifest["room/room-page.tsx"]!.dynamicImports ?? [];
    expect(languages.length).toBeGreaterThanOrEqual(2);
    for (const language of languages) {
      expect(gzipped(new Set([...room, ...scripts(language)]))).toBeLessThanOrEqual(200 * KB);
    }
  });

  test("the page satisfies a strict Content-Security-Policy, with a place for a nonce", () => {
    const page = readFileSync(join(out, "index.html"), "utf8");
    expect(page).toContain('<meta name="csp-nonce" content="__CSP_NONCE__" />');
    expect(page).not.toMatch(/<style|\sstyle=|\son\w+=|javascript:/);
    for (const [, attributes, body] of page.matchAll(/<script([^>]*)>([^<]*)<\/script>/g)) {
      expect(attributes).toMatch(/ src="\/assets\//);
      expect(body).toBe("");
    }
    for (const file of readdirSync(join(out, "assets")).filter((name) => name.endsWith(".css"))) {
      expect(readFileSync(join(out, "assets", file), "utf8")).not.toMatch(/url\(|@import/);
    }
  });
});
