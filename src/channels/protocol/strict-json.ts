/**
 * Strict JSON is JSON that every reader accepts. JSON.parse accepts values that could not be
 * forwarded: lone surrogates, which other parsers reject; numbers beyond the range of a double,
 * which JSON.stringify writes as null; and nesting deeper than JSON.stringify supports. A frame
 * with one of them is invalid, so that only its sender is affected. JSON.stringify also writes lone
 * surrogates; here they become the replacement character U+FFFD, as in UTF-8.
 */

/** Levels of arrays and objects. */
export const MAX_DEPTH = 256;

/**
 * A text shorter than this cannot be nested too deeply, and can exceed a double only with an
 * exponent.
 */
const SHORT = 300;
const SUSPICIOUS = /\\u[dD][89a-fA-F]|\d[eE]/;

/** Like JSON.parse; also throws a SyntaxError for values that could not be forwarded. */
export function parseStrict(text: string): unknown {
  return checked(JSON.parse(text), text);
}

/** Returns `value`, parsed from `text`. Throws a SyntaxError when it could not be forwarded. */
export function checked(value: unknown, text: string): unknown {
  if (text.length >= SHORT || SUSPICIOUS.test(text)) check(value, 0);
  return value;
}

function check(value: unknown, depth: number): void {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw new SyntaxError("a string has a lone surrogate");
      return;
    case "number":
      if (!Number.isFinite(value)) throw new SyntaxError("a number exceeds the range of a double");
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
    if (!key.isWellFormed()) throw new SyntaxError("a key has a lone surrogate");
    check((value as Record<string, unknown>)[key], depth + 1);
  }
}

/** Whether every number in the value is echoed with all its digits: at most 2^53. */
export function hasExactNumbers(value: unknown): boolean {
  if (typeof value === "number") return Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  if (typeof value !== "object" || value === null) return true;
  return Object.values(value).every(hasExactNumbers);
}

/**
 * JSON.stringify escapes only lone surrogates; an escaped backslash may precede the same letters.
 */
const LONE_SURROGATES = /\\(?:\\|ud[89a-f][0-9a-f]{2})/g;

/** Output of JSON.stringify with each lone surrogate replaced. */
export const wellFormed = (json: string): string =>
  json.includes("\\ud")
    ? json.replace(LONE_SURROGATES, (found) => (found === "\\\\" ? found : "\\ufffd"))
    : json;

/**
 * Like JSON.stringify, without lone surrogates. Undefined when JSON.stringify returns undefined.
 */
export function stringifyStrict(value: unknown): string {
  const json = JSON.stringify(value) as string | undefined;
  return json === undefined ? (json as never) : wellFormed(json);
}
