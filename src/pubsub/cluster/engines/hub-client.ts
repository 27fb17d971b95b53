/**
 * The engine of nodes that are processes of one machine, connected by a hub; see hub.ts.
 *
 *     PubSub.childSpec({ name: "pubsub", adapter: hubAdapter({ path, nodeName: "worker 1" }) });
 */
import { connect, type Socket } from "node:net";
import { backoff, outside } from "simurgh/runtime";
import type { AdapterFactory } from "../../adapter.js";
import { ClusterError, type Engine, type EngineEvents, limitFor, type OpenEngine } from "../engine.js";
import { type EngineAdapterOptions, engineAdapter } from "../engine-adapter.js";
import { HubFrames, hubFrame, Kind } from "./hub-frames.js";

/** Plain data: it is sent to threads. */
export interface HubConnectOptions {
  /** The path that `startHub` returned. */
  readonly path: string;
}

export interface HubAdapterOptions extends EngineAdapterOptions, HubConnectOptions {}

export const hubAdapter = (options: HubAdapterOptions): AdapterFactory =>
  engineAdapter("hub", hubEngine(options), options);

const REDIAL_MS = 100;
const LONGEST_REDIAL_MS = 2000;
/** The longest that `close` waits for the hub to have everything that was published before. */
const CLOSE_MS = 2000;

export const hubEngine =
  ({ path, prefix = "" }: HubConnectOptions & { readonly prefix?: string }): OpenEngine =>
  async (events, { connectLazily }) => {
    if (typeof path !== "string" || path === "")
      throw new ClusterError("the hub needs a path: the one that startHub() gave");
    const engine = new HubClient(path, prefix, events);
    const opening = engine.open();
    // The node runs without the others meanwhile, and nothing waits for them.
    if (connectLazily) {
      void opening.then((failed) => failed !== undefined && events.down(failed));
      return engine;
    }
    const failed = await opening;
    if (failed === undefined) return engine;
    await engine.close();
    throw new ClusterError(`the hub at ${path} cannot be reached (${failed}); startHub() starts one`);
  };

interface Asked {
  resolve(): void;
  reject(error: Error): void;
}

class HubClient implements Engine {
  readonly limit = limitFor(1024 * 1024);
  readonly #path: string;
  readonly #prefix: string;
  readonly #events: EngineEvents;
  readonly #subscriptions = new Map<string, (bytes: Uint8Array) => void>();
  readonly #asked = new Map<number, Asked>();
  #nextAsked = 1;
  #socket: Socket | undefined;
  #up = false;
  #closed = false;
  #redial: NodeJS.Timeout | undefined;
  /** Attempts to connect since the last success. */
  #tries = 0;

  constructor(path: string, prefix: string, events: EngineEvents) {
    this.#path = path;
    this.#prefix = prefix;
    this.#events = events;
  }

  /** Resolves once connected, or with why the first attempt failed; it keeps trying. */
  open(): Promise<string | undefined> {
    return new Promise((resolve) => outside(() => this.#dial(resolve)));
  }

  #dial(first: (failed: string | undefined) => void = () => {}): void {
    const socket = connect(this.#path);
    const frames = new HubFrames();
    let why = "it was closed";
    this.#socket = socket;
    socket.on("data", (chunk) => {
      if (!frames.read(chunk, ({ kind, channel, bytes }) => this.#hear(kind, channel, bytes))) {
        why = "it sent a malformed frame";
        socket.destroy();
      }
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      why = error.code ?? error.message;
    });
    socket.on("close", () => {
      for (const { reject } of this.#asked.values()) reject(new Error(why));
      this.#asked.clear();
      first(why);
      if (this.#closed) return;
      if (this.#up) {
        this.#up = false;
        this.#events.down(why);
      }
      this.#redial = setTimeout(() => this.#dial(), backoff(this.#tries, REDIAL_MS, LONGEST_REDIAL_MS));
      this.#tries += 1;
    });
    socket.on("connect", () => {
      this.resubscribe();
      this.flushed().then(
        () => {
          if (this.#closed) return;
          this.#up = true;
          this.#tries = 0;
          this.#events.up();
          first(undefined);
        },
        () => {},
      );
    });
  }

  #hear(kind: number, channel: string, bytes: Uint8Array): void {
    if (kind === Kind.message) this.#subscriptions.get(channel)?.(bytes);
    if (kind !== Kind.flushed || bytes.length !== 4) return;
    const number = Buffer.from(bytes).readUInt32BE(0);
    this.#asked.get(number)?.resolve();
    this.#asked.delete(number);
  }

  publish(channel: string, bytes: Uint8Array): void {
    this.#write(Kind.publish, this.#prefix + channel, bytes);
  }

  flushed(): Promise<void> {
    const number = this.#nextAsked;
    this.#nextAsked = (number + 1) >>> 0;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(number, 0);
    return new Promise((resolve, reject) => {
      if (this.#socket?.writable !== true) return reject(new Error("the hub is away"));
      this.#asked.set(number, { resolve, reject });
      this.#write(Kind.flush, "", bytes);
    });
  }

  async subscribe(channel: string, receive: (bytes: Uint8Array) => void): Promise<void> {
    const name = this.#prefix + channel;
    this.#subscriptions.set(name, receive);
    // A socket that connects later sends all subscriptions then.
    if (this.#socket?.readyState !== "open") return;
    this.#write(Kind.listen, name);
    await this.flushed().catch(() => {});
  }

  unsubscribe(channel: string): void {
    if (this.#subscriptions.delete(this.#prefix + channel))
      this.#write(Kind.unsubscribe, this.#prefix + channel);
  }

  probe(channel: string, bytes: Uint8Array): Promise<void> {
    this.#write(Kind.probe, this.#prefix + channel, bytes);
    return this.flushed();
  }

  resubscribe(): void {
    for (const channel of this.#subscriptions.keys()) this.#write(Kind.listen, channel);
  }

  reconnect(): void {
    this.#socket?.destroy();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#redial);
    let late: NodeJS.Timeout | undefined;
    const tooLate = new Promise<void>((resolve) => {
      late = setTimeout(resolve, CLOSE_MS);
    });
    await Promise.race([this.flushed().catch(() => {}), tooLate]);
    clearTimeout(late);
    this.#socket?.destroy();
  }

  /** Everything written in one turn of the event loop is sent together. */
  #write(kind: number, channel: string, bytes?: Uint8Array): void {
    const socket = this.#socket;
    if (socket?.writable !== true) return;
    if (socket.writableCorked === 0) {
      socket.cork();
      setImmediate(() => socket.uncork());
    }
    socket.write(hubFrame(kind, channel, bytes));
  }
}
