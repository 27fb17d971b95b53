/**
 * The scripts a person runs: start, build, bench, and a test run on a machine that lacks something.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../support/free-port.js";
import { Participant } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pp-scripts-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function run(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (data) => (output.stdout += data));
  child.stderr.on("data", (data) => (output.stderr += data));
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, ...output }));
  return { child, output, ended };
}

/** Whether someone listens on a port. */
const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });

test.each([
  ["npm start", ["scripts/start.mjs"]],
  [
    "the server from source",
    ["--import", "./scripts/typescript-loader.mjs", "--conditions", "simurgh-source", "src/app/main.ts"],
  ],
])("%s prints one line with the address, answers, and ends on SIGTERM with 0", async (_what, args) => {
  const port = await freePort();
  const { child, output, ended } = run(args, {
    PORT: String(port),
    DATA_DIR: join(folder, String(port)),
    SHARDS: "1",
  });
  const line = `PhoenixPair is listening on http://127.0.0.1:${port}\n`;
  await waitFor(
    "its line",
    () => output.stdout === line || Promise.reject(new Error(JSON.stringify(output))),
    30_000,
  );
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toContain("<script");
  child.kill("SIGTERM");
  const { stderr, ...end } = await ended;
  expect(end).toEqual({ code: 0, stdout: line });
  // A machine that is busy with other things makes long turns, of which the log warns; of anything
  // else it must be silent.
  expect(stderr.split("\n").filter((text) => text !== "" && !text.includes('"kind":"long_turn"'))).toEqual(
    [],
  );
});

describeWith("NATS", "npm run cluster", () => {
  test("starts three nodes that share their rooms, and ends all on SIGTERM", async () => {
    // Three ports in a row.
    const first = await waitFor("three free ports", async () => {
      const port = await freePort();
      const taken = await Promise.all([port + 1, port + 2].map((next) => answers(next)));
      return taken.some(Boolean) ? undefined : port;
    });
    const ports = [first, first + 1, first + 2];
    const { child, output, ended } = run(["scripts/cluster.mjs"], {
      PORT: String(first),
      DATA_DIR: join(folder, "cluster"),
    });
    try {
      const addresses = ports.map((port) => `  http://127.0.0.1:${port}\n`).join("");
      await waitFor(
        "its lines",
        () =>
          (output.stdout.startsWith("3 nodes on nats://127.0.0.1:") && output.stdout.endsWith(addresses)) ||
          Promise.reject(new Error(JSON.stringify(output))),
        90_000,
      );
      const account = await fetch(`http://127.0.0.1:${first}/api/users`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ email: "ann@example.com", password: "correct horse", name: "Ann" }),
      });
      const { token } = (await account.json()) as { readonly token: string };
      const people = ports.map((port) => new Participant({ port }, token, 1));
      await Promise.all(people.map((person) => person.join()));
      for (const [index, person] of people.entries()) {
        const text = `from node ${index + 1}`;
        person.channel.push("response:update", { response: text });
        await waitFor("all read it", () =>
          people.every(({ updates }) => updates.some(({ response }) => response === text)),
        );
      }
      for (const person of people) person.leave();
      child.kill("SIGTERM");
      expect((await ended).code).toBe(0);
      expect(await Promise.all(ports.map((port) => answers(port)))).toEqual([false, false, false]);
    } finally {
      child.kill("SIGTERM");
      await ended;
    }
  });
});

test("a build of what is built already does nothing", async () => {
  expect(await run(["scripts/build.mjs"]).ended).toEqual({
    code: 0,
    stdout: "dist/ is up to date\n",
    stderr: "",
  });
});

test("a bench that does not exist is an error that names those that do", async () => {
  const { code, stdout, stderr } = await run(["scripts/bench.mjs", "no-such-bench"]).ended;
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^there is no bench named no-such-bench; there are: .+\n$/);
});

const suite = ["node_modules/vitest/vitest.mjs", "run", "--project", "integration*", "test/e2e"];

test("without Chromium, a test run skips the browser suites and says which and why", async () => {
  const { code, stdout, stderr } = await run(suite, { SIMURGH_WITHOUT: "Chromium" }).ended;
  expect(code).toBe(0);
  expect(stdout + stderr).toMatch(/skipped: PhoenixPair in two browsers \(needs Chromium: install chromium/);
});

test("without Chromium, a run that must skip nothing fails and says why", async () => {
  const env = { SIMURGH_WITHOUT: "Chromium", SIMURGH_REQUIRE_ALL: "1" };
  const { code, stdout, stderr } = await run(suite, env).ended;
  expect(code).toBe(1);
  expect(stdout + stderr).toContain("Chromium is missing: install chromium");
});
