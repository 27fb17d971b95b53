/**
 * JSON that every reader takes. JSON.parse accepts more than can be passed on: halves of surrogate
 * pairs, which other readers refuse; numbers beyond a double, which come out as null; and nesting
 * deeper than JSON.stringify can follow. A frame with one of them is invalid, so that it troubles
 * its sender only. JSON.stringify writes halves of pairs, too; here they become the replacement
 * character U+FFFD, as they do in UTF-8.
 */

/** Levels of arrays and objects. */
export const MAX_DEPTH = 256;

/**
 * A text shorter than this cannot be too deep, and has a number beyond a double only with an
 * exponent.
 */
const SHORT = 300;
const SUSPICIOUS = /\\u[dD][89a-fA-F]|\d[eE]/;

/** As JSON.parse; throws a SyntaxError, too, for what could not be passed on. */
export function parseStrict(text: string): unknown {
  return checked(JSON.parse(text), text);
}

/** The value, which is in that text. Throws a SyntaxError for what could not be passed on. */
export function checked(value: unknown, text: string): unknown {
  if (text.length >= SHORT || SUSPICIOUS.test(text)) check(value, 0);
  return value;
}

function check(value: unknown, depth: number): void {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw new SyntaxError("a text has half of a surrogate pair");
      return;
    case "number":
      if (!Number.isFinite(value)) throw new SyntaxError("a number is larger than a double can be");
      return;
    case "object":
      break;
    default:
      return;
  }
  if (value === null) return;
  if (depth === MAX_DEPTH) throw new SyntaxError(`it is nested more than ${MAX_DEPTH} levels deep`);
  if (Array.isArray(value)) {
    for (const item of value) check(item, depth + 1);
    return;
  }
  for (const key of Object.keys(value)) {
    if (!key.isWellFormed()) throw new SyntaxError("a key has half of a surrogate pair");
    check((value as Record<string, unknown>)[key], depth + 1);
  }
}

/**
 * Whether a number, or each in a value, is one that comes back with all its digits: an integer up
 * to 2^53, or a fraction.
 */
export function keepsItsDigits(value: unknown): boolean {
  if (typeof value === "number") return Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  if (typeof value !== "object" || value === null) return true;
  return Object.values(value).every(keepsItsDigits);
}

/**
 * In what JSON.stringify writes, an escaped surrogate is half of a pair; an escaped backslash may
 * stand before the same letters.
 */
const HALVES = /\\(?:\\|ud[89a-f][0-9a-f]{2})/g;

/** JSON text that JSON.stringify has written, with each half of a surrogate pair replaced. */
export const wellFormed = (json: string): string =>
  json.includes("\\ud") ? json.replace(HALVES, (found) => (found === "\\\\" ? found : "\\ufffd")) : json;

/**
 * As JSON.stringify, without halves of surrogate pairs. Undefined where JSON.stringify gives that.
 */
export function stringifyStrict(value: unknown): string {
  const json = JSON.stringify(value) as string | undefined;
  return json === undefined ? (json as never) : wellFormed(json);
}
