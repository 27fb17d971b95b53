/**
 * The options of a mounted socket, validated and merged: those of a transport win over the mount's,
 * which win over the definition's. Invalid options are errors at the start that list the allowed
 * keys.
 */

import { BadArg } from "simurgh/runtime";
import { show } from "#runtime";
import type { LogLevel } from "../channel/instrumentation.js";
import { DEFAULT_SERIALIZERS, meets, type SerializerEntry, serializerFor } from "../protocol/serializers.js";
import { type CheckOrigin, checkOriginOption } from "./check-origin.js";
import { type ConnectInfoEntry, checkConnectInfo } from "./connect-info.js";
import type { Rate } from "./token-bucket.js";

/** The options of a definition, of a mount and of one transport; the last wins. */
export interface TransportOptions {
  /**
   * Serializers by name with the versions that they serve; the first match is selected. Default: V1
   * and V2.
   */
  readonly serializers?: readonly SerializerEntry[];
  /** Overrides the endpoint's. */
  readonly checkOrigin?: CheckOrigin;
  /** Whether a session requires its CSRF token. Default true. */
  readonly checkCsrf?: boolean;
  /** What `connect` receives of the request. Default nothing. */
  readonly connectInfo?: readonly ConnectInfoEntry[];
  /**
   * Whether `connect` receives as `authToken` the token of the sub-protocol
   * `base64url.bearer.phx.<base64>`, or on long-poll of the header `x-phoenix-authtoken`. Default
   * false.
   */
  readonly authToken?: boolean;
  /** Level at which connects are logged. Default "info". */
  readonly log?: LogLevel | false;
  /** Level at which the raw request is logged. Default false. */
  readonly transportLog?: LogLevel | false;
  /** Returns the HTTP response for `error(reason)`. Default: 403 without a body. */
  readonly errorHandler?: (reason: unknown) => { readonly status: number; readonly body?: string };
}

export interface WebSocketOptions extends TransportOptions, Partial<WebSocketLimits> {
  /** Path below the socket's mount. Default "/websocket". */
  readonly path?: string;
  /**
   * Milliseconds without a byte from the client, pongs excluded, after which the connection is
   * closed. Default 60,000.
   */
  readonly timeout?: number;
  /**
   * Milliseconds without a byte from the client after which it is pinged; false for clients that
   * cannot send pongs. Default 10,000.
   */
  readonly pingMs?: number | false;
  /** Milliseconds a client has for the pong before the connection is closed. Default 12,000. */
  readonly pongMs?: number;
  /** Maximum bytes of one incoming message; more closes with 1009. Default 1 MiB. */
  readonly maxFrameSize?: number;
  /**
   * Whether clients may compress their messages. The server's are never compressed. Default false.
   */
  readonly compress?: boolean;
  /**
   * Milliseconds a handshake may take, `connect` included, before the response 408. Default 10,000.
   */
  readonly handshakeMs?: number;
  /**
   * Sub-protocols this socket speaks; a client that offers only others is refused. Default: offers
   * are ignored.
   */
  readonly subprotocols?: readonly string[];
  /**
   * Whether text that is not UTF-8 closes with 1007. Default true; otherwise it is decoded with
   * replacement characters.
   */
  readonly validateUtf8?: boolean;
  /**
   * Shows a browser why it was refused: the WebSocket is accepted and closed at once with 4403 and
   * the reason of `error(reason)`, instead of an HTTP status that no page can read. Default false.
   */
  readonly refuseByClose?: boolean;
}

export interface LongPollOptions extends TransportOptions {
  /** Path below the socket's mount. Default "/longpoll". */
  readonly path?: string;
  /**
   * Milliseconds a poll waits for a message. A session ends after one and a half times as long
   * without a poll. Default 10,000.
   */
  readonly windowMs?: number;
  /** Maximum bytes buffered between two polls; more ends the session. Default 4 MiB. */
  readonly maxBufferedBytes?: number;
  /** Maximum bytes of one request's body. Default 8,000,000. */
  readonly maxBodySize?: number;
  /** Milliseconds to receive one request's body. Default 10,000. */
  readonly bodyMs?: number;
  /** Seconds a session token is valid. Default 1,209,600, two weeks. */
  readonly maxAge?: number;
  /** Concurrent sessions of one network, per gateway; false for no limit. Default 1,000. */
  readonly maxSessionsPerNetwork?: number | false;
  /**
   * Concurrent sessions with the same socket id, per gateway; false for no limit. A new session
   * replaces one that is not polled. Default 50.
   */
  readonly maxSessionsPerId?: number | false;
  /**
   * Attempts of one network to start a session, per gateway. Default 50 a second, 500 at once;
   * false for no limit.
   */
  readonly sessionRate?: Rate | false;
}

/** What happens to a malformed frame. */
export type InvalidFrames = "close" | "reply" | "ignore";

export interface Mount extends TransportOptions {
  /** URL of the module that exports the socket definition by default. */
  readonly module: URL | string;
  /** Default on. */
  readonly websocket?: WebSocketOptions | false;
  /** Default off. */
  readonly longpoll?: LongPollOptions | boolean;
  /** Maximum topics of one connection. Default 100. */
  readonly maxChannelsPerTransport?: number;
  /**
   * Messages of one connection, heartbeats and joins excluded. Default 2,000 a second, 4,000 at
   * once; false for no limit.
   */
  readonly messageRate?: Rate | false;
  /** Joins of one connection. Default 100 a second, 500 at once; false for no limit. */
  readonly joinRate?: Rate | false;
  /**
   * Messages of one connection queued for its channels; beyond them its socket is paused. Default
   * 4,096.
   */
  readonly maxWaiting?: number;
  /** Their bytes. Default 4 MiB. */
  readonly maxWaitingBytes?: number;
  /**
   * What happens to a malformed frame: the connection closes with 1011, like Phoenix; or the frame
   * gets the error reply `{ reason: "invalid frame" }`; or it is ignored. Default "close".
   */
  readonly invalidFrames?: InvalidFrames;
}

export interface WebSocketLimits {
  /** Maximum bytes buffered for one client. Default 4 MiB. */
  readonly maxBufferedBytes: number;
  /** Frames of one client that may be unhandled before its socket is paused. Default 128. */
  readonly inboundHighWater: number;
}

const COMMON = [
  "path",
  "serializers",
  "transportLog",
  "checkOrigin",
  "checkCsrf",
  "connectInfo",
  "authToken",
  "log",
  "errorHandler",
];
const WEBSOCKET = [
  ...COMMON,
  "timeout",
  "pingMs",
  "pongMs",
  "handshakeMs",
  "maxFrameSize",
  "compress",
  "validateUtf8",
  "subprotocols",
  "refuseByClose",
  "maxBufferedBytes",
  "inboundHighWater",
];
const LONGPOLL = [
  ...COMMON,
  "windowMs",
  "maxBufferedBytes",
  "maxBodySize",
  "bodyMs",
  "maxAge",
  "maxSessionsPerNetwork",
  "maxSessionsPerId",
  "sessionRate",
];
/** Options of a mount; the common ones apply to both transports. */
const SOCKET = [
  ...COMMON.filter((key) => key !== "path"),
  "module",
  "websocket",
  "longpoll",
  "maxChannelsPerTransport",
  "messageRate",
  "joinRate",
  "maxWaiting",
  "maxWaitingBytes",
  "invalidFrames",
  "drainer",
];

/** The options of a transport with all defaults applied. */
export interface ResolvedTransport {
  readonly serializers: readonly SerializerEntry[];
  readonly checkOrigin: CheckOrigin;
  readonly checkCsrf: boolean;
  readonly connectInfo: readonly ConnectInfoEntry[];
  readonly authToken: boolean;
  readonly log: LogLevel | false;
  readonly transportLog: LogLevel | false;
  readonly errorHandler: Mount["errorHandler"];
}

function checkKeys(given: object, allowed: readonly string[], where: string): void {
  const unknown = Object.keys(given).filter((key) => !allowed.includes(key));
  if (unknown.length > 0)
    throw new BadArg(
      `badarg: unknown keys ${JSON.stringify(unknown)} in ${where}; the allowed ones are ${allowed.join(", ")}`,
    );
}

function checkLevel(level: unknown, what: string): void {
  if (
    level !== undefined &&
    level !== false &&
    !["debug", "info", "warning", "error"].includes(level as string)
  )
    throw new BadArg(
      `badarg: ${what} must be "debug", "info", "warning", "error" or false, got ${show(level)}`,
    );
}

/** Throws for unknown keys and invalid values. `path` is where the socket is mounted. */
export function checkMount(path: string, mount: Mount): void {
  const where = `the socket ${path}`;
  checkKeys(mount, SOCKET, where);
  if (mount.websocket !== undefined && typeof mount.websocket === "object")
    checkKeys(mount.websocket, WEBSOCKET, `the websocket options of ${where}`);
  const { subprotocols } = mount.websocket || {};
  if (subprotocols !== undefined && !Array.isArray(subprotocols))
    throw new BadArg(`badarg: subprotocols of ${where} must be a list, such as ["phoenix"]`);
  const { invalidFrames = "close" } = mount;
  if (!["close", "reply", "ignore"].includes(invalidFrames))
    throw new BadArg(`badarg: invalidFrames of ${where} must be "close", "reply" or "ignore"`);
  for (const key of ["maxWaiting", "maxWaitingBytes"] as const) {
    const value = mount[key];
    if (value !== undefined && (!Number.isInteger(value) || value < 1))
      throw new BadArg(`badarg: ${key} of ${where} must be a positive integer, got ${String(value)}`);
  }
  if (mount.longpoll !== undefined && typeof mount.longpoll === "object")
    checkKeys(mount.longpoll, LONGPOLL, `the longpoll options of ${where}`);
  for (const options of [mount, mount.websocket, mount.longpoll]) {
    if (typeof options !== "object") continue;
    if (options.checkOrigin !== undefined) checkOriginOption(options.checkOrigin);
    if (options.connectInfo !== undefined) checkConnectInfo(options.connectInfo);
    checkLevel(options.log, "log");
    checkLevel(options.transportLog, "transportLog");
  }
}

/**
 * Merges the options of one transport with those of the mount, the socket's definition and the
 * endpoint.
 */
export function resolveTransport(
  path: string,
  defaults: TransportOptions,
  mount: Mount,
  own: WebSocketOptions | LongPollOptions,
  endpointOrigin: CheckOrigin,
): ResolvedTransport {
  const pick = <K extends keyof TransportOptions>(key: K): TransportOptions[K] =>
    own[key] ?? mount[key] ?? defaults[key];
  const checkOrigin = pick("checkOrigin") ?? endpointOrigin;
  const checkCsrf = pick("checkCsrf") ?? true;
  const connectInfo = pick("connectInfo") ?? [];
  const readsSession = connectInfo.some((entry) => typeof entry === "object" && "session" in entry);
  if (checkOrigin === false && !checkCsrf && readsSession)
    throw new BadArg(
      `badarg: the socket ${path} has checkOrigin false and checkCsrf false: any page could connect with the session of its visitor; keep one of the two`,
    );
  const serializers = pick("serializers") ?? DEFAULT_SERIALIZERS;
  for (const [name, requirement] of serializers) {
    serializerFor(name);
    meets("0.0.0", requirement);
  }
  return {
    serializers,
    checkOrigin,
    checkCsrf,
    connectInfo,
    authToken: pick("authToken") ?? false,
    log: pick("log") ?? "info",
    transportLog: pick("transportLog") ?? false,
    errorHandler: pick("errorHandler"),
  };
}
