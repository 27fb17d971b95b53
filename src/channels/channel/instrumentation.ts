/**
 * What is logged and measured of connections and channels: Phoenix's log lines and telemetry
 * events, params filtered.
 *
 * A line is made only when the node logs its level; an event only when somebody listens. Topics
 * that start with `phoenix` are never logged.
 */
import type { IncomingMessage } from "node:http";
import { type ExitReason, type RuntimeNode, self, telemetry, thisNode } from "simurgh/runtime";
import { endpointConfig } from "../protocol/endpoint-config.js";
import { filterParams } from "../protocol/param-filter.js";
import type { ChannelSocket } from "./socket.js";

/** Up to a thousand microseconds, then whole milliseconds. */
export function duration(ms: number): string {
  const micros = Math.round(ms * 1000);
  return micros <= 1000 ? `${micros}µs` : `${Math.floor(ms)}ms`;
}

export type LogLevel = "debug" | "info" | "warning" | "error";

/** An endpoint's gateway, as far as it says something in the log. */
interface Notices {
  readonly node: RuntimeNode;
  readonly options: { readonly endpoint: string };
  notice(level: "info" | "warning" | "error", text: string): void;
}

function write(level: LogLevel | false, endpoint: string, text: () => string): void {
  const node = thisNode();
  if (level === false || !node.logs(level)) return;
  node.report({ kind: "notice", level, text: text(), pid: self(), metadata: { endpoint } });
}

const shown = (endpoint: string, params: unknown): string => {
  const filtered = filterParams(params, endpointConfig(endpoint).filterParameters);
  try {
    return JSON.stringify(filtered) ?? "null";
  } catch {
    return "[not JSON]";
  }
};

export interface Connected {
  readonly endpoint: string;
  /** Where the socket is mounted. */
  readonly path: string;
  readonly transport: string;
  readonly params: unknown;
  readonly info: unknown;
  readonly vsn: string;
  readonly serializer: string;
  readonly result: "ok" | "error";
  readonly log: LogLevel | false;
  readonly durationMs: number;
}

/** A client has been let in or refused by `connect`. */
export function connected(event: Connected): void {
  const { durationMs, info, ...metadata } = event;
  telemetry.emit("phoenix.socket_connected", { duration: durationMs }, { ...metadata, connectInfo: info });
  const { endpoint, path, transport, params, serializer, result, log } = event;
  write(log, endpoint, () => {
    const verdict = result === "ok" ? "CONNECTED TO" : "REFUSED CONNECTION TO";
    return `${verdict} ${path} in ${duration(durationMs)}\n  Transport: ${transport}\n  Serializer: ${serializer}\n  Parameters: ${shown(endpoint, params)}`;
  });
}

const isQuiet = (topic: string): boolean => topic.startsWith("phoenix");

/** A join was answered; told before the answer goes out. */
export function joinAnswered(
  socket: ChannelSocket,
  params: unknown,
  result: "ok" | "error",
  durationMs: number,
  log: LogLevel | false,
): void {
  telemetry.emit("phoenix.channel_joined", { duration: durationMs }, { params, socket, result });
  if (isQuiet(socket.topic)) return;
  write(log, socket.endpoint, () => {
    const verdict = result === "ok" ? "JOINED" : "REFUSED JOIN";
    return `${verdict} ${socket.topic} in ${duration(durationMs)}\n  Parameters: ${shown(socket.endpoint, params)}`;
  });
}

const handledInEvent = telemetry.named("phoenix.channel_handled_in");

/**
 * Whether anybody wants to know of handled events: their callers skip the clock when nobody does.
 */
export const handledInIsWatched = (log: LogLevel | false): boolean =>
  handledInEvent.observed || (log !== false && thisNode().logs(log));

/** An event of a client was handled. */
export function handledIn(
  socket: ChannelSocket,
  channel: string,
  event: string,
  params: unknown,
  durationMs: number,
  log: LogLevel | false,
): void {
  handledInEvent.emit({ duration: durationMs }, { event, params, ref: socket.ref, socket });
  if (isQuiet(socket.topic)) return;
  write(
    log,
    socket.endpoint,
    () =>
      `HANDLED ${event} INCOMING ON ${socket.topic} (${channel}) in ${duration(durationMs)}\n  Parameters: ${shown(socket.endpoint, params)}`,
  );
}

/** A channel has ended (not Phoenix's own event). */
export function channelEnded(socket: ChannelSocket, reason: ExitReason): void {
  telemetry.emit("phoenix.channel_ended", { count: 1 }, { socket, reason });
}

/** An endpoint is about to accept connections. */
export function endpointStarted(endpoint: string, config: Readonly<Record<string, unknown>>): void {
  telemetry.emit("phoenix.endpoint_init", { systemTime: Date.now() }, { endpoint, pid: self(), config });
}

/** A connection has ended (not Phoenix's own event). */
export function transportClosed(
  endpoint: string,
  transport: string,
  id: string | null,
  reason: ExitReason,
): void {
  telemetry.emit("phoenix.transport_closed", { count: 1 }, { endpoint, transport, id, reason });
}

/** The request as it came, for who asked for it. Cookies and authorization are left out. */
export function logRequest(host: Notices, level: LogLevel | false, request: IncomingMessage): void {
  if (level === false || !host.node.logs(level)) return;
  const { cookie: _cookie, authorization: _authorization, ...headers } = request.headers;
  host.node.report({
    kind: "notice",
    level,
    text: `${request.method} ${withoutQuery(request.url)} HTTP/${request.httpVersion}`,
    pid: undefined,
    metadata: { endpoint: host.options.endpoint, headers, remoteAddress: request.socket.remoteAddress },
  });
}

/** Params are logged filtered, with the connect. */
const withoutQuery = (url = ""): string => url.split("?", 1)[0] as string;

/** A round of draining begins. */
export function drained(
  host: Notices,
  round: { readonly count: number; readonly total: number; readonly index: number; readonly rounds: number },
  intervalMs: number,
): void {
  const { endpoint } = host.options;
  telemetry.emit("phoenix.socket_drain", round, { endpoint, intervalMs });
  const { count, total, index, rounds } = round;
  if (total === 0) return;
  host.notice(
    "info",
    `DRAINING ${count} of ${total} total connection(s) for ${endpoint} every ${intervalMs}ms - round ${index} of ${rounds}`,
  );
}

/** The limits a client may run into; each is an option of its mount. */
export type Limit =
  | "frame_size"
  | "topics"
  | "messages"
  | "joins"
  | "handshake_time"
  | "outbound_bytes"
  | "body_size"
  | "body_time"
  | "sessions";

/**
 * A client has run into a limit: counted each time as `phoenix.limit`. Who logs it does so once a
 * connection.
 */
export function limitHit(endpoint: string, limit: Limit): void {
  telemetry.emit("phoenix.limit", { count: 1 }, { endpoint, limit });
}
