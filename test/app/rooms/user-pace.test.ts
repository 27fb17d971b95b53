import { expect, test } from "vitest";
import { UserPace, WORK } from "../../../src/app/rooms/user-pace.js";

test("a user who used more than a burst waits until it is paid, and others do not", () => {
  const pace = new UserPace(WORK);
  pace.charge(1, 400_000, 0);
  expect(pace.wait(1, 0)).toBe(0);
  pace.charge(1, 200_000, 0);
  expect(pace.wait(1, 0)).toBe(500);
  expect(pace.wait(2, 0)).toBe(0);
  expect(pace.wait(1, 500)).toBe(0);
  pace.charge(1, 300_000, 500);
  expect(pace.wait(1, 500)).toBe(1000);
});

test("users who have paid are forgotten", () => {
  const pace = new UserPace(WORK);
  for (let user = 0; user < 5000; user += 1) pace.charge(user, 300, user);
  expect(pace.size).toBeLessThanOrEqual(1001);
});
