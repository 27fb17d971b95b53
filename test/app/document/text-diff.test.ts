import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { apply, changesBetween, diff, distance } from "../../../src/app/document/text-diff.js";

const text = fc.oneof(
  fc.string({ unit: fc.constantFrom("a", "b", "\n", "é", "😀", "👍🏽", "x"), maxLength: 40 }),
  fc
    .array(fc.constantFrom("if (a) {", "  return b;", "}", "", "// ok 😀"), { maxLength: 400 })
    .map((lines) => lines.join("\n")),
);

describe("diff", () => {
  test("the change between two texts leads from the one to the other", () => {
    fc.assert(
      fc.property(text, text, (before, after) => {
        expect(apply(before, changesBetween(before, after))).toBe(after);
      }),
      { numRuns: 1_000 },
    );
  });

  test("no hunk begins or ends inside a surrogate pair", () => {
    fc.assert(
      fc.property(text, text, (before, after) => {
        for (const { from, to, insert } of diff(before, after)) {
          expect(insert.isWellFormed()).toBe(true);
          expect(before.slice(0, from).isWellFormed()).toBe(true);
          expect(before.slice(to).isWellFormed()).toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
    expect(diff("😀", "😁")).toEqual([{ from: 0, to: 2, insert: "😁" }]);
  });

  test("edits in two places are two hunks, and the text between them is left alone", () => {
    const middle = "the quick brown fox jumps over the lazy dog\n".repeat(20);
    expect(diff(`a${middle}c`, `ab${middle}cd`)).toEqual([
      { from: 1, to: 1, insert: "b" },
      { from: middle.length + 2, to: middle.length + 2, insert: "d" },
    ]);
  });

  test("edits far apart in a long text are found by lines", () => {
    const lines = Array.from({ length: 3_000 }, (_, i) => `line ${i}`);
    const after = [...lines];
    after[10] = "line 10 changed";
    after.splice(2_000, 1);
    const hunks = diff(lines.join("\n"), after.join("\n"));
    expect(hunks).toHaveLength(2);
    expect(distance(lines.join("\n"), after.join("\n")).cost).toBeLessThan(60);
  });

  test("texts with nothing in common are replaced in reasonable time", () => {
    const before = Array.from({ length: 20_000 }, (_, i) => `a${i}`).join("\n");
    const after = Array.from({ length: 20_000 }, (_, i) => `b${i}`).join("\n");
    const start = performance.now();
    expect(apply(before, changesBetween(before, after))).toBe(after);
    expect(performance.now() - start).toBeLessThan(1_000);
  });

  test("a change is refused for a text of another length", () => {
    expect(() => apply("abc", changesBetween("ab", "a"))).toThrow(RangeError);
  });
});
