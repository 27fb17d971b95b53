/**
 * Serves the built web client. Files with a hash in their name may be kept for a year, compressed
 * as the build left them; the page is never kept and has a fresh nonce each time, so that only our
 * own scripts and the editor's own styles run in it.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { Hono } from "hono";
import { type ContentEncoding, chooseEncoding } from "./content-encoding.js";

/** Beside the built server; from source, the same place. */
const WEB_ROOT = fileURLToPath(
  new URL(extname(import.meta.url) === ".ts" ? "../../../dist/app/web/" : "../web/", import.meta.url),
);

const TYPES: Record<string, string> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".map": "application/json; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

const NONCE = "__CSP_NONCE__";

const policy = (nonce: string): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "connect-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join("; ");

export function serveWeb(app: Hono, root: string = WEB_ROOT): void {
  const page = new Page(root);
  const files = new Map<string, StaticFile | undefined>();

  app.get("*", async (context) => {
    const given = decodePath(context.req.path);
    // One file has one name here, however it is asked for.
    const path = given === undefined ? undefined : normalize(given);
    if (path === undefined || extname(path) === "") {
      const nonce = randomBytes(16).toString("base64");
      return context.body(page.render(nonce, context.req.path), 200, {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-cache",
        "content-security-policy": policy(nonce),
      });
    }
    // Only what is there is kept: the files of a build are few.
    const file = files.get(path) ?? (await readStatic(root, path));
    if (file === undefined) return context.text("Not found", 404);
    files.set(path, file);
    const encoding = chooseEncoding(context.req.header("accept-encoding"), [...file.bodies.keys()]);
    context.header("vary", "Accept-Encoding");
    if (encoding === undefined)
      return context.text(`There is ${[...file.bodies.keys()].join(", ")} of this.`, 406);
    const etag = `"${file.hash}-${encoding}"`;
    context.header("etag", etag);
    context.header("cache-control", file.cacheControl);
    const known = context.req.header("if-none-match")?.split(",") ?? [];
    if (known.some((tag) => ["*", etag].includes(tag.trim().replace(/^W\//, ""))))
      return context.body(null, 304);
    if (encoding !== "identity") context.header("content-encoding", encoding);
    return context.body(file.bodies.get(encoding) as Bytes, 200, { "content-type": file.type });
  });

  app.all("*", (context) =>
    context.json(
      { error: { code: "method_not_allowed", message: `${context.req.method} is not possible here.` } },
      405,
    ),
  );
}

function decodePath(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

type Bytes = Uint8Array<ArrayBuffer>;

/** A file of the build, and what the build compressed of it. */
interface StaticFile {
  readonly type: string;
  readonly cacheControl: string;
  readonly hash: string;
  /** In the order in which they are preferred. */
  readonly bodies: ReadonlyMap<ContentEncoding, Bytes>;
}

const COMPRESSED = [
  ["br", ".br"],
  ["gzip", ".gz"],
] as const;

async function readStatic(root: string, path: string): Promise<StaticFile | undefined> {
  const type = TYPES[extname(path)];
  const file = normalize(join(root, path));
  const inside = file.startsWith(root.endsWith(sep) ? root : root + sep);
  // The build's own notes begin with a dot.
  if (type === undefined || !inside || path.includes("\0") || path.includes("/.")) return undefined;
  const plain = await readBytes(file);
  if (plain === undefined) return undefined;
  const bodies = new Map<ContentEncoding, Bytes>();
  for (const [encoding, suffix] of COMPRESSED) {
    const body = await readBytes(file + suffix);
    if (body !== undefined) bodies.set(encoding, body);
  }
  bodies.set("identity", plain);
  return {
    type,
    cacheControl: path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "public, max-age=300",
    hash: createHash("sha256").update(plain).digest("base64url").slice(0, 16),
    bodies,
  };
}

async function readBytes(file: string): Promise<Bytes | undefined> {
  try {
    return new Uint8Array(await readFile(file));
  } catch {
    return undefined;
  }
}

/**
 * The one page, with a nonce of its own each time, and what a room will need named at its
 * beginning.
 */
class Page {
  readonly #root: string;
  #html: string | undefined;
  #roomHtml = "";

  constructor(root: string) {
    this.#root = root;
  }

  render(nonce: string, path: string): string {
    if (this.#html === undefined) {
      this.#html = readPage(this.#root);
      this.#roomHtml = this.#html.replace("</head>", `${roomPreloads(this.#root)}</head>`);
    }
    const html = /^\/c\/[^/]+\/?$/.test(path) ? this.#roomHtml : this.#html;
    return html.replaceAll(NONCE, nonce);
  }
}

interface Chunk {
  readonly file: string;
  readonly imports?: readonly string[];
  readonly css?: readonly string[];
}

/**
 * Links that have a browser fetch the scripts and styles of a room beside those of the shell,
 * instead of after them: a journey to the server and back less on a slow line.
 */
function roomPreloads(root: string): string {
  let manifest: Record<string, Chunk>;
  try {
    manifest = JSON.parse(readFileSync(join(root, ".vite", "manifest.json"), "utf8"));
  } catch {
    return "";
  }
  const needed = (key: string, found = new Set<Chunk>()): Set<Chunk> => {
    const chunk = manifest[key];
    if (chunk === undefined || found.has(chunk)) return found;
    found.add(chunk);
    for (const other of chunk.imports ?? []) needed(other, found);
    return found;
  };
  const shell = needed("index.html");
  const chunks = [...needed("room/room-page.tsx")].filter((chunk) => !shell.has(chunk));
  return [
    ...chunks.map(({ file }) => `<link rel="modulepreload" crossorigin href="/${file}">`),
    ...chunks.flatMap(({ css = [] }) =>
      css.map((file) => `<link rel="preload" as="style" crossorigin href="/${file}">`),
    ),
  ].join("");
}

function readPage(root: string): string {
  try {
    return readFileSync(join(root, "index.html"), "utf8");
  } catch {
    return "<!doctype html><title>PhoenixPair</title><p>The web client has not been built: run npm run build.</p>";
  }
}
