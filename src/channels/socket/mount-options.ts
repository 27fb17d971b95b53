/**
 * The options a socket is mounted with, checked and put together: what its definition says, what the mount says over it, and
 * what a transport says over both. Whatever is wrong is told at the start, with the keys that would be right.
 */
import { BadArg, show } from "simurgh/runtime";
import { DEFAULT_SERIALIZERS, meets, type SerializerEntry, serializerFor } from "../protocol/serializers.js";
import type { LongPollOptions, Mount, TransportOptions, WebSocketOptions } from "../transports/host.js";
import { type CheckOrigin, checkOriginOption } from "./check-origin.js";
import { type ConnectInfoEntry, checkConnectInfo } from "./connect-info.js";

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
/** Of the socket as a whole; the common ones stand for both transports. */
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

/** What a transport goes by, with nothing left open. */
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

export type LogLevel = "debug" | "info" | "warning" | "error";

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

/** Throws for keys nobody knows and values that cannot be. `path` is where the socket is mounted. */
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

/** The options of one transport of a mounted socket, over those of the socket's definition and of the endpoint. */
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
      `badarg: the socket ${path} has checkOrigin false and checkCsrf false: any page could connect with the session of whoever looks at it; keep one of the two`,
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
