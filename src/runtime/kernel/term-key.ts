/**
 * Terms as map keys: two terms that are equal by value give the same key.
 *
 * JavaScript maps compare arrays and objects by identity, but `["room", 7]` names the same child or
 * registry entry wherever it was built. Plain data is compared by structure, identities by value,
 * instances of other classes and functions by identity. `1`, `1n` and `"1"` are three keys.
 */
import { identityKey, Pid, Ref } from "./pid.js";

/** Marks an encoded key, so that no ordinary string equals one. */
const MARK = "\u0000";

const serials = new WeakMap<object, number>();
let nextSerial = 1;

function serialOf(value: object): number {
  let serial = serials.get(value);
  if (serial === undefined) {
    serial = nextSerial;
    nextSerial += 1;
    serials.set(value, serial);
  }
  return serial;
}

/** A value to use as the key of a Map. Primitives stand for themselves. */
export function termKey(term: unknown): unknown {
  if (typeof term === "object" && term !== null) return MARK + encode(term);
  if (typeof term === "string" && term.startsWith(MARK)) return MARK + encode(term);
  return term;
}

function encode(term: unknown): string {
  switch (typeof term) {
    case "string":
      return JSON.stringify(term);
    case "number":
      // Both zeros are one key, as they are in a Map.
      return `n${term === 0 ? 0 : term}`;
    case "bigint":
      return `i${term}`;
    case "boolean":
    case "undefined":
      return String(term);
    case "symbol":
      return `s${symbolSerial(term)}`;
    case "function":
      return `f${serialOf(term)}`;
    default:
      return encodeObject(term as object | null);
  }
}

function encodeObject(value: object | null): string {
  if (value === null) return "null";
  if (value instanceof Pid) return `p${identityKey(value)}`;
  if (value instanceof Ref) return `r${identityKey(value)}`;
  if (Array.isArray(value)) return `[${value.map(encode).join(",")}]`;
  if (value instanceof Date) return `d${value.getTime()}`;
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return `o${serialOf(value)}`;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${encode(item)}`).join(",")}}`;
}

const symbols = new Map<symbol, number>();

function symbolSerial(value: symbol): number {
  let serial = symbols.get(value);
  if (serial === undefined) {
    serial = symbols.size + 1;
    symbols.set(value, serial);
  }
  return serial;
}
