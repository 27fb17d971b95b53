/**
 * Log lines and telemetry events of connections and channels, as Phoenix has them, with filtered
 * params.
 *
 * A line is built only when the node logs its level, an event only when a handler is attached.
 * Topics that start with `phoenix` are never logged.
 */
import type { IncomingMessage } from "node:http";
import { type ExitReason, type RuntimeNode, self, telemetry, thisNode } from "simurgh/runtime";
import { PHOENIX_TOPIC } from "../protocol/constants.js";
import { endpointConfig } from "../protocol/endpoint-config.js";
import { filterParams } from "../protocol/param-filter.js";
import type { ChannelSocket } from "./socket.js";

/** Up to a thousand microseconds, then whole milliseconds. */
export function duration(ms: number): string {
  const micros = Math.round(ms * 1000);
  return micros <= 1000 ? `${micros}µs` : `${Math.floor(ms)}ms`;
}

export type LogLevel = "debug" | "info" | "warning" | "error";

/** The part of a gateway that writes to the log. */
interface LogTarget {
  readonly node: RuntimeNode;
  readonly options: { readonly endpoint: string };
  notice(level: "info" | "warning" | "error", text: string): void;
}

function write(level: LogLevel | false, endpoint: string, text: () => string): void {
  const node = thisNode();
  if (level === false || !node.isLevelEnabled(level)) return;
  node.report({ kind: "notice", level, text: text(), pid: self(), metadata: { endpoint } });
}

const shownParams = (endpoint: string, params: unknown): string => {
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

/** `connect` has accepted or refused a client. */
export function connected(event: Connected): void {
  const { durationMs, info, ...metadata } = event;
  telemetry.emit("phoenix.socket_connected", { duration: durationMs }, { ...metadata, connectInfo: info });
  const { endpoint, path, transport, params, serializer, result, log } = event;
  write(log, endpoint, () => {
    const verdict = result === "ok" ? "CONNECTED TO" : "REFUSED CONNECTION TO";
    return `${verdict} ${path} in ${duration(durationMs)}\n  Transport: ${transport}\n  Serializer: ${serializer}\n  Parameters: ${shownParams(endpoint, params)}`;
  });
}

const isQuiet = (topic: string): boolean => topic.startsWith(PHOENIX_TOPIC);

/** A join is about to be answered. */
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
    return `${verdict} ${socket.topic} in ${duration(durationMs)}\n  Parameters: ${shownParams(socket.endpoint, params)}`;
  });
}

const handledInEvent = telemetry.named("phoenix.channel_handled_in");

/** Whether handled events are logged or measured; callers read the clock only then. */
export const isHandledInObserved = (log: LogLevel | false): boolean =>
  handledInEvent.observed || (log !== false && thisNode().isLevelEnabled(log));

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
      `HANDLED ${event} INCOMING ON ${socket.topic} (${channel}) in ${duration(durationMs)}\n  Parameters: ${shownParams(socket.endpoint, params)}`,
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

/** Logs a raw request, without its cookies and authorization. */
export function logRequest(host: LogTarget, level: LogLevel | false, request: IncomingMessage): void {
  if (level === false || !host.node.isLevelEnabled(level)) return;
  const { cookie: _cookie, authorization: _authorization, ...headers } = request.headers;
  host.node.report({
    kind: "notice",
    level,
    text: `${request.method} ${withoutQuery(request.url)} HTTP/${request.httpVersion}`,
    pid: undefined,
    metadata: { endpoint: host.options.endpoint, headers, remoteAddress: request.socket.remoteAddress },
  });
}

/** Params are logged with the connect, where they are filtered. */
const withoutQuery = (url = ""): string => url.split("?", 1)[0] as string;

/** A round of draining begins. */
export function drainRound(
  host: LogTarget,
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

/** The limits that a client may exceed; each is an option of its mount. */
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
 * Emits `phoenix.limit` each time a client exceeds a limit. Callers log it once per connection.
 */
export function limitHit(endpoint: string, limit: Limit): void {
  telemetry.emit("phoenix.limit", { count: 1 }, { endpoint, limit });
}
