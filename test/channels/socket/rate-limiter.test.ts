import { expect, test } from "vitest";
import { RateLimiter } from "../../../src/channels/socket/rate-limiter.js";

test("each key has its own bucket, and gets the time to wait", () => {
  const limiter = new RateLimiter({ perSecond: 2, burst: 2 });
  expect([limiter.take("a", 0), limiter.take("a", 0), limiter.take("a", 0)]).toEqual([0, 0, 500]);
  expect(limiter.take("b", 0)).toBe(0);
  expect(limiter.take("a", 500)).toBe(0);
});

test("of more keys than are kept the quietest are forgotten, and none that is busy", () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 1 }, 3);
  limiter.take("busy", 0);
  for (let n = 0; n < 100; n += 1) {
    expect(limiter.take("busy", 1)).toBeGreaterThan(0);
    limiter.take(`other${n}`, 1);
  }
  expect(limiter.take("other99", 1)).toBeGreaterThan(0);
  expect(limiter.take("other0", 1)).toBe(0);
});
