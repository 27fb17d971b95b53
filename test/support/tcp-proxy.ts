/**
 * A link between a client and a server that a test can spoil: cut (both ends are notified), stall
 * (no one is notified: the half-open link of a closed laptop), refuse, slow down.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

interface Link {
  readonly number: number;
  readonly client: Socket;
  readonly upstream: Socket;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #target: number;
  #stalled = false;
  #refusing = false;
  #delayMs = 0;
  /** Connections accepted so far, those refused included. */
  accepted = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  static async start(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Open links. */
  get links(): number {
    return this.#links.size;
  }

  /** From now on nothing passes, on old links and new ones, and no one is notified. */
  stall(): void {
    this.#stalled = true;
    for (const { client, upstream } of this.#links) {
      client.pause();
      upstream.pause();
    }
  }

  /** What was held back passes, and all that follows. */
  resume(): void {
    this.#stalled = false;
    for (const { client, upstream } of this.#links) {
      client.resume();
      upstream.resume();
    }
  }

  /**
   * From now on nothing that the target says gets through on the link that was accepted as the
   * `n`th, from 1; what is said to it does.
   */
  mute(n: number): void {
    for (const { client, upstream, number } of this.#links) {
      if (number !== n) continue;
      upstream.removeAllListeners("data");
      upstream.on("data", () => {});
      upstream.resume();
      client.resume();
    }
  }

  /** Resets every open link; new ones are accepted. */
  cut(): void {
    for (const { client, upstream } of this.#links) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  }

  /** While on, a new connection is reset at once. */
  refuse(on: boolean): void {
    this.#refusing = on;
  }

  /** Milliseconds by which every piece of data is late, each way. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cut();
    await closed;
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    if (this.#refusing) {
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    const link = { number: this.accepted, client, upstream };
    this.#links.add(link);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.setNoDelay(true);
      // Timers of one length fire in the order in which they were set, so a late link keeps its
      // order.
      const later = (work: () => void): void => {
        if (this.#delayMs === 0) work();
        else setTimeout(work, this.#delayMs);
      };
      from.on("data", (data: Buffer) => later(() => to.write(data)));
      from.on("end", () => later(() => to.end()));
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#links.delete(link);
        later(() => to.destroy());
      });
      if (this.#stalled) from.pause();
    }
  }
}
