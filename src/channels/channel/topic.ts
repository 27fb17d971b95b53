/**
 * Topic patterns: an exact topic, or a prefix that ends in `*`. The first match in definition order
 * wins.
 */
export function checkPattern(pattern: unknown): asserts pattern is string {
  if (typeof pattern !== "string" || pattern === "")
    throw new TypeError("a channel's topic pattern must be a non-empty string");
  const star = pattern.indexOf("*");
  if (star >= 0 && star !== pattern.length - 1)
    throw new TypeError(`the topic pattern ${JSON.stringify(pattern)} must end with *`);
}

export const matchesPattern = (pattern: string, topic: string): boolean =>
  pattern.endsWith("*") ? topic.startsWith(pattern.slice(0, -1)) : topic === pattern;

/** The topics that a pattern matches: `room:*` gives `room:${string}`. */
export type TopicOf<Pattern extends string> = Pattern extends `${infer Prefix}*`
  ? `${Prefix}${string}`
  : Pattern;
