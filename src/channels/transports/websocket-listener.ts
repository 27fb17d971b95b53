/**
 * Takes WebSocket handshakes from an `http.Server`, on the paths of the mounted sockets, and gives each connection its
 * process.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket as NetSocket } from "node:net";
import type { Duplex } from "node:stream";
import { exit, onExit, outside, type Pid, send } from "simurgh/runtime";
import { type WebSocket, WebSocketServer } from "ws";
import {
  authToken,
  checkRequestOrigin,
  type Handshake,
  handshake,
  offeredProtocols,
  requestAddress,
  type Target,
} from "../handshake.js";
import { logRequest } from "../logging.js";
import type { GatewayHost, MountedSocket, WebSocketOptions } from "../mount.js";
import { type ResolvedTransport, resolveTransport } from "../mount-options.js";
import { type MountPath, mountPath } from "../mount-path.js";
import { DEFAULT_WEBSOCKET_LIMITS, ServerWebSocket, WebSocketConnection } from "./websocket.js";

const DEFAULT_HANDSHAKE_MS = 10_000;
const DEFAULT_TIMEOUT_MS = 60_000;

interface Listening extends Target {
  /** Where its handshakes come to. */
  readonly at: MountPath;
  readonly options: WebSocketOptions;
  readonly wss: WebSocketServer;
}

export class WebSocketListener {
  readonly #host: GatewayHost;
  readonly #sockets: readonly Listening[];

  constructor(host: GatewayHost, mounted: readonly MountedSocket[]) {
    this.#host = host;
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
        // ws bounds what a message may inflate to by maxPayload, too.
        perMessageDeflate: websocket.compress ?? false,
        maxPayload,
        skipUTF8Validation: websocket.validateUtf8 === false,
        WebSocket: ServerWebSocket,
        // A browser fails the connection unless one of the protocols it offered is chosen (C-072).
        handleProtocols: (offered) =>
          protocolsOf(resolved, websocket)?.find((protocol) => offered.has(protocol)) ?? false,
      });
      return [
        { ...socket, resolved, at: mountPath(path, websocket.path ?? "/websocket"), options: websocket, wss },
      ];
    });
  }

  #find(url: URL): readonly [Listening, Readonly<Record<string, string>>] | undefined {
    for (const target of this.#sockets) {
      const params = target.at.match(url.pathname);
      if (params !== undefined) return [target, params];
    }
    return undefined;
  }

  /** Answers a plain request to one of its paths: 400, and why, to whoever might have connected (C-053). */
  take(request: IncomingMessage, response: ServerResponse, url: URL): boolean {
    const found = this.#find(url);
    if (found === undefined) return false;
    const [target, params] = found;
    logRequest(this.#host, target.resolved.transportLog, request);
    const answer = (status: number, body = ""): void => {
      if (!response.headersSent) response.writeHead(status, { connection: "close" }).end(body);
    };
    this.#host.node
      .run(() => this.#check(target, request, url, params))
      .then(
        (shaken) => (shaken.ok ? answer(400, defectOf(request)) : answer(shaken.status, shaken.body)),
        (error: unknown) => {
          this.#host.notice("error", "connect crashed", error);
          answer(500);
        },
      );
    return true;
  }

  readonly onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const { options, node, server } = this.#host;
    const url = requestAddress(request, options.trustProxy);
    if (url === undefined) {
      refuse(socket, 400);
      return;
    }
    const found = this.#find(url);
    if (found === undefined) {
      // Somebody else's path, unless nobody else listens.
      if (server.listenerCount("upgrade") === 1) refuse(socket, 404);
      return;
    }
    const [target, params] = found;
    logRequest(this.#host, target.resolved.transportLog, request);
    socket.on("error", () => socket.destroy());
    const timer = outside(() =>
      setTimeout(() => {
        this.#host.limit(undefined, "handshake_time");
        refuse(socket, 408);
      }, target.options.handshakeMs ?? DEFAULT_HANDSHAKE_MS),
    );
    timer.unref();
    node
      .run(() => this.#connect(target, request, socket as NetSocket, head, url, params))
      .catch((error: unknown) => {
        this.#host.notice("error", "connect crashed", error);
        refuse(socket, 500);
      })
      .finally(() => clearTimeout(timer));
  };

  async #connect(
    target: Listening,
    request: IncomingMessage,
    netSocket: NetSocket,
    head: Buffer,
    url: URL,
    params: Readonly<Record<string, string>>,
  ): Promise<void> {
    const host = this.#host;
    const shaken = await this.#check(target, request, url, params);
    if (!shaken.ok) {
      if (!target.options.refuseByClose || shaken.reason === undefined)
        return refuse(netSocket, shaken.status, shaken.body);
      const why = typeof shaken.reason === "string" ? shaken.reason : (JSON.stringify(shaken.reason) ?? "");
      target.wss.handleUpgrade(request, netSocket, head, (ws) => ws.close(4403, why.slice(0, 120)));
      return;
    }
    if (netSocket.destroyed || host.draining) return refuse(netSocket, 503);
    // The process first, then the answer: a client that knows it is connected is listened to, on its id topic too.
    const id = host.writer.reserve();
    let connection: WebSocketConnection | undefined;
    const pid = await host.startSocket(target, shaken.socket, shaken, id, {
      name: "websocket",
      handled: () => connection?.handled(),
      close: (code, reason) => connection?.close(code, reason),
    });
    if (!netSocket.destroyed) {
      target.wss.handleUpgrade(request, netSocket, head, (ws) => {
        connection = outside(() => this.#open(ws, netSocket, target, id, pid));
      });
    }
    // Not a valid handshake (ws has answered it), or the client has gone meanwhile.
    if (connection === undefined) exit(pid, "kill");
  }

  /** Everything that is looked at before a handshake is answered, in Phoenix's order (C-054). */
  async #check(
    target: Listening,
    request: IncomingMessage,
    url: URL,
    params: Readonly<Record<string, string>>,
  ): Promise<Handshake> {
    const host = this.#host;
    if (host.draining) return { ok: false, status: 503, body: "" };
    if (request.method !== "GET") return { ok: false, status: 400, body: "" };
    if (!checkRequestOrigin(host, target, request, url)) return { ok: false, status: 403, body: "" };
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
    return handshake(host, target, request, url, params, "websocket", token);
  }

  #open(
    ws: WebSocket,
    netSocket: NetSocket,
    { options }: Listening,
    id: number,
    pid: Pid,
  ): WebSocketConnection {
    const { writer, live } = this.#host;
    const connection = new WebSocketConnection(
      ws,
      netSocket,
      { ...DEFAULT_WEBSOCKET_LIMITS, ...options },
      () => this.#host.limit(id, "outbound_bytes"),
    );
    const timeout = options.timeout ?? DEFAULT_TIMEOUT_MS;
    writer.open(id, connection);
    live.set(id, {
      pid,
      sweep(now) {
        if (now - connection.heardAt(now) > timeout) connection.close(1002, "idle timeout");
      },
      terminate: () => connection.terminate(),
    });
    ws.on("error", (error: Error & { code?: string }) => {
      if (error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") this.#host.limit(id, "frame_size");
    });
    // These callbacks may run in the context of whichever process began to listen; they speak for none.
    ws.on("message", (data: Buffer, isBinary: boolean) => {
      connection.received();
      outside(() => send(pid, isBinary ? new Uint8Array(data) : data.toString("utf8")));
    });
    ws.on("close", () => {
      live.delete(id);
      writer.close(id);
      outside(() => send(pid, ["transport closed", "normal"]));
    });
    onExit(pid, () => {
      // Whatever ended the process, its client must not be left with a connection nobody reads.
      connection.close(1011, "connection process ended");
      writer.close(id);
    });
    return connection;
  }
}

/** The sub-protocols a socket speaks; undefined when it does not care (C-075, C-077). */
const protocolsOf = (
  { authToken: takesToken }: ResolvedTransport,
  { subprotocols }: WebSocketOptions,
): readonly string[] | undefined =>
  takesToken
    ? ["phoenix", ...(subprotocols ?? [])]
    : subprotocols === undefined
      ? undefined
      : [...subprotocols];

/** What a plain request lacks of a WebSocket handshake. */
function defectOf({ headers }: IncomingMessage): string {
  const has = (name: string, part: string): boolean =>
    (headers[name] ?? "").toString().toLowerCase().includes(part);
  if (!has("connection", "upgrade"))
    return `'connection' header must contain 'upgrade', got ${JSON.stringify(headers.connection ?? null)}`;
  if (!has("upgrade", "websocket"))
    return `'upgrade' header must contain 'websocket', got ${JSON.stringify(headers.upgrade ?? null)}`;
  return "not a valid WebSocket handshake";
}

/** How often connections must be looked at to keep the shortest of these timeouts. */
export const shortestTimeout = (mounted: readonly MountedSocket[]): number =>
  Math.min(
    ...mounted.map(
      ({ mount }) => (mount.websocket === false ? undefined : mount.websocket?.timeout) ?? DEFAULT_TIMEOUT_MS,
    ),
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

/** Answers a handshake with plain HTTP and ends the connection. Once per connection. */
function refuse(socket: Duplex, status: number, body = ""): void {
  if (socket.destroyed || socket.writableEnded) return;
  const head = [
    `HTTP/1.1 ${status} ${TEXTS[status] ?? ""}`.trimEnd(),
    "connection: close",
    ...(body === "" ? [] : ["content-type: text/plain; charset=utf-8"]),
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
