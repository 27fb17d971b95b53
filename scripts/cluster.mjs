// npm run cluster: three PhoenixPair nodes on this machine, joined by a NATS or Redis of their own,
// for a try. They share one SQLite file, which processes of one machine can (WAL); on several
// machines it takes DATABASE_URL. Ctrl-C ends all of it.
//
//   CLUSTER_URL   uses that engine instead of starting one
//   DATABASE_URL  uses that database instead of ./data-cluster/phoenixpair.sqlite
//   PORT          the first of three ports, default 4001
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "./build.mjs";

const NODES = 3;
const PATIENCE_MS = 60_000;

const root = fileURLToPath(new URL("..", import.meta.url));
const children = [];
let folder;
let ending = false;

function find(name) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/usr/bin"];
  return folders.map((path) => join(path, name)).find((path) => existsSync(path));
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

function start(name, program, args, options = {}) {
  const child = spawn(program, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"], ...options });
  children.push(child);
  child.on("exit", (code, signal) => {
    if (ending) return;
    console.error(`${name} ended (${signal ?? code})`);
    end(1);
  });
  return child;
}

/** Tries until it works. */
async function until(what, attempt) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (ending) throw error;
      if (Date.now() > deadline) throw new Error(`${what} took too long: ${error.message}`);
      await sleep(100);
    }
  }
}

const answers = (port) =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(socket.destroy()));
    socket.once("error", reject);
  });

/** The address of an engine: the one that is given, or one of our own. */
async function engine() {
  if (process.env.CLUSTER_URL) return process.env.CLUSTER_URL;
  const nats = find("nats-server");
  const redis = find("redis-server") ?? find("valkey-server");
  if (nats === undefined && redis === undefined)
    throw new Error(
      "there is no NATS and no Redis here; on Debian: apt-get install nats-server, or set CLUSTER_URL to one that runs elsewhere",
    );
  const port = await freePort();
  folder = mkdtempSync(join(tmpdir(), "phoenixpair-engine-"));
  if (nats !== undefined) {
    const config = join(folder, "nats.conf");
    writeFileSync(config, `listen: "127.0.0.1:${port}"\nwrite_deadline: "2s"\n`);
    start("nats-server", nats, ["-c", config], { stdio: "ignore" });
  } else {
    start(
      "redis-server",
      redis,
      ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--dir", folder],
      {
        stdio: "ignore",
      },
    );
  }
  await until("the engine", () => answers(port));
  return `${nats === undefined ? "redis" : "nats"}://127.0.0.1:${port}`;
}

function secret(dataDir) {
  if (process.env.JWT_SECRET) return process.env.JWT_SECRET;
  const file = join(dataDir, "jwt-secret");
  if (!existsSync(file)) writeFileSync(file, randomBytes(32).toString("base64url"), { mode: 0o600 });
  return readFileSync(file, "utf8").trim();
}

function end(code) {
  if (ending) return;
  ending = true;
  process.exitCode = code;
  // The engine, first in the list, ends last: the nodes still send permdown.
  const nodes = children.filter(({ spawnargs }) => spawnargs.includes("dist/app/main.js"));
  for (const child of nodes) child.kill("SIGTERM");
  void Promise.all(
    nodes.map((child) => (child.exitCode === null ? new Promise((done) => child.once("exit", done)) : null)),
  ).then(() => {
    for (const child of children) child.kill();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });
}

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => end(0));

async function main() {
  build();
  const dataDir = process.env.DATA_DIR ?? join(root, "data-cluster");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const url = await engine();
  const firstPort = Number(process.env.PORT ?? 4001);
  const jwtSecret = secret(dataDir);
  const addresses = [];
  for (let n = 0; n < NODES; n += 1) {
    const port = firstPort + n;
    const child = start(`node ${n + 1}`, process.execPath, ["dist/app/main.js"], {
      env: {
        ...process.env,
        PORT: String(port),
        NODE_NAME: `node-${n + 1}`,
        CLUSTER_URL: url,
        DATA_DIR: dataDir,
        JWT_SECRET: jwtSecret,
        // Different numbers of threads are no hindrance.
        SHARDS: process.env.SHARDS ?? String(n),
      },
    });
    child.stdout.resume();
    // One after the other: the first makes the tables.
    await until(`node ${n + 1}`, async () => {
      const response = await fetch(`http://127.0.0.1:${port}/readyz`);
      if (response.status !== 200) throw new Error(`/readyz answers ${response.status}`);
    });
    addresses.push(`http://127.0.0.1:${port}`);
  }
  await until("the cluster", async () => {
    for (const address of addresses) {
      const { cluster } = await (await fetch(`${address}/readyz`)).json();
      if (cluster.nodes.length !== NODES - 1)
        throw new Error(`${cluster.node} knows ${cluster.nodes.join() || "no one"}`);
    }
  });
  console.log(`${NODES} nodes on ${new URL(url).protocol}//${new URL(url).host}, the same rooms on each:`);
  for (const address of addresses) console.log(`  ${address}`);
}

main().catch((error) => {
  if (!ending) console.error(error.message);
  end(1);
});
