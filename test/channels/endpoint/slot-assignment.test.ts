import fc from "fast-check";
import { expect, test } from "vitest";
import { SLOTS } from "#pubsub";
import { rebalance, roundRobin } from "../../../src/channels/endpoint/slot-assignment.js";

const threads = fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 });
const counts = (owners: readonly number[]): Map<number, number> => {
  const found = new Map<number, number>();
  for (const owner of owners) found.set(owner, (found.get(owner) ?? 0) + 1);
  return found;
};

test("slots are spread evenly over the threads asked for, and over no others", () => {
  fc.assert(
    fc.property(threads, fc.array(threads, { minLength: 1, maxLength: 5 }), (first, changes) => {
      let owners = roundRobin(first);
      for (const wanted of changes) {
        owners = rebalance(owners, wanted);
        const found = counts(owners);
        expect(owners).toHaveLength(SLOTS);
        expect([...found.keys()].sort()).toEqual([...wanted].sort());
        expect(Math.max(...found.values()) - Math.min(...found.values())).toBeLessThanOrEqual(1);
      }
    }),
  );
});

test("no slot moves that need not", () => {
  fc.assert(
    fc.property(threads, threads, (first, wanted) => {
      const before = roundRobin(first);
      const moved = rebalance(before, wanted).filter((owner, number) => owner !== before[number]).length;
      // Each thread can keep as many of its slots as its share allows.
      const had = counts(before);
      const shares = wanted.map(
        (_, n) => Math.floor(SLOTS / wanted.length) + (n < SLOTS % wanted.length ? 1 : 0),
      );
      const most = wanted.map((thread) => had.get(thread) ?? 0).sort((a, b) => b - a);
      const kept = most.reduce((sum, has, n) => sum + Math.min(has, shares[n] as number), 0);
      expect(moved).toBe(SLOTS - kept);
    }),
  );
});
