/**
 * RequestOrigin is what a request means behind its proxies: the scheme, host and port that the
 * client asked for, and the address it came from. The one place where this is read, for the API,
 * for sockets and for limits alike. Pure.
 *
 * Without trusted proxies only the connection and the `Host` header count, and every
 * `X-Forwarded-…` and `Forwarded` header is ignored: anybody can send them. With n trusted proxies,
 * each of which adds what it saw at the end of a list, the n-th entry from the right is the word of
 * the outermost of them; what stands before it was sent by the client.
 *
 * - scheme: `X-Forwarded-Proto`, else that of the connection; a host or forwarded port of 443
 *   without a word on the scheme means https
 * - host: `X-Forwarded-Host`, else `Host`
 * - port: the host's own, else `X-Forwarded-Port`, else the scheme's. 80 under https and 443 under
 *   http are the port of another hop, and mean the scheme's own
 * - address: `X-Forwarded-For`. An entry that names no address is passed over to that of the next,
 *   nearer proxy, and past the last one to the address of the connection, so that nothing malformed
 *   makes one client look like several
 * - `Forwarded` (RFC 7239) counts where no `X-Forwarded-…` header says anything of the kind. Where
 *   both name a client and differ, one of them was passed on unseen, and neither is believed: the
 *   address of the connection counts
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
  /** The one that was asked for, or the scheme's own. */
  readonly port: number;
  /** Canonical; "unknown" when the connection is gone. */
  readonly clientAddress: string;
  /** What limits count by: an IPv4 address, or the /64 of an IPv6 address. */
  readonly clientNetwork: string;
  /** What takes turns: an IPv4 address, or the /48 of an IPv6 address. */
  readonly clientSite: string;
}

export interface HostAndPort {
  readonly host: string;
  readonly port: number | undefined;
}

type Scheme = RequestOrigin["scheme"];

/** The part of a request that is looked at. */
export type OriginRequest = Pick<IncomingMessage, "headers" | "rawHeaders" | "httpVersion" | "socket">;

/**
 * Undefined for a request that names no host, several, or one that is none: it is malformed (RFC
 * 9112, 3.2).
 */
export function requestOrigin(request: OriginRequest, trustedProxies: number): RequestOrigin | undefined {
  const own = ownHost(request);
  if (own === undefined) return undefined;
  const direct: Scheme = (request.socket as { encrypted?: boolean }).encrypted === true ? "https" : "http";
  const peer = parseClientAddress(request.socket.remoteAddress);
  if (trustedProxies === 0) return origin(direct, own, undefined, peer);
  const said = forwardedBy(request, trustedProxies);
  const host = said.host ?? own;
  const port = host.port ?? said.port;
  return origin(said.scheme ?? (port === 443 ? "https" : direct), host, said.port, said.client ?? peer);
}

const DEFAULT_PORTS = { http: 80, https: 443 } as const;

function origin(
  scheme: Scheme,
  { host, port }: HostAndPort,
  forwardedPort: number | undefined,
  client: ClientAddress | undefined,
): RequestOrigin {
  const otherHop = DEFAULT_PORTS[scheme === "http" ? "https" : "http"];
  const told = port ?? forwardedPort ?? otherHop;
  return {
    scheme,
    host,
    port: told === otherHop ? DEFAULT_PORTS[scheme] : told,
    clientAddress: client?.address ?? "unknown",
    clientNetwork: client?.network ?? "unknown",
    clientSite: client?.site ?? "unknown",
  };
}

/** HTTP/1.0 knows no `Host`; a request of it may leave the host out, and means this server. */
function ownHost({ headers, rawHeaders, httpVersion }: OriginRequest): HostAndPort | undefined {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2)
    if (rawHeaders[index]?.toLowerCase() === "host") hosts += 1;
  if (hosts > 1) return undefined;
  if (headers.host === undefined)
    return httpVersion === "1.0" ? { host: "localhost", port: undefined } : undefined;
  return parseHost(headers.host);
}

/** `host[:port]` as a URL would have it. Undefined for anything that is not just that. */
export function parseHost(text: string): HostAndPort | undefined {
  // Node reads headers byte by byte; a name beyond ASCII comes in UTF-8.
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
  // A proxy that sets one of these headers does not speak RFC 7239.
  const scheme = wordOf(listOf(headers["x-forwarded-proto"]), readScheme, proxies);
  const host = wordOf(listOf(headers["x-forwarded-host"]), parseHost, proxies);
  const port = wordOf(listOf(headers["x-forwarded-port"]), readPort, proxies);
  const standard = scheme === undefined && host === undefined && port === undefined ? elements : [];
  return {
    scheme: scheme ?? wordOf(standard, ({ proto = "" }) => readScheme(proto), proxies),
    host: host ?? wordOf(standard, (element) => parseHost(element.host ?? ""), proxies),
    port,
    client: clientOf(headers["x-forwarded-for"]?.toString(), elements, socket.remoteAddress, proxies),
  };
}

/**
 * The outermost proxy's word; past what cannot be read, the next nearer proxy's. What the client
 * sent before is not read.
 */
function wordOf<Entry, T>(
  list: readonly Entry[],
  read: (entry: Entry) => T | undefined,
  proxies: number,
): T | undefined {
  for (const entry of list.slice(-proxies)) {
    const word = read(entry);
    if (word !== undefined) return word;
  }
  return undefined;
}

function clientOf(
  header: string | undefined,
  elements: readonly ForwardedElement[],
  peer: string | undefined,
  proxies: number,
): ClientAddress | undefined {
  // An empty entry is a proxy that knew nothing, not one that was not there.
  const two = wordOf(elements, (element) => parseClientAddress(element.for), proxies);
  if (header === undefined) return two;
  const one = wordOf(header.split(","), (entry) => parseClientAddress(unquoted(entry)), proxies);
  if (elements.some((element) => element.for !== undefined) && one?.network !== two?.network)
    return parseClientAddress(peer);
  return one;
}

/** The entries of one or more header lines, those that are empty left out. */
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

/** What one proxy says in `Forwarded`. */
interface ForwardedElement {
  readonly for?: string;
  readonly host?: string;
  readonly proto?: string;
}

const PAIR = /^\s*([!#$%&'*+.^_`|~\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s",;]*)\s*(?=[;,]|$)/;

/**
 * `for=192.0.2.1;proto=https, For="[2001:db8::1]:4711"`: an element for each proxy, in order. What
 * cannot be read spoils its own element alone, which then says nothing.
 */
export function parseForwarded(header: string): readonly ForwardedElement[] {
  const elements: ForwardedElement[] = [];
  let rest = header;
  let element: Record<string, string> = {};
  let spoiled = false;
  const finish = (): void => {
    elements.push(spoiled ? {} : element);
    element = {};
    spoiled = false;
  };
  if (rest.trim() === "") return [];
  while (rest !== "") {
    const pair = PAIR.exec(rest);
    if (pair !== null) {
      const [all, name = "", value = ""] = pair;
      const key = name.toLowerCase();
      // Where there are two, one of them is not the proxy's.
      if (key in element) spoiled = true;
      element[key] = value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
      rest = rest.slice(all.length);
    } else {
      const junk = /^[^;,]*/.exec(rest)?.[0] ?? "";
      if (junk.trim() !== "") spoiled = true;
      rest = rest.slice(junk.length);
    }
    const separator = rest[0];
    rest = rest.slice(1);
    if (separator === "," || rest === "") finish();
  }
  return elements;
}
