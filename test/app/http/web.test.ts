import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { Hono } from "hono";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compress } from "../../../scripts/build.mjs";
import { serveWeb } from "../../../src/app/http/web.js";

const SCRIPT = "export const a = 1;\n".repeat(500);
const SMALL = "export {};\n";
const root = mkdtempSync(join(tmpdir(), "phoenixpair-static-"));
const app = new Hono();

beforeAll(() => {
  mkdirSync(join(root, "assets"));
  mkdirSync(join(root, ".vite"));
  writeFileSync(join(root, "assets", "index-1.js"), SCRIPT);
  writeFileSync(join(root, "assets", "small-1.js"), SMALL);
  writeFileSync(join(root, "feather.svg"), "<svg/>");
  writeFileSync(
    join(root, "index.html"),
    '<!doctype html><head><meta name="csp-nonce" content="__CSP_NONCE__" /></head>',
  );
  writeFileSync(
    join(root, ".vite", "manifest.json"),
    JSON.stringify({
      "index.html": { file: "assets/index-1.js", imports: ["_shared"], css: ["assets/index-1.css"] },
      _shared: { file: "assets/shared-1.js" },
      _editor: { file: "assets/editor-1.js" },
      "room/room-page.tsx": {
        file: "assets/room-1.js",
        imports: ["_shared", "index.html", "_editor"],
        css: ["assets/room-1.css"],
      },
    }),
  );
  compress(root);
  serveWeb(app, root);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const get = async (path: string, headers: Record<string, string> = {}) => {
  const response = await app.request(path, { headers });
  const body = Buffer.from(await response.arrayBuffer());
  return { status: response.status, header: (name: string) => response.headers.get(name), body };
};

test("a script is sent in the best accepted encoding, cacheable for a year", async () => {
  const plain = await get("/assets/index-1.js");
  const brotli = await get("/assets/index-1.js", { "accept-encoding": "gzip, deflate, br" });
  const gzip = await get("/assets/index-1.js", { "accept-encoding": "br;q=0, gzip" });
  expect(plain.body.toString()).toBe(SCRIPT);
  expect(brotliDecompressSync(brotli.body).toString()).toBe(SCRIPT);
  expect(gunzipSync(gzip.body).toString()).toBe(SCRIPT);
  expect([plain, brotli, gzip].map(({ header }) => header("content-encoding"))).toEqual([null, "br", "gzip"]);
  for (const { status, header } of [plain, brotli, gzip]) {
    expect(status).toBe(200);
    expect(header("content-type")).toBe("text/javascript; charset=utf-8");
    expect(header("vary")).toBe("Accept-Encoding");
    expect(header("cache-control")).toBe("public, max-age=31536000, immutable");
  }
  expect(new Set([plain, brotli, gzip].map(({ header }) => header("etag"))).size).toBe(3);
});

test("what is not made smaller comes as it is, and what is taken in no way is 406", async () => {
  const small = await get("/assets/small-1.js", { "accept-encoding": "br, gzip" });
  expect([small.header("content-encoding"), small.body.toString()]).toEqual([null, SMALL]);
  expect((await get("/assets/small-1.js", { "accept-encoding": "identity;q=0" })).status).toBe(406);
});

test("a client with the present version gets 304, by the tag of its encoding", async () => {
  const accept = { "accept-encoding": "br" };
  const etag = (await get("/assets/index-1.js", accept)).header("etag") as string;
  const again = await get("/assets/index-1.js", { ...accept, "if-none-match": `"x", W/${etag}` });
  expect([again.status, again.body.length, again.header("etag")]).toEqual([304, 0, etag]);
  expect(again.header("vary")).toBe("Accept-Encoding");
  expect((await get("/assets/index-1.js", { "if-none-match": etag })).status).toBe(200);
});

test("compressed files, build notes and paths outside the folder are not found", async () => {
  for (const path of [
    "/assets/index-1.js.br",
    "/assets/index-1.js.gz",
    "/.vite/manifest.json",
    "/%2evite/manifest.json",
    "/assets/..%2f.vite%2fmanifest.json",
    "/..%2f..%2fetc%2fhosts.txt",
    "/assets/index-1.js%00.js",
    "/assets/other.js",
  ])
    expect([path, (await get(path)).status]).toEqual([path, 404]);
  expect((await get("/feather.svg")).header("cache-control")).toBe("public, max-age=300");
});

test("the page is never cached, and that of a room preloads its scripts", async () => {
  const list = await get("/");
  expect([list.header("cache-control"), list.body.toString().includes("preload")]).toEqual([
    "no-cache",
    false,
  ]);
  const nonces = await Promise.all([get("/c/7"), get("/c/7")]);
  expect(nonces[0]?.body.toString()).not.toBe(nonces[1]?.body.toString());
  const links = [...(nonces[0]?.body.toString() ?? "").matchAll(/<link rel="(\w+)"[^>]* href="([^"]+)">/g)];
  expect(links.map(([, rel, href]) => [rel, href])).toEqual([
    ["modulepreload", "/assets/room-1.js"],
    ["modulepreload", "/assets/editor-1.js"],
    ["preload", "/assets/room-1.css"],
  ]);
  expect((await get("/c/7/edit")).body.toString()).not.toContain("preload");
});
