// Builds the server (tsc) and the web client (Vite) into dist/. Skips what is newer than all its
// sources; `--force` builds anyway.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const root = fileURLToPath(new URL("..", import.meta.url));
const WEB = join("src", "app", "web");

/** The latest change below a path, in ms; `skip` leaves a folder out. */
function newest(path, skip) {
  if (!existsSync(path)) return 0;
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path).reduce((latest, name) => {
    const child = join(path, name);
    return child === skip || name === "node_modules" ? latest : Math.max(latest, newest(child, skip));
  }, stat.mtimeMs);
}

function run(command, args) {
  const result = spawnSync(process.execPath, [join(root, "node_modules", ...command), ...args], {
    cwd: root,
    encoding: "utf8",
  });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout ?? ""}${result.stderr ?? ""}`);
  throw new Error(`the build failed: ${command.at(-1)} ended with ${result.status ?? result.signal}`);
}

function clean(folder, keep) {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    if (!keep.includes(name)) rmSync(join(folder, name), { recursive: true });
  }
}

/** Files that shrink; what is smaller than a packet is left as it is. */
const COMPRESSIBLE = /\.(css|js|json|svg|txt|webmanifest)$/;
const MIN_BYTES = 1024;

/**
 * Puts a Brotli and a gzip file beside each that is smaller so: once here, instead of for each
 * request.
 */
export function compress(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const file = join(entry.parentPath, entry.name);
    if (!entry.isFile() || !COMPRESSIBLE.test(entry.name) || file.includes(`${sep}.vite${sep}`)) continue;
    const plain = readFileSync(file);
    if (plain.length < MIN_BYTES) continue;
    const params = { [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
    for (const [suffix, bytes] of [
      [".br", brotliCompressSync(plain, { params })],
      [".gz", gzipSync(plain, { level: 9 })],
    ])
      if (bytes.length < plain.length) writeFileSync(file + suffix, bytes);
  }
}

const parts = [
  {
    name: "server",
    sources: [
      join(root, "src"),
      join(root, "tsconfig.json"),
      join(root, "tsconfig.build.json"),
      join(root, "package-lock.json"),
    ],
    skip: join(root, WEB),
    stamp: join(root, "dist", ".server-built"),
    build() {
      // What has no source any more must not stay behind. The web client's part is not ours.
      clean(join(root, "dist"), ["app", ".web-built"]);
      clean(join(root, "dist", "app"), ["web"]);
      run(["typescript", "bin", "tsc"], ["-p", "tsconfig.build.json"]);
    },
  },
  {
    name: "web client",
    sources: [join(root, WEB), join(root, "package-lock.json"), fileURLToPath(import.meta.url)],
    skip: undefined,
    stamp: join(root, "dist", ".web-built"),
    build() {
      run(
        ["vite", "bin", "vite.js"],
        ["build", "--config", join(WEB, "vite.config.ts"), "--logLevel", "warn"],
      );
      compress(join(root, "dist", "app", "web"));
    },
  },
];

/** Builds what is out of date; the names of what was built. */
export function build({ force = false } = {}) {
  const built = [];
  for (const part of parts) {
    const changed = Math.max(...part.sources.map((source) => newest(source, part.skip)));
    if (!force && existsSync(part.stamp) && statSync(part.stamp).mtimeMs >= changed) continue;
    const startedAt = new Date();
    part.build();
    writeFileSync(part.stamp, "");
    // What changed during the build is built next time.
    utimesSync(part.stamp, startedAt, startedAt);
    built.push(part.name);
  }
  return built;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const built = build({ force: process.argv.includes("--force") });
    console.log(built.length === 0 ? "dist/ is up to date" : `built: ${built.join(", ")}`);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
