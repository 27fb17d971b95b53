import fc from "fast-check";
import { expect, test } from "vitest";
import { SLOTS, slot } from "#pubsub";
import { fnv1a } from "#runtime";

test("the slot of a topic never changes: golden values of FNV-1a over UTF-8 (P-024)", () => {
  expect([fnv1a(""), fnv1a("a"), fnv1a("foobar")]).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
  expect(["", "room:1", "room:2", "challenges:1", "räum:ü", "🦚"].map(slot)).toEqual([
    197, 99, 246, 50, 57, 136,
  ]);
});

test("the hash is that of the UTF-8 bytes, for any text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      let hash = 0x811c9dc5;
      for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
      return fnv1a(text) === hash >>> 0;
    }),
  );
});

test("topics spread over the slots", () => {
  const counts = new Array(SLOTS).fill(0);
  for (let n = 0; n < 25_600; n += 1) counts[slot(`room:${n}`)] += 1;
  expect(Math.max(...counts)).toBeLessThan(200);
  expect(Math.min(...counts)).toBeGreaterThan(40);
});
