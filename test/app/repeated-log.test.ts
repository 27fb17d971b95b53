import { expect, test } from "vitest";
import { RepeatedLog } from "../../src/app/repeated-log.js";

function logging() {
  const lines: string[] = [];
  const clock = { now: 0 };
  const log = new RepeatedLog(
    (line) => void lines.push(line),
    () => clock.now,
  );
  return { lines, clock, log };
}

test("a trouble is written when it begins, and once a minute while it lasts", () => {
  const { lines, clock, log } = logging();
  for (let second = 0; second <= 60; second += 1) {
    clock.now = second * 1000;
    log.trouble("no answer within 3000 ms");
  }
  expect(lines).toEqual(["no answer within 3000 ms", "no answer within 3000 ms (and 59 times before)"]);
});

test("another trouble is written at once, one that differs in a number is not", () => {
  const { lines, log } = logging();
  for (const text of ["row 1 is locked", "row 2 is locked", "disk full", "row 3 is locked"])
    log.trouble(text);
  expect(lines).toEqual(["row 1 is locked", "disk full"]);
});

test("the end is written once, and not every time of what comes and goes", () => {
  const { lines, log } = logging();
  log.over("fine");
  for (let n = 0; n < 10; n += 1) {
    log.trouble("broken");
    log.over("fine");
    log.over("fine");
  }
  expect(lines).toEqual(["broken", "fine"]);
});

test("the number of troubles that are remembered is bounded", () => {
  const { lines, log } = logging();
  for (let n = 0; n < 1000; n += 1) log.trouble("x".repeat(n % 100), `${n % 100}`);
  expect(lines).toHaveLength(1000);
});
