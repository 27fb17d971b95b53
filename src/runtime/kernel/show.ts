/**
 * `show` is the text of any value, for error messages and logs: it never throws and is never long.
 *
 * Error texts are made of foreign values: a damaged message, a client's JSON, anything that was
 * thrown. `String(value)` and `${value}` call what the value says its `toString` or `valueOf` is,
 * and throw when that is no function or throws.
 *
 *     throw new BadArg(`badarg: a timeout must be a number, got ${show(given)}`);
 */
import { inspect } from "node:util";
import { Pid, Ref } from "./pid.js";

const LIMIT = 2000;

const cut = (text: string, limit: number): string =>
  text.length > limit ? `${text.slice(0, limit)}… (${text.length} characters)` : text;

/**
 * A text of at most `limit` characters and a note of what is left out. Texts and numbers are shown
 * as they are.
 */
export function show(value: unknown, limit = LIMIT): string {
  switch (typeof value) {
    case "string":
      return cut(value, limit);
    case "bigint":
      // The digits of a huge one take long to find out.
      return value > -(2n ** 256n) && value < 2n ** 256n ? String(value) : "a huge bigint";
    case "symbol":
      return cut(value.toString(), limit);
    case "function":
      return "a function";
    case "object":
      return value === null ? "null" : cut(shownObject(value), limit);
    default:
      return String(value);
  }
}

function shownObject(value: object): string {
  try {
    if (value instanceof Pid || value instanceof Ref) return value.toString();
    if (value instanceof Error) {
      const { name, message } = value as { name: unknown; message: unknown };
      return `${typeof name === "string" ? name : "Error"}: ${typeof message === "string" ? message : "?"}`;
    }
    const text: unknown = JSON.stringify(value);
    if (typeof text === "string") return text;
  } catch {
    // It contains itself or a bigint, or what it calls its toJSON does not work.
  }
  try {
    return inspect(value, { depth: 2, maxArrayLength: 20, maxStringLength: 200, customInspect: false });
  } catch {
    return "an object that cannot be shown";
  }
}

/** As `show`, with texts in quotes: for terms, such as exit reasons. */
export const showTerm = (term: unknown, limit = LIMIT): string =>
  typeof term === "string" ? JSON.stringify(cut(term, limit)) : show(term, limit);
