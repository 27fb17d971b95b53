/** Partial matching: what a pattern says must be so; what it does not say may be anything. */
import { isDeepStrictEqual } from "node:util";

/**
 * A value, an object of which every key must match, a predicate, or an asymmetric matcher such as
 * `expect.anything()`.
 */
export type Pattern = unknown;

const isPlain = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

export function matches(pattern: Pattern, value: unknown): boolean {
  if (typeof pattern === "function") return Boolean((pattern as (value: unknown) => unknown)(value));
  if (typeof pattern === "object" && pattern !== null && "asymmetricMatch" in pattern)
    return (pattern as { asymmetricMatch(value: unknown): boolean }).asymmetricMatch(value);
  if (isPlain(pattern))
    return (
      isPlain(value) &&
      Object.keys(pattern).every((key) => Object.hasOwn(value, key) && matches(pattern[key], value[key]))
    );
  if (Array.isArray(pattern))
    return (
      Array.isArray(value) &&
      value.length === pattern.length &&
      pattern.every((item, at) => matches(item, value[at]))
    );
  return isDeepStrictEqual(pattern, value);
}
