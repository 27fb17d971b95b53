/** A proxy as in some companies: it understands HTTP, and lets no WebSocket through. */
import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

/**
 * What becomes of a WebSocket: it passes, is refused at once, or waits for an answer that never
 * comes.
 */
type WebSockets = "pass" | "refuse" | "swallow";

export class HttpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  webSockets: WebSockets;
  /** Long-poll is answered with 502, and nothing else is. */
  failsPolls = false;
  /** Requests for long-poll so far. */
  polls = 0;
  /** WebSockets asked for so far. */
  upgrades = 0;

  private constructor(target: number, webSockets: WebSockets) {
    this.webSockets = webSockets;
    this.#server = createServer((incoming, outgoing) => {
      if (incoming.url?.includes("/longpoll")) {
        this.polls += 1;
        if (this.failsPolls) {
          outgoing.writeHead(502).end();
          return;
        }
      }
      const { method = "GET", url = "/", headers } = incoming;
      const onward = request({ host: "127.0.0.1", port: target, method, path: url, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      onward.on("error", () => outgoing.destroy());
      outgoing.on("close", () => onward.destroy());
      incoming.pipe(onward);
    });
    this.#server.on("upgrade", (incoming, client: Socket) => {
      this.upgrades += 1;
      if (this.webSockets === "refuse") client.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
      if (this.webSockets !== "pass") return;
      const upstream = connect(target, "127.0.0.1", () => {
        const lines = incoming.rawHeaders.reduce<string[]>((all, text, n, raw) => {
          if (n % 2 === 0) all.push(`${text}: ${raw[n + 1]}`);
          return all;
        }, []);
        upstream.write([`GET ${incoming.url} HTTP/1.1`, ...lines, "", ""].join("\r\n"));
        upstream.pipe(client).pipe(upstream);
      });
      // A pipe passes on an end, not a death.
      for (const end of [upstream, client]) {
        end.on("error", () => {});
        end.on("close", () => void [upstream.destroy(), client.destroy()]);
      }
    });
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  static async start(target: number, webSockets: WebSockets): Promise<HttpProxy> {
    const proxy = new HttpProxy(target, webSockets);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends all connections; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }
}
