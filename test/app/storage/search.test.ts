import { expect, test } from "vitest";
import { folded } from "../../../src/app/storage/search.js";

test("each character is folded like its capital, and folding twice is the same", () => {
  const wrong: string[] = [];
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const character = String.fromCodePoint(code);
    const fold = folded(character);
    const others = [character.toUpperCase(), character.toLowerCase(), fold].filter(
      (text) => text !== character,
    );
    if (others.some((other) => folded(other) !== fold)) wrong.push(code.toString(16));
  }
  expect(wrong).toEqual([]);
});

test("a part of a text is found in it wherever it is cut", () => {
  for (const text of ["ΟΔΟΣ ΣΟΦΟΣ", "Straße GROẞ", "Ångström", "İstanbul", "한국어", "हिन्दी", "日本語"]) {
    const characters = [...text];
    for (let from = 0; from < characters.length; from++)
      for (let to = from + 1; to <= characters.length; to++)
        expect(folded(text)).toContain(folded(characters.slice(from, to).join("")));
  }
});

test("a text of many marks in a row is folded in no time", () => {
  const startedAt = performance.now();
  expect(folded(`a${"\u0301\u0323".repeat(100_000)}`)).toBe("a");
  expect(folded(`\u05d0${"\u05b0\u05b4".repeat(100_000)}`)).toHaveLength(200_001);
  expect(performance.now() - startedAt).toBeLessThan(1000);
});
