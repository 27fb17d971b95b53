/**
 * ConnectInfo is what `connect` receives of the request besides its params: only what the mount
 * lists (Phoenix: `connect_info`).
 *
 * Cookies and authorization headers cannot be listed: a page of another origin could make a browser
 * send them. The session is the exception; it requires the session's CSRF token.
 */
import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { BadArg } from "simurgh/runtime";
import { Token } from "../protocol/token.js";
import type { RequestOrigin } from "./request-origin.js";

/** The target of a request: the path and query as sent, and the host that the client addressed. */
export interface RequestAddress extends RequestOrigin {
  readonly path: string;
  /** Without its question mark. */
  readonly query: string;
}

export interface ConnectInfo {
  readonly peerData?: {
    readonly address: string | undefined;
    readonly port: number | undefined;
    /** The client's certificate in DER; null without one. */
    readonly sslCert: Uint8Array | null;
  };
  /** Headers whose name starts with `x-`, in order, duplicates kept. */
  readonly xHeaders?: readonly (readonly [name: string, value: string])[];
  readonly userAgent?: string | null;
  readonly uri?: {
    readonly scheme: "http" | "https";
    readonly host: string;
    readonly port: number;
    readonly path: string;
    readonly query: string;
    /** The same as `host`. */
    readonly authority: string;
  };
  /** `traceparent` and `tracestate`. */
  readonly traceContextHeaders?: readonly (readonly [name: string, value: string])[];
  readonly secWebsocketHeaders?: readonly (readonly [name: string, value: string])[];
  /** The session's data; null when there is none, or no valid CSRF token with it. */
  readonly session?: unknown;
  /**
   * The token from the sub-protocol or header, on mounts with `authToken`; null when the client
   * sent none.
   */
  readonly authToken?: string | null;
  /** Custom values of the mount. */
  readonly [custom: string]: unknown;
}

/** How a session is read from its cookie. */
export interface SessionOptions {
  /** The cookie's name. */
  readonly key: string;
  /** Salt of the token in the cookie; see `Token.sign`. */
  readonly salt?: string;
  /** Decodes the cookie instead of `Token`; null or undefined when it is not valid. */
  readonly decode?: (cookie: string) => unknown;
  /** The session's key that has the CSRF token. Default "_csrf_token". */
  readonly csrfKey?: string;
  /** Seconds a session is valid. Default: as signed. */
  readonly maxAge?: number;
}

const KEYS = [
  "peerData",
  "xHeaders",
  "userAgent",
  "uri",
  "traceContextHeaders",
  "secWebsocketHeaders",
] as const;
type Key = (typeof KEYS)[number];

/** One of the keys, `{ session: options }`, or custom values such as `{ signingSalt: "s" }`. */
export type ConnectInfoEntry =
  | Key
  | { readonly session: SessionOptions | (() => SessionOptions) }
  | Readonly<Record<string, unknown>>;

/** Throws for an entry that is neither a key nor an object. */
export function checkConnectInfo(entries: unknown): asserts entries is readonly ConnectInfoEntry[] {
  if (!Array.isArray(entries)) throw new BadArg("badarg: connectInfo must be a list");
  for (const entry of entries) {
    if (typeof entry === "object" && entry !== null) continue;
    if (!(KEYS as readonly unknown[]).includes(entry))
      throw new BadArg(
        `badarg: connectInfo has no entry ${JSON.stringify(entry)}; the allowed ones are ${KEYS.join(", ")}, { session: … } and objects of your own`,
      );
  }
}

/**
 * Collects what the mount lists from a request. `csrf` requires the CSRF token for the session.
 */
export function connectInfo(
  entries: readonly ConnectInfoEntry[],
  request: IncomingMessage,
  address: RequestAddress,
  { endpoint, csrf }: { readonly endpoint: string; readonly csrf: boolean },
): ConnectInfo {
  const info: Record<string, unknown> = {};
  for (const entry of entries) {
    if (typeof entry === "string") info[entry] = readers[entry](request, address);
    else if ("session" in entry) {
      const options = entry.session as SessionOptions | (() => SessionOptions);
      info.session = session(
        typeof options === "function" ? options() : options,
        request,
        address,
        endpoint,
        csrf,
      );
    } else Object.assign(info, entry);
  }
  return info;
}

const readers: Record<Key, (request: IncomingMessage, address: RequestAddress) => unknown> = {
  peerData: ({ socket }) => ({
    address: socket.remoteAddress,
    port: socket.remotePort,
    sslCert: (socket as { getPeerCertificate?(): { raw?: Buffer } }).getPeerCertificate?.().raw ?? null,
  }),
  xHeaders: (request) => headers(request, (name) => name.startsWith("x-")),
  userAgent: (request) => request.headers["user-agent"] ?? null,
  uri: (_request, { scheme, host, port, path, query }) => ({
    scheme,
    host,
    port,
    path,
    query,
    authority: host,
  }),
  traceContextHeaders: (request) =>
    headers(request, (name) => name === "traceparent" || name === "tracestate"),
  secWebsocketHeaders: (request) => headers(request, (name) => name.startsWith("sec-websocket-")),
};

function headers(request: IncomingMessage, wanted: (name: string) => boolean): [string, string][] {
  const found: [string, string][] = [];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const name = (request.rawHeaders[index] as string).toLowerCase();
    if (wanted(name)) found.push([name, request.rawHeaders[index + 1] as string]);
  }
  return found;
}

function session(
  options: SessionOptions,
  request: IncomingMessage,
  address: RequestAddress,
  endpoint: string,
  csrf: boolean,
): unknown {
  const cookie = cookieOf(request, options.key);
  if (cookie === undefined) return null;
  const data =
    options.decode === undefined ? signed(options, cookie, endpoint) : (options.decode(cookie) ?? null);
  if (data === null || !csrf) return data;
  const expected = (data as Record<string, unknown>)[options.csrfKey ?? "_csrf_token"];
  const given = new URLSearchParams(address.query).get("_csrf_token");
  return typeof expected === "string" && given !== null && sameText(expected, given) ? data : null;
}

function signed({ salt = "session", maxAge }: SessionOptions, cookie: string, endpoint: string): unknown {
  const result = Token.verify({ endpoint }, salt, cookie, maxAge === undefined ? {} : { maxAge });
  return result[0] === "ok" ? result[1] : null;
}

function cookieOf(request: IncomingMessage, name: string): string | undefined {
  for (const part of (request.headers.cookie ?? "").split(";")) {
    const at = part.indexOf("=");
    if (at < 0 || part.slice(0, at).trim() !== name) continue;
    try {
      return decodeURIComponent(
        part
          .slice(at + 1)
          .trim()
          .replace(/^"|"$/g, ""),
      );
    } catch {
      return undefined;
    }
  }
  return undefined;
}

function sameText(a: string, b: string): boolean {
  const [one, two] = [Buffer.from(a), Buffer.from(b)];
  return one.length === two.length && timingSafeEqual(one, two);
}
