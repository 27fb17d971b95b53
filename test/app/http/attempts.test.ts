import { expect, test } from "vitest";
import { Attempts } from "../../../src/app/http/attempts.js";

const LIMIT = { most: 5, windowMs: 60_000, longestWaitMs: 200_000 };

test("too many attempts in a window must wait for its end, and success resets", () => {
  let now = 0;
  const attempts = new Attempts(LIMIT, () => now);
  for (let n = 0; n < 4; n += 1) attempts.count("ann");
  expect(attempts.waitFor("ann")).toBe(0);
  attempts.count("ann");
  expect([attempts.waitFor("ann"), attempts.waitFor("bob")]).toEqual([60_000, 0]);
  now = 59_000;
  expect(attempts.waitFor("ann")).toBe(1000);
  now = 60_000;
  expect(attempts.waitFor("ann")).toBe(0);
  attempts.succeeded("ann");
  for (let n = 0; n < 4; n += 1) attempts.count("ann");
  expect(attempts.waitFor("ann")).toBe(0);
});

test("each further attempt doubles the wait, up to the longest", () => {
  let now = 0;
  const attempts = new Attempts(LIMIT, () => now);
  for (let n = 0; n < 5; n += 1) attempts.count("ann");
  const waits: number[] = [];
  for (let n = 0; n < 4; n += 1) {
    now += attempts.waitFor("ann");
    if (n === 0) now -= 1;
    attempts.count("ann");
    waits.push(attempts.waitFor("ann"));
  }
  expect(waits).toEqual([120_000, 200_000, 200_000, 200_000]);
  now += 400_000;
  attempts.count("ann");
  expect(attempts.waitFor("ann")).toBe(0);
});

test("attempts that are spread out never have to wait", () => {
  let now = 0;
  const attempts = new Attempts(LIMIT, () => now);
  for (let n = 0; n < 100; n += 1) {
    expect(attempts.waitFor("ann")).toBe(0);
    attempts.count("ann");
    now += 15_001;
  }
});

test("memory is bounded: the oldest entries go first", () => {
  const attempts = new Attempts(LIMIT, () => 0);
  for (let n = 0; n < 10; n += 1) attempts.count("first");
  for (let n = 0; n < 10_000; n += 1) attempts.count(`other ${n}`);
  expect(attempts.waitFor("first")).toBe(0);
});

test("attempts count before their outcome is known", () => {
  let now = 0;
  const attempts = new Attempts(LIMIT, () => now);
  const taken = Array.from({ length: 8 }, () => attempts.take("ann"));
  expect(taken).toEqual([0, 0, 0, 0, 0, 60_000, 60_000, 60_000]);
  attempts.forgive("ann");
  expect(attempts.take("ann")).toBe(0);
  expect(attempts.take("ann")).toBe(60_000);
  now = 60_000;
  expect(attempts.take("ann")).toBe(0);
  attempts.succeeded("ann");
  expect(attempts.take("ann")).toBe(0);
});
