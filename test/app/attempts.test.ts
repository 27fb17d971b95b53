import { expect, test } from "vitest";
import { FailedAttempts } from "../../src/app/http/attempts.js";

test("after ten failures within five minutes an account has to wait, others do not, and success forgets", () => {
  let now = 0;
  const attempts = new FailedAttempts(() => now);
  for (let n = 0; n < 9; n += 1) attempts.failed("ann");
  expect(attempts.waitFor("ann")).toBe(0);
  attempts.failed("ann");
  expect([attempts.waitFor("ann"), attempts.waitFor("bob")]).toEqual([300_000, 0]);
  now = 299_000;
  expect(attempts.waitFor("ann")).toBe(1000);
  now = 300_000;
  expect(attempts.waitFor("ann")).toBe(0);
  for (let n = 0; n < 10; n += 1) attempts.failed("ann");
  attempts.succeeded("ann");
  expect(attempts.waitFor("ann")).toBe(0);
});

test("memory is bounded: the oldest entries go first", () => {
  const attempts = new FailedAttempts(() => 0);
  for (let n = 0; n < 10; n += 1) attempts.failed("first");
  for (let n = 0; n < 10_000; n += 1) attempts.failed(`other ${n}`);
  expect(attempts.waitFor("first")).toBe(0);
});
