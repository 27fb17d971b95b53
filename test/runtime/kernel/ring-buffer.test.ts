import fc from "fast-check";
import { expect, test } from "vitest";
import { Ring } from "../../../src/runtime/kernel/ring-buffer.js";

/** So many in, so many out: rushes that make it grow and shrink. */
const rush = fc.record({ into: fc.integer({ min: 0, max: 3000 }), out: fc.integer({ min: 0, max: 3000 }) });

test("a ring buffer equals an array used as a queue, through all sizes", () => {
  fc.assert(
    fc.property(fc.array(rush, { maxLength: 8 }), (rushes) => {
      const ring = new Ring<{ n: number }>();
      const array: { n: number }[] = [];
      let n = 0;
      for (const { into, out } of rushes) {
        for (let i = 0; i < into; i += 1, n += 1) {
          const item = { n };
          ring.push(item);
          array.push(item);
        }
        for (let i = 0; i < out; i += 1) if (ring.shift() !== array.shift()) return false;
        if (ring.length !== array.length) return false;
      }
      return true;
    }),
  );
  expect(new Ring().shift()).toBeUndefined();
});
