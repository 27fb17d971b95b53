/**
 * RequestInterceptor handles requests of certain paths before the other listeners of an HTTP
 * server, which do not see them. It tracks the requests in progress, so that a stopping server
 * closes each connection after its last response.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

export class RequestInterceptor {
  readonly #server: HttpServer;
  readonly #otherListeners: readonly Listener[];
  readonly #listener: Listener;
  readonly #inProgress = new Set<ServerResponse>();
  #draining = false;
  /** Called when no request is in progress any more. */
  #onIdle: () => void = () => {};

  /** `take` returns whether it has handled the request. */
  constructor(server: HttpServer, take: (request: IncomingMessage, response: ServerResponse) => boolean) {
    this.#server = server;
    this.#otherListeners = server.listeners("request") as Listener[];
    this.#listener = (request, response) => {
      this.#track(response);
      if (take(request, response)) return;
      for (const other of this.#otherListeners) other.call(server, request, response);
    };
    server.removeAllListeners("request");
    server.on("request", this.#listener);
  }

  #track(response: ServerResponse): void {
    this.#inProgress.add(response);
    if (this.#draining) response.setHeader("connection", "close");
    response.once("close", () => {
      this.#inProgress.delete(response);
      if (this.#inProgress.size === 0) this.#onIdle();
    });
  }

  /**
   * Makes each response the last one of its connection. Resolves when no request is in progress.
   */
  drain(): Promise<void> {
    this.#draining = true;
    for (const response of this.#inProgress)
      if (!response.headersSent) response.setHeader("connection", "close");
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      if (this.#inProgress.size === 0) resolve();
    });
  }

  /**
   * Returns a request that Node treated as an upgrade to its server as a plain one, without the
   * `Upgrade` header (RFC 9110, 7.8: a server may ignore it). Pipelined requests before it are
   * answered first.
   */
  async withoutUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", destroy);
    for (;;) {
      const before = [...this.#inProgress].find((response) => response.req.socket === request.socket);
      if (before === undefined) break;
      await new Promise((resolve) => before.once("close", resolve));
    }
    if (socket.destroyed) return;
    // The server reads the connection as it does a new one.
    socket.unshift(Buffer.concat([plainHead(request), head]));
    const { encrypted } = request.socket as { encrypted?: boolean };
    this.#server.emit(encrypted === true ? "secureConnection" : "connection", socket);
    socket.off("error", destroy);
  }

  detach(): void {
    this.#server.off("request", this.#listener);
    for (const other of this.#otherListeners) this.#server.on("request", other);
  }
}

/**
 * Whether a request is a WebSocket handshake, valid or not. Any other offer to upgrade is ignored.
 */
export const asksForWebSocket = ({ method, httpVersion, headers }: IncomingMessage): boolean =>
  method === "GET" && httpVersion !== "1.0" && listOf(headers.upgrade).includes("websocket");

const listOf = (header = ""): string[] => header.split(",").map((part) => part.trim().toLowerCase());

const OFFER = ["upgrade", "http2-settings"];

/** The head of a request as it was sent, without the headers of the upgrade. */
function plainHead({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name = "", value = ""] = rawHeaders.slice(index, index + 2);
    const key = name.toLowerCase();
    if (OFFER.includes(key)) continue;
    const left = key === "connection" ? listOf(value).filter((part) => !OFFER.includes(part)) : [value];
    if (left.length > 0) lines.push(`${name}: ${left.join(", ")}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function destroy(this: Duplex): void {
  this.destroy();
}
