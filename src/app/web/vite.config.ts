import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/**
 * The browser client. The shell (sign-in, list) is one small entry; the room, with CodeMirror and
 * the socket, is a chunk of its own, and each language a further one, so that no page pays for an
 * editor to read a list.
 *
 * Everything is a file of its own under /assets with a hash in its name: the
 * Content-Security-Policy that the server sends allows no inline script, no data: font and no
 * injected style without the nonce.
 */
const here = fileURLToPath(new URL(".", import.meta.url));
const server = process.env.SIMURGH_API ?? "http://127.0.0.1:4000";

export default defineConfig({
  root: here,
  // The page is served for every path (/c/7 too), hence absolute addresses.
  base: "/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: fileURLToPath(new URL("../../../dist/app/web", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    // The size check reads it.
    manifest: true,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      "/api": server,
      "/socket": { target: server, ws: true },
    },
  },
});
