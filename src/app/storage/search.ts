/**
 * Search in texts, the same on every database: the program folds the text and what is looked for,
 * and the database looks for bytes in bytes.
 *
 * Folding takes away what a search should not see: letter case in all scripts (`Ä` is `ä`,
 * `STRASSE` is `straße`), accents on Latin, Greek and Cyrillic letters (`é` is `e`), and the width
 * and form of characters that Unicode calls compatible (`ﬁ` is `fi`). Marks of other scripts make
 * other words and stay.
 */
import type { QueryRunner } from "typeorm";
import { timeText } from "./database.js";

/** The accents of Latin, Greek and Cyrillic letters, once these are decomposed. */
const ACCENTS = /[\u0300-\u036f]/g;

/** Marks in a row that no language has. */
const MANY_MARKS = /\p{M}{30}/gu;
/**
 * Ends a row of marks, and is taken away with the accents. Sorting the marks of one row takes
 * quadratic time (UAX #15, 13).
 */
const JOINER = "\u034f";

export const folded = (text: string): string =>
  text
    .replace(MANY_MARKS, (marks) => marks + JOINER)
    .normalize("NFKD")
    // By way of capitals, since what is one letter there may have several small ones: ß and ss, ı
    // and i.
    .toLowerCase()
    .toUpperCase()
    .toLowerCase()
    // A sigma is written so at the end of a word only, and a search ends anywhere.
    .replaceAll("ς", "σ")
    .normalize("NFKD")
    .replace(ACCENTS, "");

const BATCH = 100;
const DAY_MS = 24 * 60 * 60 * 1000;

interface Row {
  readonly id: number;
  readonly title: string;
  readonly prompt: string;
  readonly search_title: string | null;
  readonly search_prompt: string | null;
}

/**
 * Folds the texts of challenges that have none folded, and of those changed within the last day: by
 * an older program, maybe, that ran beside this one during a deploy. May be repeated, and run while
 * others write.
 */
export async function refreshSearchTexts(runner: QueryRunner): Promise<void> {
  const lately = timeText(Date.now() - DAY_MS);
  for (let after = 0; ; ) {
    const rows: Row[] = await runner.query(
      `select id, title, prompt, search_title, search_prompt from challenges
       where id > ? and (search_title is null or search_prompt is null or updated_at > ?)
       order by id limit ${BATCH}`,
      [after, lately],
    );
    for (const { id, title, prompt, search_title, search_prompt } of rows) {
      after = id;
      const [newTitle, newPrompt] = [folded(title), folded(prompt)];
      if (newTitle === search_title && newPrompt === search_prompt) continue;
      // Not when it is changed meanwhile: that brings its own.
      await runner.query(
        "update challenges set search_title = ?, search_prompt = ? where id = ? and title = ? and prompt = ?",
        [newTitle, newPrompt, id, title, prompt],
      );
    }
    if (rows.length < BATCH) return;
  }
}
