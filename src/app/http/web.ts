/**
 * Serves the built web client: hashed assets for ever, the page never cached and with a fresh nonce each time, so that
 * nothing but our own scripts and the editor's own styles run in it.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { Hono } from "hono";

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
  let page: string | undefined;

  app.get("*", async (context) => {
    const path = decodePath(context.req.path);
    if (path !== undefined && extname(path) !== "") {
      const asset = await readAsset(root, path);
      if (asset === undefined) return context.text("Not found", 404);
      const immutable = path.startsWith("/assets/");
      return context.body(asset, 200, {
        "content-type": TYPES[extname(path)] ?? "application/octet-stream",
        "cache-control": immutable ? "public, max-age=31536000, immutable" : "public, max-age=300",
      });
    }
    page ??= readPage(root);
    const nonce = randomBytes(16).toString("base64");
    return context.body(page.replaceAll(NONCE, nonce), 200, {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-cache",
      "content-security-policy": policy(nonce),
    });
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

async function readAsset(root: string, path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const file = normalize(join(root, path));
  if (!file.startsWith(root.endsWith(sep) ? root : root + sep) || path.includes("\0")) return undefined;
  try {
    return new Uint8Array(await readFile(file));
  } catch {
    return undefined;
  }
}

function readPage(root: string): string {
  try {
    return readFileSync(join(root, "index.html"), "utf8");
  } catch {
    return "<!doctype html><title>PhoenixPair</title><p>The web client has not been built: run npm run build.</p>";
  }
}
