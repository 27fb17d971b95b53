/**
 * Every scenario of the oracle beside what Erlang/OTP with Elixir gave for it
 * (test/oracle/recorded.json). `npm run oracle` asks the real one again.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { interpret } from "../../oracle/interpret.js";
import scenarios from "../../oracle/scenarios.js";

const recorded = JSON.parse(
  readFileSync(new URL("../../oracle/recorded.json", import.meta.url), "utf8"),
) as Record<string, unknown>;

describe("as Erlang does it", () => {
  test("every scenario has its record, and every record its scenario", () => {
    expect(Object.keys(recorded).sort()).toEqual(scenarios.map(({ name }) => name).sort());
    expect(scenarios.length).toBeGreaterThanOrEqual(60);
  });

  test.each(scenarios)("$name", async (scenario) => {
    const trace = await interpret(scenario);
    expect(JSON.parse(JSON.stringify(trace))).toEqual(recorded[scenario.name]);
  });
});
