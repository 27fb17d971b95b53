/**
 * WebSocketListener accepts the WebSocket handshakes of an `http.Server` on the paths of the
 * mounted sockets, and starts a process for each connection.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket as NetSocket } from "node:net";
import type { Duplex } from "node:stream";
import { exit, outside } from "simurgh/runtime";
import { type WebSocket, WebSocketServer } from "ws";
import { logRequest } from "../../channel/instrumentation.js";
import { CLOSE } from "../../protocol/constants.js";
import type { RequestAddress } from "../../socket/connect-info.js";
import type { WebSocketOptions } from "../../socket/mount-options.js";
import { type ResolvedTransport, resolveTransport } from "../../socket/mount-options.js";
import {
  authToken,
  checkRequestOrigin,
  type Handshake,
  handshake,
  offeredProtocols,
  requestAddress,
  type Target,
} from "../handshake.js";
import type { GatewayHost, MountedSocket } from "../host.js";
import { asksForWebSocket } from "../intercept.js";
import { type MountPath, mountPath } from "../mount-path.js";
import {
  DEFAULT_WEBSOCKET_LIMITS,
  ServerWebSocket,
  WebSocketConnection,
  type WebSocketKind,
} from "./connection.js";
import { WriteBatcher } from "./write-batcher.js";

const DEFAULT_HANDSHAKE_MS = 10_000;
const DEFAULT_TIMEOUT_MS = 60_000;
/**
 * With a sweep and the closing handshake at most 30 s, after which a client that is gone no longer
 * appears as present.
 */
const DEFAULT_PING_MS = 10_000;
const DEFAULT_PONG_MS = 12_000;
/** The only version of the WebSocket protocol (RFC 6455). */
const VERSION = "13";

interface Listening extends Target {
  /** The path of its handshakes. */
  readonly at: MountPath;
  readonly options: WebSocketOptions;
  readonly wss: WebSocketServer;
  readonly kind: WebSocketKind;
}

export class WebSocketListener {
  readonly #host: GatewayHost;
  readonly #sockets: readonly Listening[];

  constructor(host: GatewayHost, mounted: readonly MountedSocket[]) {
    this.#host = host;
    const batcher = new WriteBatcher();
    this.#sockets = mounted.flatMap((socket) => {
      const { websocket = {} } = socket.mount;
      if (websocket === false) return [];
      const { definition, mount, path } = socket;
      const resolved = resolveTransport(
        path,
        definition.options ?? {},
        mount,
        websocket,
        host.options.checkOrigin,
      );
      const maxPayload = websocket.maxFrameSize ?? 1024 * 1024;
      const wss = new WebSocketServer({
        noServer: true,
        clientTracking: false,
        // ws also applies maxPayload to the inflated size.
        perMessageDeflate: websocket.compress ?? false,
        maxPayload,
        skipUTF8Validation: websocket.validateUtf8 === false,
        WebSocket: ServerWebSocket,
      });
      const kind: WebSocketKind = {
        host,
        batcher,
        limits: { ...DEFAULT_WEBSOCKET_LIMITS, ...websocket },
        timeout: websocket.timeout ?? DEFAULT_TIMEOUT_MS,
        pingMs: websocket.pingMs ?? DEFAULT_PING_MS,
        pongMs: websocket.pongMs ?? DEFAULT_PONG_MS,
      };
      const at = mountPath(path, websocket.path ?? "/websocket");
      return [{ ...socket, resolved, at, options: websocket, wss, kind }];
    });
  }

  #find({ path }: RequestAddress): readonly [Listening, Readonly<Record<string, string>>] | undefined {
    for (const target of this.#sockets) {
      const params = target.at.match(path);
      if (params !== undefined) return [target, params];
    }
    return undefined;
  }

  /**
   * Responds to a plain request on one of its paths: with the reason (400) when the client passes
   * the checks of the handshake.
   */
  take(request: IncomingMessage, response: ServerResponse, address: RequestAddress): boolean {
    const found = this.#find(address);
    if (found === undefined) return false;
    const [target, params] = found;
    logRequest(this.#host, target.resolved.transportLog, request);
    const answer = (status: number, body = ""): void => {
      if (!response.headersSent) response.writeHead(status, { connection: "close" }).end(body);
    };
    this.#host.node
      .run(() => this.#check(target, request, address, params))
      .then(
        (result) => (result.ok ? answer(400, defectOf(request)) : answer(result.status, result.body)),
        (error: unknown) => {
          this.#host.notice("error", "connect crashed", error);
          answer(500);
        },
      );
    return true;
  }

  readonly onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const { options, node, server } = this.#host;
    const address = requestAddress(request, options.trustProxy);
    if (!asksForWebSocket(request)) {
      const ours = address !== undefined && this.#find(address) !== undefined;
      // Other listeners may support the protocol that is offered.
      if (ours || server.listenerCount("upgrade") === 1)
        void this.#host.requests.withoutUpgrade(request, socket, head);
      return;
    }
    if (address === undefined) {
      refuse(socket, 400);
      return;
    }
    const found = this.#find(address);
    if (found === undefined) {
      // Another listener's path, unless there is no other listener.
      if (server.listenerCount("upgrade") === 1) refuse(socket, 404);
      return;
    }
    const [target, params] = found;
    logRequest(this.#host, target.resolved.transportLog, request);
    socket.on("error", destroy);
    const timer = outside(() =>
      setTimeout(() => {
        this.#host.limit(undefined, "handshake_time");
        refuse(socket, 408);
      }, target.options.handshakeMs ?? DEFAULT_HANDSHAKE_MS),
    );
    timer.unref();
    node
      .run(() => this.#connect(target, request, socket as NetSocket, head, address, params))
      .then(
        () => clearTimeout(timer),
        (error: unknown) => {
          clearTimeout(timer);
          this.#host.notice("error", "connect crashed", error);
          refuse(socket, 500);
        },
      );
  };

  async #connect(
    target: Listening,
    request: IncomingMessage,
    netSocket: NetSocket,
    head: Buffer,
    address: RequestAddress,
    params: Readonly<Record<string, string>>,
  ): Promise<void> {
    const host = this.#host;
    const pending = this.#check(target, request, address, params);
    const result = pending instanceof Promise ? await pending : pending;
    if (!result.ok) {
      if (!target.options.refuseByClose || result.reason === undefined)
        return refuse(netSocket, result.status, result.body);
      const why = typeof result.reason === "string" ? result.reason : (JSON.stringify(result.reason) ?? "");
      this.#upgrade(target, request, netSocket, head, (ws) => ws.close(CLOSE.refused, why.slice(0, 120)));
      return;
    }
    if (netSocket.destroyed || host.draining) return refuse(netSocket, 503);
    // The process starts before the response: when a client is connected, its process is ready and
    // subscribed to its id.
    const connection = new WebSocketConnection(host.writer.reserve(), netSocket, target.kind);
    const pid = await host.startSocket(target, result.socket, result, connection.id, connection);
    let opened = false;
    if (!netSocket.destroyed) {
      this.#upgrade(target, request, netSocket, head, (ws) => {
        opened = true;
        outside(() => connection.open(ws as ServerWebSocket, pid));
      });
    }
    // Not a valid handshake (ws has answered it), or the client is gone.
    if (!opened) exit(pid, "kill");
  }

  /** Lets `ws` answer the handshake, with only the chosen sub-protocol in its headers. */
  #upgrade(
    { resolved, options, wss }: Listening,
    request: IncomingMessage,
    socket: NetSocket,
    head: Buffer,
    done: (ws: WebSocket) => void,
  ): void {
    const { headers } = request;
    // ws would also accept version 8.
    if (headers["sec-websocket-version"] !== VERSION) {
      const required = { "Sec-WebSocket-Version": VERSION };
      refuse(socket, 400, `'sec-websocket-version' header must equal '${VERSION}'`, required);
      return;
    }
    const offered = offeredProtocols(request);
    headers.upgrade = "websocket";
    // A browser fails the connection unless one of the protocols that it offered is chosen. `ws`
    // would refuse offers such as a Base64 token with a slash as malformed.
    const chosen = protocolsOf(resolved, options)?.find((protocol) => offered.includes(protocol));
    if (chosen === undefined) delete headers["sec-websocket-protocol"];
    else headers["sec-websocket-protocol"] = chosen;
    wss.handleUpgrade(request, socket, head, done);
  }

  /** All checks before a handshake is answered, in Phoenix's order. */
  #check(
    target: Listening,
    request: IncomingMessage,
    address: RequestAddress,
    params: Readonly<Record<string, string>>,
  ): Handshake | Promise<Handshake> {
    const host = this.#host;
    if (host.draining) return { ok: false, status: 503, body: "" };
    if (request.method !== "GET") return { ok: false, status: 400, body: "" };
    if (!checkRequestOrigin(host, target, request, address)) return { ok: false, status: 403, body: "" };
    const token = target.resolved.authToken ? authToken(request) : null;
    const allowed = protocolsOf(target.resolved, target.options);
    const offered = offeredProtocols(request);
    if (
      allowed !== undefined &&
      offered.length > 0 &&
      !allowed.some((protocol) => offered.includes(protocol))
    ) {
      host.notice(
        "error",
        `Could not check Websocket subprotocols: the client offers ${offered.join(", ")}, the socket speaks ${allowed.join(", ")}`,
      );
      return { ok: false, status: 403, body: "" };
    }
    return handshake(host, target, request, address, params, "websocket", token);
  }
}

/** The sub-protocols a socket speaks; undefined when it ignores offers. */
const protocolsOf = (
  { authToken: takesToken }: ResolvedTransport,
  { subprotocols }: WebSocketOptions,
): readonly string[] | undefined =>
  takesToken
    ? ["phoenix", ...(subprotocols ?? [])]
    : subprotocols === undefined
      ? undefined
      : [...subprotocols];

/** Why a plain request is not a WebSocket handshake. */
function defectOf({ headers }: IncomingMessage): string {
  const has = (name: string, part: string): boolean =>
    (headers[name] ?? "").toString().toLowerCase().includes(part);
  if (!has("connection", "upgrade"))
    return `'connection' header must contain 'upgrade', got ${JSON.stringify(headers.connection ?? null)}`;
  if (!has("upgrade", "websocket"))
    return `'upgrade' header must contain 'websocket', got ${JSON.stringify(headers.upgrade ?? null)}`;
  return "not a valid WebSocket handshake";
}

/** The shortest timeout of a silent connection among these sockets. */
export const shortestTimeout = (mounted: readonly MountedSocket[]): number =>
  Math.min(
    ...mounted.flatMap(({ mount: { websocket = {} } }) => {
      if (websocket === false) return [];
      const { timeout = DEFAULT_TIMEOUT_MS, pingMs = DEFAULT_PING_MS, pongMs = DEFAULT_PONG_MS } = websocket;
      return pingMs === false ? [timeout] : [timeout, pingMs, pongMs];
    }),
  );

const TEXTS: Record<number, string> = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/**
 * Shared: a closure made in `onUpgrade` would retain the request for the life of the connection.
 */
function destroy(this: Duplex): void {
  this.destroy();
}

/**
 * Refuses a handshake with an HTTP response and ends the connection. Only the first call has an
 * effect.
 */
function refuse(
  socket: Duplex,
  status: number,
  body = "",
  headers: Readonly<Record<string, string>> = {},
): void {
  if (socket.destroyed || socket.writableEnded) return;
  const head = [
    `HTTP/1.1 ${status} ${TEXTS[status] ?? ""}`.trimEnd(),
    "connection: close",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(body === "" ? [] : ["content-type: text/plain; charset=utf-8"]),
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
