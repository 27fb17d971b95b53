import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { watchMainThread } from "simurgh/runtime";
import { expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../../support/fixtures/watched-main.ts", import.meta.url));

async function run(how: "stall" | "busy") {
  const child = spawn(process.execPath, [...process.execArgv, MAIN, how], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [output, errors] = ["", ""];
  child.stdout.on("data", (data) => (output += data));
  child.stderr.on("data", (data) => (errors += data));
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { code, signal, output, errors };
}

test("a main thread that loops forever ends the program with a reason", async () => {
  const { signal, output, errors } = await run("stall");
  expect(output).toContain("watched");
  expect(signal).toBe("SIGKILL");
  expect(errors).toMatch(/the main thread has shown no sign of life for \d+ ms; the program is ended/);
});

test("one that is busy but comes back ends as it would without a watchdog", async () => {
  expect(await run("busy")).toMatchObject({ code: 0, output: "watched\ndone\n" });
});

test.each([0, 99, 1.5, "5s", Number.NaN])("a time of %s is refused", (stallMs) => {
  expect(() => watchMainThread({ stallMs: stallMs as number })).toThrow(/stallMs must be a whole number/);
});
