/**
 * `npm run oracle`: every scenario on Erlang/OTP with Elixir and on ours; the traces must be equal.
 * `npm run oracle -- --record` writes what Elixir gave to recorded.json, which the unit tests
 * compare with.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { interpret } from "./interpret.js";
import scenarios from "./scenarios.js";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** A value as an Elixir literal. */
function elixir(value: unknown): string {
  if (value === null || value === undefined) return "nil";
  if (Array.isArray(value)) return `[${value.map(elixir).join(", ")}]`;
  if (typeof value === "object")
    return `%{${Object.entries(value)
      .map(([key, item]) => `${elixir(key)} => ${elixir(item)}`)
      .join(", ")}}`;
  if (typeof value === "string") return JSON.stringify(value).replaceAll("#{", "\\#{");
  return String(value);
}

function askElixir(): Map<string, unknown> {
  const folder = mkdtempSync(join(tmpdir(), "simurgh-oracle-"));
  try {
    const file = join(folder, "scenarios.exs");
    writeFileSync(file, elixir(scenarios));
    const { error, status, stdout, stderr } = spawnSync("elixir", [here("./oracle.exs"), file], {
      encoding: "utf8",
    });
    if (error !== undefined) {
      console.error("elixir was not found; on Debian: apt-get install erlang-base elixir");
      process.exit(2);
    }
    if (status !== 0) {
      console.error(stderr);
      process.exit(2);
    }
    return new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as [string, unknown]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const theirs = askElixir();
if (process.argv.includes("--record")) {
  const lines = [...theirs].map(([name, trace]) => `  ${JSON.stringify(name)}: ${JSON.stringify(trace)}`);
  writeFileSync(here("./recorded.json"), `{\n${lines.join(",\n")}\n}\n`);
}
// A simulated program has no sockets that would keep this one alive.
const alive = setInterval(() => {}, 1000);
let different = 0;
for (const scenario of scenarios) {
  const expected = theirs.get(scenario.name);
  const ours = JSON.parse(JSON.stringify(await interpret(scenario).catch((error: Error) => error.message)));
  if (isDeepStrictEqual(ours, expected)) continue;
  different += 1;
  console.log(`${scenario.name}\n  Elixir: ${JSON.stringify(expected)}\n  ours:   ${JSON.stringify(ours)}`);
}
clearInterval(alive);
console.log(`${scenarios.length} scenarios, ${different} different`);
process.exit(different === 0 ? 0 : 1);
