/**
 * A copy of any value that is small enough to be logged: long texts, long lists and deep structures
 * are cut, and say so. Identities, errors, dates and functions stay what they are.
 */
import { Pid, Ref } from "./pid.js";

const MAX_DEPTH = 6;
const MAX_ITEMS = 50;
const MAX_TEXT = 2000;

export function truncate(value: unknown, depth = 0): unknown {
  if (typeof value === "string")
    return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}… (${value.length} characters)` : value;
  if (typeof value !== "object" || value === null) return value;
  if (
    value instanceof Pid ||
    value instanceof Ref ||
    value instanceof Error ||
    value instanceof Date ||
    value instanceof RegExp
  )
    return value;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    return value.byteLength > MAX_TEXT ? `${value.constructor.name} of ${value.byteLength} bytes` : value;
  if (Array.isArray(value)) {
    if (depth >= MAX_DEPTH) return `Array of ${value.length}`;
    return cut(value, value.length, (item) => truncate(item, depth + 1));
  }
  if (value instanceof Map) {
    if (depth >= MAX_DEPTH) return `Map of ${value.size}`;
    const entries = cut(value, value.size, (entry) => {
      const [key, item] = entry as [unknown, unknown];
      return [truncate(key, depth + 1), truncate(item, depth + 1)];
    });
    return new Map(
      entries.map((entry) => (Array.isArray(entry) ? entry : [entry, ""])) as [unknown, unknown][],
    );
  }
  if (value instanceof Set) {
    if (depth >= MAX_DEPTH) return `Set of ${value.size}`;
    return new Set(cut(value, value.size, (item) => truncate(item, depth + 1)));
  }
  const keys = Object.keys(value);
  if (depth >= MAX_DEPTH) return `${value.constructor?.name ?? "Object"} with ${keys.length} fields`;
  const copy: Record<string, unknown> = {};
  for (const key of keys.slice(0, MAX_ITEMS))
    copy[key] = truncate((value as Record<string, unknown>)[key], depth + 1);
  if (keys.length > MAX_ITEMS) copy["…"] = `${keys.length - MAX_ITEMS} more`;
  return copy;
}

function cut(items: Iterable<unknown>, length: number, each: (item: unknown) => unknown): unknown[] {
  const kept: unknown[] = [];
  for (const item of items) {
    if (kept.length === MAX_ITEMS) {
      kept.push(`… ${length - MAX_ITEMS} more`);
      break;
    }
    kept.push(each(item));
  }
  return kept;
}
