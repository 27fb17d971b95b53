/**
 * RequestOrigin is the scheme, host and port that a client requested and the client's address, read
 * from the request and the headers of trusted proxies. The API, sockets and limits all use it.
 * Pure.
 *
 * Without trusted proxies only the connection and the `Host` header count, and every
 * `X-Forwarded-*` and `Forwarded` header is ignored: any client can send them. With n trusted
 * proxies, each of which appends to a list, the n-th entry from the right is that of the outermost
 * proxy; the entries before it were sent by the client.
 *
 * - scheme: `X-Forwarded-Proto`, else that of the connection; a host or forwarded port of 443
 *   without a scheme means https
 * - host: `X-Forwarded-Host`, else `Host`
 * - port: the host's own, else `X-Forwarded-Port`, else the scheme's. 80 under https and 443 under
 *   http are the port of another hop, and mean the scheme's own
 * - address: `X-Forwarded-For`. An entry without an address is skipped for that of the next, nearer
 *   proxy, and after the last for the address of the connection, so that no malformed entry makes
 *   one client look like several
 * - `Forwarded` (RFC 7239) counts when no `X-Forwarded-*` header of the same kind is present. When
 *   both name a client and differ, a proxy has forwarded one of them unread, so neither is trusted:
 *   the address of the connection counts
 *
 * Proxies write lists of hosts and schemes in one of two ways, adding to them or replacing them; a
 * list that is shorter than there are proxies is therefore read from its first entry.
 */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { domainToASCII } from "node:url";
import { type ClientAddress, parseClientAddress } from "./client-address.js";

export interface RequestOrigin {
  readonly scheme: "http" | "https";
  /** As in a URL: lower case, punycode, IPv6 in brackets, no dot at the end. */
  readonly host: string;
  /** The requested port, or the scheme's default. */
  readonly port: number;
  /** Canonical; "unknown" when the connection is gone. */
  readonly clientAddress: string;
  /** The key of limits: an IPv4 address, or the /64 of an IPv6 address. */
  readonly clientNetwork: string;
  /** The key of fair queues: an IPv4 address, or the /48 of an IPv6 address. */
  readonly clientSite: string;
}

export interface HostAndPort {
  readonly host: string;
  readonly port: number | undefined;
}

type Scheme = RequestOrigin["scheme"];

/** The part of a request that is read. */
export type OriginRequest = Pick<IncomingMessage, "headers" | "rawHeaders" | "httpVersion" | "socket">;

/** Undefined for a malformed request: no host, several, or an invalid one (RFC 9112, 3.2). */
export function requestOrigin(request: OriginRequest, trustedProxies: number): RequestOrigin | undefined {
  const own = ownHost(request);
  if (own === undefined) return undefined;
  const direct: Scheme = (request.socket as { encrypted?: boolean }).encrypted === true ? "https" : "http";
  const peer = parseClientAddress(request.socket.remoteAddress);
  if (trustedProxies === 0) return origin(direct, own, undefined, peer);
  const forwarded = forwardedBy(request, trustedProxies);
  const host = forwarded.host ?? own;
  const port = host.port ?? forwarded.port;
  return origin(
    forwarded.scheme ?? (port === 443 ? "https" : direct),
    host,
    forwarded.port,
    forwarded.client ?? peer,
  );
}

const DEFAULT_PORTS = { http: 80, https: 443 } as const;

function origin(
  scheme: Scheme,
  { host, port }: HostAndPort,
  forwardedPort: number | undefined,
  client: ClientAddress | undefined,
): RequestOrigin {
  const otherHop = DEFAULT_PORTS[scheme === "http" ? "https" : "http"];
  const requested = port ?? forwardedPort ?? otherHop;
  return {
    scheme,
    host,
    port: requested === otherHop ? DEFAULT_PORTS[scheme] : requested,
    clientAddress: client?.address ?? "unknown",
    clientNetwork: client?.network ?? "unknown",
    clientSite: client?.site ?? "unknown",
  };
}

/** HTTP/1.0 has no `Host` header; a request without one addresses this server. */
function ownHost({ headers, rawHeaders, httpVersion }: OriginRequest): HostAndPort | undefined {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2)
    if (rawHeaders[index]?.toLowerCase() === "host") hosts += 1;
  if (hosts > 1) return undefined;
  if (headers.host === undefined)
    return httpVersion === "1.0" ? { host: "localhost", port: undefined } : undefined;
  return parseHost(headers.host);
}

/** Parses `host[:port]`. Undefined for anything else. */
export function parseHost(text: string): HostAndPort | undefined {
  // Node decodes headers as Latin-1; a name beyond ASCII is in UTF-8.
  const bytes = Buffer.from(text, "latin1");
  const whole = /^[\0-\xff]*$/.test(text) && isUtf8(bytes) ? bytes.toString("utf8") : text;
  const match = /^(\[[\da-f:.]+\]|[^\s:/?#@%,\\[\]]+)(?::(\d{0,5}))?$/i.exec(whole.trim());
  if (match === null) return undefined;
  const [, name = "", digits = ""] = match;
  const port = digits === "" ? undefined : Number(digits);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  const host = canonicalHost(name);
  return host === undefined ? undefined : { host, port };
}

function canonicalHost(name: string): string | undefined {
  if (name.startsWith("[")) {
    const address = `http://${name}`;
    return URL.canParse(address) ? new URL(address).hostname : undefined;
  }
  const host = domainToASCII(name).replace(/\.$/, "");
  return host === "" ? undefined : host;
}

interface Forwarded {
  readonly scheme: Scheme | undefined;
  readonly host: HostAndPort | undefined;
  readonly port: number | undefined;
  readonly client: ClientAddress | undefined;
}

function forwardedBy({ headers, socket }: OriginRequest, proxies: number): Forwarded {
  const elements = parseForwarded(headers.forwarded?.toString() ?? "");
  // A proxy that sets one of these headers does not set `Forwarded`.
  const scheme = firstValid(listOf(headers["x-forwarded-proto"]), readScheme, proxies);
  const host = firstValid(listOf(headers["x-forwarded-host"]), parseHost, proxies);
  const port = firstValid(listOf(headers["x-forwarded-port"]), readPort, proxies);
  const standard = scheme === undefined && host === undefined && port === undefined ? elements : [];
  return {
    scheme: scheme ?? firstValid(standard, ({ proto = "" }) => readScheme(proto), proxies),
    host: host ?? firstValid(standard, (element) => parseHost(element.host ?? ""), proxies),
    port,
    client: clientOf(headers["x-forwarded-for"]?.toString(), elements, socket.remoteAddress, proxies),
  };
}

/**
 * The value of the outermost proxy, or of the next nearer one when it cannot be parsed. Entries
 * that the client sent are not read.
 */
function firstValid<Entry, T>(
  list: readonly Entry[],
  read: (entry: Entry) => T | undefined,
  proxies: number,
): T | undefined {
  for (const entry of list.slice(-proxies)) {
    const value = read(entry);
    if (value !== undefined) return value;
  }
  return undefined;
}

function clientOf(
  header: string | undefined,
  elements: readonly ForwardedElement[],
  peer: string | undefined,
  proxies: number,
): ClientAddress | undefined {
  // An empty entry is a proxy without the information, not a missing proxy.
  const standard = firstValid(elements, (element) => parseClientAddress(element.for), proxies);
  if (header === undefined) return standard;
  const legacy = firstValid(header.split(","), (entry) => parseClientAddress(unquoted(entry)), proxies);
  if (elements.some((element) => element.for !== undefined) && legacy?.network !== standard?.network)
    return parseClientAddress(peer);
  return legacy;
}

/** The non-empty entries of one or more header lines. */
const listOf = (header: string | readonly string[] | undefined): readonly string[] =>
  (header ?? "").toString().split(",").map(unquoted).filter(Boolean);

const unquoted = (text: string): string =>
  text
    .trim()
    .replace(/^"(.*)"$/, "$1")
    .trim();

function readScheme(text: string): Scheme | undefined {
  const scheme = text.toLowerCase();
  if (scheme === "https" || scheme === "wss") return "https";
  return scheme === "http" || scheme === "ws" ? "http" : undefined;
}

const readPort = (text: string): number | undefined =>
  /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) <= 65_535 ? Number(text) : undefined;

/** The element of one proxy in `Forwarded`. */
interface ForwardedElement {
  readonly for?: string;
  readonly host?: string;
  readonly proto?: string;
}

const PAIR = /^\s*([!#$%&'*+.^_`|~\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s",;]*)\s*(?=[;,]|$)/;

/**
 * `for=192.0.2.1;proto=https, For="[2001:db8::1]:4711"`: an element per proxy, in order. A
 * malformed element becomes an empty one, and does not affect the others.
 */
export function parseForwarded(header: string): readonly ForwardedElement[] {
  const elements: ForwardedElement[] = [];
  let rest = header;
  let element: Record<string, string> = {};
  let isMalformed = false;
  const finish = (): void => {
    elements.push(isMalformed ? {} : element);
    element = {};
    isMalformed = false;
  };
  if (rest.trim() === "") return [];
  while (rest !== "") {
    const pair = PAIR.exec(rest);
    if (pair !== null) {
      const [all, name = "", value = ""] = pair;
      const key = name.toLowerCase();
      // Of a duplicate key, one is not the proxy's.
      if (key in element) isMalformed = true;
      element[key] = value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
      rest = rest.slice(all.length);
    } else {
      const skipped = /^[^;,]*/.exec(rest)?.[0] ?? "";
      if (skipped.trim() !== "") isMalformed = true;
      rest = rest.slice(skipped.length);
    }
    const separator = rest[0];
    rest = rest.slice(1);
    if (separator === "," || rest === "") finish();
  }
  return elements;
}
