/**
 * Filters secrets out of what a client sent before it is logged (Phoenix: `filter_parameters`).
 *
 * - a list of words: a key that contains one of them, or a text that contains `word=`, is shown as
 *   `[FILTERED]`
 * - `{ keep: […] }`: only these keys keep their values; everything else is `[FILTERED]`
 */
export type ParamFilter = readonly string[] | { readonly keep: readonly string[] };

export const DEFAULT_FILTER: ParamFilter = ["password", "token"];

const FILTERED = "[FILTERED]";

/** The value with secrets replaced. Instances of classes are not changed. */
export function filterParams(value: unknown, filter: ParamFilter = DEFAULT_FILTER): unknown {
  return "keep" in filter ? keep(value, filter.keep) : discard(value, filter);
}

const isPlain = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

const mapped = (value: Record<string, unknown>, fn: (key: string, item: unknown) => unknown): unknown =>
  Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fn(key, item)]));

function discard(value: unknown, words: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((item) => discard(item, words));
  if (isPlain(value))
    return mapped(value, (key, item) =>
      words.some((word) => key.includes(word)) ? FILTERED : discard(item, words),
    );
  if (typeof value === "string" && words.some((word) => value.includes(`${word}=`))) return FILTERED;
  return value;
}

function keep(value: unknown, keys: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((item) => keep(item, keys));
  if (isPlain(value)) return mapped(value, (key, item) => (keys.includes(key) ? item : keep(item, keys)));
  return typeof value === "object" && value !== null ? value : FILTERED;
}
