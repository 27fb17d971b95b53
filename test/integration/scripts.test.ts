/** The scripts a person runs: start, build, bench, and a test run on a machine that lacks something. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../support/free-port.js";
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
  // A machine that is busy with other things makes long turns, of which the log warns; of anything else it must be silent.
  expect(stderr.split("\n").filter((text) => text !== "" && !text.includes('"kind":"long_turn"'))).toEqual(
    [],
  );
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
