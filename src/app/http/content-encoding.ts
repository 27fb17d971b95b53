/**
 * Which of the encodings there are of a file a client gets, by its `Accept-Encoding` (RFC 9110,
 * 12.5.3). Pure.
 */

export type ContentEncoding = "br" | "gzip" | "identity";

/**
 * The one that is liked best, of those liked alike the first of the list. Undefined when the client
 * takes none of them; without a header it takes the file as it is.
 */
export function chooseEncoding(
  header: string | undefined,
  available: readonly ContentEncoding[],
): ContentEncoding | undefined {
  const qualities = parse(header ?? "identity");
  const qualityOf = (encoding: ContentEncoding): number => {
    const said = qualities.get(encoding) ?? qualities.get("*");
    // As it is, it is taken unless that is ruled out, and after all that is asked for.
    return said ?? (encoding === "identity" ? 1e-4 : 0);
  };
  let best: ContentEncoding | undefined;
  for (const encoding of available)
    if (qualityOf(encoding) > (best === undefined ? 0 : qualityOf(best))) best = encoding;
  return best;
}

/** Preferences by encoding. What cannot be read is left out. */
function parse(header: string): Map<string, number> {
  const qualities = new Map<string, number>();
  for (const entry of header.toLowerCase().split(",")) {
    const [name = "", ...params] = entry.split(";").map((part) => part.trim());
    const weight = params.map((param) => /^q\s*=\s*(\d(?:\.\d*)?)$/.exec(param)?.[1]).find(Boolean);
    const key = name === "x-gzip" ? "gzip" : name;
    if (key !== "") qualities.set(key, weight === undefined ? 1 : Math.min(1, Number(weight)));
  }
  return qualities;
}
