import { backoff } from "simurgh/runtime";
import { VirtualClock } from "simurgh/testing";
import { expect, test } from "vitest";
import { ReportLimiter } from "../../../src/runtime/kernel/report-limiter.js";
import type { Report } from "../../../src/runtime/kernel/reports.js";

const notice = (text: string, level: "warning" | "error" | "info" = "error"): Report => ({
  kind: "notice",
  level,
  text,
  pid: undefined,
  metadata: {},
});

function limiter() {
  const clock = new VirtualClock();
  const notified: Report[] = [];
  const reports = new ReportLimiter(clock, 200, (report) => void notified.push(report));
  return { clock, notified, reports };
}

test("the same words a hundred times a second for an hour make about seventy lines", () => {
  const { clock, notified, reports } = limiter();
  let sent = 0;
  for (let ms = 0; ms < 3_600_000; ms += 100) {
    clock.advanceTo(ms);
    for (let n = 0; n < 10; n += 1) reports.report(notice("the database is away"));
    sent += 10;
  }
  expect(notified.length).toBeLessThan(80);
  const metadata = notified.map((report) => (report as { metadata: { repeated?: number } }).metadata);
  const repeated = metadata.reduce((sum, { repeated = 0 }) => sum + repeated, 0);
  // All but those after the last line are accounted for.
  expect(notified.length + repeated).toBeGreaterThan(sent - 6001);
  expect(reports.suppressed).toBe(sent - notified.length);
});

test("other words are a line at once, and so are the same ones after some minutes", () => {
  const { clock, notified, reports } = limiter();
  for (let n = 0; n < 100; n += 1) reports.report(notice("away"));
  expect(notified).toHaveLength(5);
  reports.report(notice("back"));
  expect(notified).toHaveLength(6);
  clock.advanceTo(300_000);
  notified.length = 0;
  for (let n = 0; n < 5; n += 1) reports.report(notice("away"));
  expect(notified).toHaveLength(5);
});

test("informative reports pass up to the limit", () => {
  const { notified, reports } = limiter();
  for (let n = 0; n < 300; n += 1) reports.report(notice("joined", "info"));
  expect(notified).toHaveLength(200);
});

test("a backoff grows with each try, has jitter and is bounded", () => {
  const waits = Array.from({ length: 40 }, (_, tries) => backoff(tries, 100, 5000));
  for (const [tries, wait] of waits.entries()) {
    const middle = Math.min(5000, 100 * 2 ** tries);
    expect(wait).toBeGreaterThanOrEqual(0.75 * middle);
    expect(wait).toBeLessThanOrEqual(1.25 * middle);
  }
  expect(new Set(waits).size).toBe(waits.length);
});
