import { describe, expect, test } from "vitest";
import { LANGUAGES } from "../../src/app/input.js";
import { indentOf, loadLanguage } from "../../src/app/web/room/languages/index.js";
import { languageName, LANGUAGES as SHOWN } from "../../src/app/web/ui/language-name.js";

describe("the languages of challenges", () => {
  test("the page offers those that the server takes, each by its name", () => {
    expect(SHOWN).toEqual(LANGUAGES);
    for (const language of SHOWN) expect(languageName(language)).not.toBe(language);
  });

  test.each([...LANGUAGES])("%s has a grammar, and an indentation", async (language) => {
    expect(await loadLanguage(language)).toMatchObject({ parser: expect.anything() });
    expect(indentOf(language)).toMatch(/^( {2,4}|\t)$/);
  });

  test("an unknown language is plain text", async () => {
    expect(await loadLanguage("cobol")).toEqual([]);
    expect(await loadLanguage("constructor")).toEqual([]);
  });
});
