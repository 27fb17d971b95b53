/**
 * The handshake of a client: the checks that every transport makes, in Phoenix's order: origin,
 * token, version, `connect`, `id`. The first check that fails decides the response.
 */

import type { IncomingMessage } from "node:http";
import { show } from "#runtime";
import { connected } from "../channel/instrumentation.js";
import { badReturn, CONNECT_RESULTS } from "../channel/results.js";
import type { ConnectSocket } from "../channel/socket.js";
import { isVersion, negotiate } from "../protocol/serializers.js";
import { originAllowed } from "../socket/check-origin.js";
import type { RequestAddress } from "../socket/connect-info.js";
import { connectInfo } from "../socket/connect-info.js";
import { connectParams } from "../socket/connect-params.js";
import type { ConnectResult } from "../socket/define-socket.js";
import type { ResolvedTransport } from "../socket/mount-options.js";
import { requestOrigin } from "../socket/request-origin.js";
import type { GatewayHost, MountedSocket } from "./host.js";

export type Handshake =
  | {
      readonly ok: true;
      readonly socket: ConnectSocket;
      readonly serializer: string;
      /** When the connection expires, in ms since the epoch. */
      readonly expiresAt: number | undefined;
    }
  | { readonly ok: false; readonly status: number; readonly body: string; readonly reason?: unknown };

const refused = (status: number, body = ""): Handshake => ({ ok: false, status, body });

/** A transport of a mounted socket, with the options of the checks. */
export interface Target extends MountedSocket {
  readonly resolved: ResolvedTransport;
}

/** Checks the origin of a request. When it is refused, the log says which option to change. */
export function checkRequestOrigin(
  host: GatewayHost,
  { resolved }: Target,
  request: IncomingMessage,
  address: RequestAddress,
): boolean {
  if (originAllowed(resolved.checkOrigin, request.headers.origin, address, host.options.host)) return true;
  host.notice(
    "error",
    `a socket was refused: its origin ${request.headers.origin} is not allowed; the request was for ${address.scheme}://${address.host}:${address.port}. Set checkOrigin to allow it`,
  );
  return false;
}

/**
 * Runs the checks that follow those of origin and sub-protocol. `token` is null when the client
 * sent none, undefined when it cannot be decoded. Returns a promise only when `connect` does.
 */
export function handshake(
  host: GatewayHost,
  { definition, resolved, path }: Target,
  request: IncomingMessage,
  address: RequestAddress,
  pathParams: Readonly<Record<string, string>>,
  transport: "websocket" | "longpoll",
  token: string | null | undefined,
): Handshake | Promise<Handshake> {
  if (token === undefined) return refused(403);
  const { endpoint } = host.options;
  const asked = connectParams(address.query);
  if (asked === undefined) return refused(400);
  const params = { ...asked, ...pathParams };
  const listed = connectInfo(resolved.connectInfo, request, address, { endpoint, csrf: resolved.checkCsrf });
  const info = resolved.authToken ? { ...listed, authToken: token } : listed;
  const vsn = params.vsn ?? "1.0.0";
  const serializer = negotiate(resolved.serializers, vsn);
  if (serializer === undefined) {
    const requirements = resolved.serializers.map(([, requirement]) => requirement).join(", ");
    const why = isVersion(vsn)
      ? `the requested transport version ${JSON.stringify(vsn)} does not match the server's version requirements (${requirements})`
      : `Client sent invalid transport version ${JSON.stringify(vsn)}; it must be one such as "2.0.0"`;
    host.notice("warning", `a socket was refused: ${why}`);
    return refused(403);
  }
  const bare: ConnectSocket = { assigns: {}, endpoint, transport, id: null };
  const startedAt = performance.now();
  const decide = (result: ConnectResult): Handshake => {
    if (result?.type !== "ok" && result?.type !== "error") {
      host.notice("error", badReturn("connect", result, CONNECT_RESULTS).message);
      return refused(403);
    }
    connected({
      endpoint,
      path,
      transport,
      params,
      info,
      vsn: show(vsn),
      serializer: serializer.name,
      result: result.type,
      log: resolved.log,
      durationMs: performance.now() - startedAt,
    });
    if (result.type === "error") {
      const answer = result.reason === undefined ? undefined : resolved.errorHandler?.(result.reason);
      return { ok: false, status: answer?.status ?? 403, body: answer?.body ?? "", reason: result.reason };
    }
    const id = definition.id?.(result.socket) ?? null;
    if (id !== null && typeof id !== "string") {
      host.notice("warning", `id must return a string or null, it returned ${show(id)}`);
      return refused(403);
    }
    const { assigns } = result.socket;
    return {
      ok: true,
      socket: { assigns, endpoint, transport, id },
      serializer: serializer.name,
      expiresAt: result.expiresAt,
    };
  };
  const result = definition.connect(params, bare, info);
  const isLate = typeof (result as PromiseLike<unknown> | undefined)?.then === "function";
  return isLate ? Promise.resolve(result).then(decide) : decide(result as ConnectResult);
}

/** Undefined for a request without a valid host. */
export function requestAddress(
  request: IncomingMessage,
  trustProxy: boolean | number,
): RequestAddress | undefined {
  const origin = requestOrigin(request, Number(trustProxy));
  if (origin === undefined) return undefined;
  const target = request.url ?? "/";
  const mark = target.indexOf("?");
  // Not parsed as a URL, which would remove dot segments and their encodings.
  return mark < 0
    ? { ...origin, path: target, query: "" }
    : { ...origin, path: target.slice(0, mark), query: target.slice(mark + 1) };
}

const TOKEN_PREFIX = "base64url.bearer.phx.";

const allProtocols = (request: IncomingMessage): string[] =>
  (request.headers["sec-websocket-protocol"] ?? "")
    .split(",")
    .map((protocol) => protocol.trim())
    .filter(Boolean);

/** The sub-protocols that a client offers, without its token when it has exactly one. */
export function offeredProtocols(request: IncomingMessage): string[] {
  const all = allProtocols(request);
  const others = all.filter((protocol) => !protocol.startsWith(TOKEN_PREFIX));
  return others.length === all.length - 1 ? others : all;
}

/**
 * The token among the sub-protocols: null when there is none, undefined when it cannot be decoded.
 */
export function authToken(request: IncomingMessage): string | null | undefined {
  const tokens = allProtocols(request).filter((protocol) => protocol.startsWith(TOKEN_PREFIX));
  if (tokens.length !== 1) return null;
  return decodeBase64((tokens[0] as string).slice(TOKEN_PREFIX.length));
}

/** Decodes Base64 of either alphabet, with or without padding. Undefined for anything else. */
function decodeBase64(encoded: string): string | undefined {
  const [, digits = "", padding = ""] = /^([A-Za-z0-9+/_-]+)(={0,2})$/.exec(encoded) ?? [];
  const excess = digits.length % 4;
  if (digits === "" || excess === 1) return undefined;
  if (padding !== "" && excess + padding.length !== 4) return undefined;
  return Buffer.from(digits, "base64").toString("utf8");
}
