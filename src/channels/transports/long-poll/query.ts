/**
 * Reads the query of a long-poll request. Phoenix's client writes the connect params first and
 * appends its session's token as `token`; with an application whose params have a `token` too, both
 * are in one query:
 *
 *     first request:  ?token=<the application's>&vsn=2.0.0&
 *     later ones:     ?token=<the application's>&vsn=2.0.0&token=<the session's>
 *
 * So the last `token` is the session's, and an earlier one is a connect param. The query of a
 * client that sends the session's token as a header has only connect params.
 */

/** The form of a session token of listener.ts, with any signature. */
const LOOKS_LIKE_OURS = /^\d+~[\w-]*\.[\w-]{24}\.[0-9a-z]+\.[\w-]{43}$/;

const isTokenParam = (name: string): boolean => name === "token" || name.startsWith("token[");

/** The session's token: that of the header, or the last one of the query. */
export const sessionToken = (
  header: string | readonly string[] | undefined,
  query: string,
): string | undefined =>
  (typeof header === "object" ? header[0] : header) ?? new URLSearchParams(query).getAll("token").at(-1);

/**
 * The query with only the connect params: `connect` must not mistake the session's token for the
 * application's.
 */
export function withoutSessionToken(header: string | readonly string[] | undefined, query: string): string {
  if (header !== undefined) return query;
  const pairs = query.split("&");
  const nameOf = (pair: string): string => decoded(pair.split("=", 1)[0] as string);
  const last = pairs.findLastIndex((pair) => nameOf(pair) === "token");
  if (last < 0) return query;
  const several = pairs.filter((pair) => isTokenParam(nameOf(pair))).length > 1;
  const first = new URLSearchParams(query).get("token") ?? "";
  return several || LOOKS_LIKE_OURS.test(first) ? pairs.toSpliced(last, 1).join("&") : query;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}
