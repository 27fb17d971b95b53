import { expect, test } from "vitest";
import { type Settings, settingsOf } from "../../../src/presence/tracker/options.js";

const refused = (options: Parameters<typeof settingsOf>[0]): unknown => {
  const result = settingsOf(options);
  expect(Array.isArray(result)).toBe(true);
  return (result as readonly ["error", string])[1];
};

test("the defaults are Phoenix's, and changes are published after 20 ms (P-041, P-103, P-104)", () => {
  expect(settingsOf()).toEqual({
    broadcastPeriod: 1500,
    downPeriod: 30_000,
    permdownPeriod: 1_200_000,
    clockSamplePeriods: 2,
    samplePeriod: 3000,
    flushAfter: 20,
    permdownOnShutdown: true,
    idleInterval: 7500,
    maxKept: 10_000,
  });
  expect((settingsOf({ broadcastPeriod: 100, maxSilentPeriods: 4 }) as Settings).downPeriod).toBe(800);
});

test("a down period below two broadcasts is refused first, then permdown (P-042)", () => {
  const down = "down_period must be at least twice as large as the broadcast_period";
  expect(refused({ broadcastPeriod: 100, downPeriod: 199 })).toBe(down);
  expect(refused({ broadcastPeriod: 100, downPeriod: 199, permdownPeriod: 1 })).toBe(down);
  expect(refused({ downPeriod: 30_000, permdownPeriod: 30_000 })).toBe(
    "permdown_period must be at least larger than the down_period",
  );
  expect(settingsOf({ broadcastPeriod: 100, downPeriod: 200, permdownPeriod: 201 })).toMatchObject({
    downPeriod: 200,
  });
});

test("impossible periods, samples and sizes are refused (P-707)", () => {
  expect(refused({ clockSamplePeriods: 0 })).toContain("clock_sample_periods");
  expect(refused({ broadcastPeriod: 0 })).toContain("broadcast_period");
  expect(refused({ broadcastPeriod: 1.5 })).toContain("broadcast_period");
  expect(refused({ maxSilentPeriods: -1 })).toContain("max_silent_periods");
  expect(refused({ maxDeltaSizes: [] })).toContain("max_delta_sizes");
  expect(refused({ maxDeltaSizes: [10, 10] })).toContain("max_delta_sizes");
  expect(refused({ maxDeltaSizes: [100, 10] })).toContain("max_delta_sizes");
  expect(refused({ flushAfter: -1 })).toContain("flush_after");
});

test("no configuration has an idle interval above a third of the down period (P-700, P-103)", () => {
  for (const broadcastPeriod of [1, 50, 1500])
    for (const maxSilentPeriods of [0, 1, 10, 1000]) {
      const settings = settingsOf({ broadcastPeriod, maxSilentPeriods, permdownPeriod: 1e9 }) as Settings;
      expect(settings.idleInterval).toBeLessThanOrEqual(settings.downPeriod / 3);
    }
});
