import fc from "fast-check";
import { expect, test } from "vitest";
import { TokenBucket } from "../../../src/channels/socket/token-bucket.js";

test("a burst goes through at once, then as many as the rate gives", () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 3 });
  expect([0, 0, 0, 0].map((now) => bucket.take(now))).toEqual([0, 0, 0, 100]);
  expect([bucket.take(99), bucket.take(100), bucket.take(100)]).toEqual([1, 0, 100]);
  // Rest fills it up to the burst and no further.
  expect([10_000, 10_000, 10_000, 10_000].map((now) => bucket.take(now))).toEqual([0, 0, 0, 100]);
});

test("in no stretch of time do more go through than the burst and the rate allow", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.nat(200), { maxLength: 200 }),
      (perSecond, burst, gaps) => {
        const bucket = new TokenBucket({ perSecond, burst });
        const passed: number[] = [];
        let now = 0;
        for (const gap of gaps) {
          now += gap;
          if (bucket.take(now) === 0) passed.push(now);
        }
        for (let from = 0; from < passed.length; from += 1) {
          for (let to = from; to < passed.length; to += 1) {
            const allowed = burst + (((passed[to] as number) - (passed[from] as number)) / 1000) * perSecond;
            if (to - from + 1 > allowed + 1e-6) return false;
          }
        }
        return true;
      },
    ),
  );
});

test("several tokens are taken together or not at all", () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 3 });
  expect([bucket.take(0, 2), bucket.take(0, 2), bucket.take(0, 1)]).toEqual([0, 100, 0]);
  expect(bucket.take(1_000_000, 4)).toBe(100);
});

test("charged tokens are taken whether they are available or not", () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 3 });
  bucket.charge(0, 10);
  expect([bucket.take(0), bucket.take(799), bucket.take(800)]).toEqual([800, 1, 0]);
});
