/**
 * Checks the `Origin` header of a handshake: which pages may connect (Phoenix: `check_origin`).
 * Browsers send the header with every WebSocket handshake; a request without it does not come from
 * a page and is allowed.
 */
import { BadArg } from "simurgh/runtime";
import { parseHost, type RequestOrigin } from "./request-origin.js";

/**
 * - `true`: the origin's host must be the endpoint's own host
 * - `false`: every origin is allowed
 * - `"conn"`: scheme, host and port must be those of the request itself
 * - a list of `scheme://host[:port]` or `//host[:port]`, host possibly `*.example.com`
 * - a function of the parsed origin
 */
export type CheckOrigin = boolean | "conn" | readonly string[] | ((origin: ParsedOrigin) => boolean);

export interface ParsedOrigin {
  /** As sent. */
  readonly text: string;
  readonly scheme: string | undefined;
  readonly host: string | undefined;
  /** Explicit, or the default of the scheme. */
  readonly port: number | undefined;
}

const DEFAULT_PORTS: Record<string, number> = { http: 80, https: 443, ws: 80, wss: 443 };

export function parseOrigin(text: string): ParsedOrigin {
  const match = /^(?:([a-z][a-z0-9+.-]*):)?\/\/(.*)$/i.exec(text);
  const given = match === null ? undefined : parseHost(match[2] as string);
  if (given === undefined) return { text, scheme: undefined, host: undefined, port: undefined };
  const scheme = match?.[1]?.toLowerCase();
  return { text, scheme, host: given.host, port: given.port ?? DEFAULT_PORTS[scheme ?? ""] };
}

/** Validates the option. Throws `BadArg` for an entry without a host. */
export function checkOriginOption(option: unknown): asserts option is CheckOrigin {
  if (typeof option === "boolean" || option === "conn" || typeof option === "function") return;
  if (!Array.isArray(option))
    throw new BadArg('badarg: checkOrigin must be true, false, "conn", a list of origins or a function');
  for (const entry of option) {
    if (typeof entry !== "string" || parseOrigin(entry).host === undefined) {
      throw new BadArg(
        `badarg: the checkOrigin entry ${JSON.stringify(entry)} has no host; write "//example.com" or "https://example.com"`,
      );
    }
  }
}

function matchesEntry(entry: string, origin: ParsedOrigin): boolean {
  const allowed = parseOrigin(entry);
  if (allowed.scheme !== undefined && allowed.scheme !== origin.scheme) return false;
  if (allowed.port !== undefined && allowed.port !== origin.port) return false;
  const host = allowed.host as string;
  if (!host.startsWith("*.")) return origin.host === host;
  const domain = host.slice(2);
  return origin.host === domain || (origin.host?.endsWith(`.${domain}`) ?? false);
}

/** Whether a handshake with this `Origin` header is allowed. */
export function originAllowed(
  option: CheckOrigin,
  header: string | undefined,
  request: Pick<RequestOrigin, "scheme" | "host" | "port">,
  endpointHost: string | null,
): boolean {
  if (header === undefined || option === false) return true;
  const origin = parseOrigin(header);
  if (typeof option === "function") return option(origin) === true;
  if (origin.host === undefined) return false;
  if (option === true)
    return endpointHost === null || origin.host === (parseHost(endpointHost)?.host ?? endpointHost);
  if (option === "conn")
    return origin.host === request.host && origin.scheme === request.scheme && origin.port === request.port;
  return option.some((entry) => matchesEntry(entry, origin));
}
