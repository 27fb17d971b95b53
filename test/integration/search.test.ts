/** Search on SQLite and on MariaDB beside each other. */
import { afterAll, describe, expect, test } from "vitest";
import { challenges } from "../../src/app/storage/challenges.js";
import type { createDataSource } from "../../src/app/storage/data-source.js";
import type { Database } from "../../src/app/storage/database.js";
import { prepareSchema } from "../../src/app/storage/schema.js";
import { value, withDatabase } from "../support/databases.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { describeWith, type Need } from "../support/requirements.js";

/** Titles, and searches that find them. */
const FOUND: readonly (readonly [title: string, ...searches: string[]])[] = [
  ["Übung ÄÖÜ", "Übung", "übung", "ÜBUNG", "ubung", "U\u0308bung", "äöü"],
  ["Straße GROẞ", "straße", "STRASSE", "strasse", "groß", "GROSS"],
  ["Café Ångström", "café", "CAFÉ", "cafe\u0301", "cafe", "ångström", "angstrom"],
  ["Привет ЁЖИК Київ", "привет", "ПРИВЕТ", "ёжик", "ежик", "КИЇВ"],
  ["ΟΔΟΣ Οδυσσεύς", "οδος", "ΟΔΟΣ", "οδοσ", "οδυσσευς", "ΟΔΥΣΣΕΎΣ"],
  ["İstanbul IĞDIR", "istanbul", "İSTANBUL", "ISTANBUL", "ığdır"],
  ["日本語 テスト", "日本", "テスト", "ﾃｽﾄ"],
  ["한국어 시험", "한국어", "시험"],
  ["हिन्दी", "हिन्दी"],
  ["Ｆｕｌｌ ﬁne №", "full", "FINE", "ﬁne", "no"],
  ["𐐀𐐁𐐂 😀🎉", "𐐨𐐩", "𐐀", "😀", "🎉"],
  ["100% a_b !x \\ ' \" back\\slash", "100%", "0% a", "a_b", "!x", "\\", "'", '"', "K\\S"],
  ["Ꭰ ᏣᎳᎩ ქართული ᲥᲐᲠᲗᲣᲚᲘ", "ꭰ", "ꮳꮃꭹ", "ქართული", "ᲥᲐᲠ"],
];
/** Searches that find none of them. */
const NOTHING = ["_", "a%b", "0%%", "hindi", "हनद", "日 本", "😁", "x\\ '\" b", "search_title"];

const input = (title: string) => ({ title, prompt: "prompt", language: "go", response: "", ownerId: 7 });

function suite(
  need: Need | undefined,
  name: string,
  open: () => Promise<Parameters<typeof createDataSource>[0]>,
) {
  describeWith(need, `search on ${name}`, () => {
    const search = async (database: Database, text: string): Promise<readonly string[]> =>
      value(await challenges(database).searchChallenges(7, { text, mine: true })).cards.map(
        ({ title }) => title,
      );

    test("finds a text in any letter case and script, with and without accents", async () => {
      await withDatabase(await open(), async (database) => {
        const list = challenges(database);
        for (const [title] of FOUND) value(await list.createChallenge(input(title)));
        for (const [title, ...searches] of FOUND)
          for (const text of [title, ...searches])
            expect(await search(database, text), text).toContain(title);
        for (const text of NOTHING)
          expect(await search(database, text), text).toEqual(
            text === "_" ? ["100% a_b !x \\ ' \" back\\slash"] : [],
          );
        // One that differs from each other title finds that alone.
        expect(await search(database, "übung")).toEqual(["Übung ÄÖÜ"]);
      });
    });

    test("follows a change, also one that an older program makes", async () => {
      await withDatabase(await open(), async (database) => {
        const list = challenges(database);
        const { id } = value(await list.createChallenge(input("Äpfel")));
        value(await list.changeChallenge(id, { title: "Birnen" }));
        expect([await search(database, "äpfel"), await search(database, "BIRNEN")]).toEqual([[], ["Birnen"]]);
        value(await list.changeChallenge(id, { prompt: "Über Obst" }));
        expect(await search(database, "über")).toEqual(["Birnen"]);
        const now = new Date().toISOString().replace("T", " ").replace("Z", "");
        await database.source.query("update challenges set title = 'Öl', updated_at = ? where id = ?", [
          now,
          id,
        ]);
        await database.source.query(
          "insert into challenges (title, prompt, language, response, owner_id, access, created_at, updated_at) values ('Neu ÉTÉ', 'p', 'go', '', 7, 'open', ?, ?)",
          [now, now],
        );
        expect(await search(database, "neu")).toEqual(["Neu ÉTÉ"]);
        await prepareSchema(database.source);
        expect(await search(database, "öl")).toEqual(["Öl"]);
        expect(await search(database, "été")).toEqual(["Neu ÉTÉ"]);
        expect(await search(database, "birnen")).toEqual([]);
      });
    });
  });
}

suite(undefined, "SQLite", async () => ({ kind: "sqlite", location: ":memory:" }));

let mariadb: MariaDb | undefined;
describe("with a server", () => {
  suite("MariaDB", "MariaDB", async () => {
    mariadb ??= await startMariaDb();
    return { kind: "mysql", location: await mariadb.createDatabase() };
  });
});
afterAll(() => mariadb?.stop());
