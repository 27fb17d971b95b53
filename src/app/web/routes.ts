/**
 * Which page an address means. Pure, so that what comes from the address bar is checked without a
 * browser.
 *
 *     /            the challenges          /c/:id   a room
 *     /sign-in     and /sign-up            /new     a challenge to write
 *     /account     one's own account       /c/:id/edit  for its owner
 *     /join#token  an invitation
 *
 * A page that needs a session sends to /sign-in?next=<where you were going>, so that a deep link
 * survives signing in.
 */
export type Route =
  | { readonly page: "challenges" }
  | { readonly page: "new" }
  | { readonly page: "account" }
  | { readonly page: "room"; readonly id: string }
  | { readonly page: "edit"; readonly id: string }
  | { readonly page: "join"; readonly token: string }
  | { readonly page: "sign-in"; readonly next: string }
  | { readonly page: "sign-up"; readonly next: string }
  | { readonly page: "not-found" };

export function parseRoute(pathname: string, search: string, hash = ""): Route {
  const path = pathname.replace(/\/+$/, "") || "/";
  if (path === "/") return { page: "challenges" };
  if (path === "/new") return { page: "new" };
  if (path === "/account") return { page: "account" };
  if (path === "/sign-in" || path === "/sign-up")
    return { page: path === "/sign-in" ? "sign-in" : "sign-up", next: safeNext(search) };
  if (path === "/join") return { page: "join", token: hash.replace(/^#/, "") };
  const [, room, edit] = /^\/c\/([^/]+)(\/edit)?$/.exec(path) ?? [];
  if (room === undefined) return { page: "not-found" };
  try {
    return { page: edit === undefined ? "room" : "edit", id: decodeURIComponent(room) };
  } catch {
    return { page: "not-found" };
  }
}

/**
 * `next` comes from the address bar, so it may only name a page of this program. It is resolved as
 * a browser does it, which drops tabs and line ends and takes a backslash for a slash before it
 * looks at an address.
 */
function safeNext(search: string): string {
  const next = new URLSearchParams(search).get("next") ?? "/";
  if (!URL.canParse(next, HERE)) return "/";
  const { origin, pathname, search: query, hash } = new URL(next, HERE);
  // Dots may have led to an address that begins with two slashes.
  const elsewhere = origin !== HERE || pathname.startsWith("//");
  return elsewhere || /^(not|sign)-/.test(parseRoute(pathname, "").page) ? "/" : pathname + query + hash;
}

/** Any origin will do to resolve a path. */
const HERE = "http://x";

export const roomPath = (id: string | number): string => `/c/${encodeURIComponent(String(id))}`;
export const editPath = (id: string | number): string => `${roomPath(id)}/edit`;
/** Behind the `#`, so that it is sent to no server. */
export const joinPath = (token: string): string => `/join#${token}`;
export const signInPath = (next: string): string =>
  next === "/" ? "/sign-in" : `/sign-in?next=${encodeURIComponent(next)}`;
