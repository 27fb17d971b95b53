import fc from "fast-check";
import { expect, test } from "vitest";
import { SmallMap } from "#runtime";

const operation = fc.oneof(
  fc.record({ set: fc.integer({ min: 0, max: 5 }), value: fc.option(fc.nat(), { nil: undefined }) }),
  fc.record({ delete: fc.integer({ min: 0, max: 5 }) }),
);

test("a SmallMap does what a Map does, in the same order", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
      const small = new SmallMap<number, number | undefined>();
      const map = new Map<number, number | undefined>();
      for (const each of operations) {
        if ("set" in each) {
          small.set(each.set, each.value);
          map.set(each.set, each.value);
        } else {
          expect(small.delete(each.delete)).toBe(map.delete(each.delete));
        }
        expect(small.size).toBe(map.size);
        expect([...small]).toEqual([...map]);
        expect([...small.keys()]).toEqual([...map.keys()]);
        expect([...small.values()]).toEqual([...map.values()]);
        for (let key = 0; key <= 5; key += 1) {
          expect(small.has(key)).toBe(map.has(key));
          expect(small.get(key)).toBe(map.get(key));
        }
      }
    }),
  );
});
