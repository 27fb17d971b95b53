/**
 * Ids as they come in from outside, in paths, topics and tokens: the decimal digits of a number, in
 * the one way that it is written. Anything else is no id, even where JavaScript would take it for a
 * number ("0x1", "1e0", " 1", "01", true, ["1"]).
 */

/** The largest the database has. */
const MAX_ID = 2_147_483_647;

/** The id that this is; undefined when it is none. */
export function readId(text: unknown): number | undefined {
  const id = readCount(text);
  return id !== undefined && id >= 1 && id <= MAX_ID ? id : undefined;
}

/** A whole number from 0 on, such as the number of a version; undefined when it is none. */
export function readCount(text: unknown): number | undefined {
  return typeof text === "string" && /^(0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : undefined;
}
