/**
 * Connect params are the query of a client's URL, parsed like Plug.Conn.Query. Pure.
 *
 *     a=1            {a: "1"}             a[b][c]=1           {a: {b: {c: "1"}}}
 *     a[]=1&a[]=2    {a: ["1", "2"]}      a[][b]=1&a[][c]=2   {a: [{b: "1", c: "2"}]}
 *
 * Only `[]` makes a list: `a[0]=1` is `{a: {0: "1"}}`, as Phoenix's client writes an array and an
 * object with numbers for keys alike. When names conflict (a value and an object, a list and an
 * object), the last wins.
 */
import { isUtf8 } from "node:buffer";

export type ConnectParam = string | readonly ConnectParam[] | { readonly [key: string]: ConnectParam };

/** Maximum pairs of a query; the rest is ignored. */
const MAX_PAIRS = 200;
/** Maximum brackets of a name; a pair with more is ignored. */
const MAX_DEPTH = 32;

/**
 * The entries of one prefix of names, such as `a[b]`, in order. The last entry decides whether it
 * is a list or an object.
 */
class Level {
  /** The key of an entry, or null in a list. */
  readonly entries: (readonly [key: string | null, value: string | Level])[] = [];
}

/** Undefined when the query is not UTF-8. */
export function connectParams(query: string): Record<string, ConnectParam> | undefined {
  const root = new Level();
  const levels = new Map<string, Level>();
  let pairs = 0;
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    pairs += 1;
    if (pairs > MAX_PAIRS) break;
    const at = pair.indexOf("=");
    const name = decoded(at < 0 ? pair : pair.slice(0, at));
    const value = decoded(at < 0 ? "" : pair.slice(at + 1));
    if (name === undefined || value === undefined) return undefined;
    insert(root, levels, name, value);
  }
  return objectOf(root);
}

/** A percent sign without two hexadecimal digits is kept. */
function decoded(text: string): string | undefined {
  const bytes = text
    .replaceAll("+", " ")
    .replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  // Node's URL has one character per byte that was sent.
  const buffer = Buffer.from(bytes, "latin1");
  return isUtf8(buffer) ? buffer.toString("utf8") : undefined;
}

function insert(root: Level, levels: Map<string, Level>, name: string, value: string): void {
  const first = name.endsWith("]") ? name.indexOf("[") : -1;
  if (first <= 0) {
    root.entries.push([name, value]);
    return;
  }
  const keys = name.slice(first + 1, -1).split("][");
  if (keys.length > MAX_DEPTH) return;
  let key: string | null = name.slice(0, first);
  let prefix = key;
  let parent = root;
  for (const next of keys) {
    let level = levels.get(prefix);
    if (level === undefined) {
      level = new Level();
      levels.set(prefix, level);
      parent.entries.push([key, level]);
    }
    parent = level;
    key = next === "" ? null : next;
    prefix += `[${next}]`;
  }
  parent.entries.push([key, value]);
}

const paramOf = (value: string | Level): ConnectParam => {
  if (typeof value === "string") return value;
  if (value.entries.at(-1)?.[0] !== null) return objectOf(value);
  return value.entries.filter(([key]) => key === null).map(([, item]) => paramOf(item));
};

/** Without a prototype, so that no param collides with an inherited property. */
function objectOf({ entries }: Level): Record<string, ConnectParam> {
  const object = Object.create(null) as Record<string, ConnectParam>;
  for (const [key, value] of entries) {
    // Copied with Object.assign, this key would change the prototype of the copy.
    if (key !== null && key !== "__proto__") object[key] = paramOf(value);
  }
  return object;
}
