/**
 * Nodes that are processes of one machine, joined by a hub; see hub.ts.
 *
 *     PubSub.childSpec({ name: "pubsub", adapter: hubAdapter({ path, nodeName: "worker 1" }) });
 */
import { connect, type Socket } from "node:net";
import { backoff, outside } from "simurgh/runtime";
import type { AdapterFactory } from "../adapter.js";
import { ClusterError, type Link, type LinkEvents, limitFor, type OpenLink } from "../engine.js";
import { type NetworkedOptions, networkedAdapter } from "../engine-adapter.js";
import { HubFrames, hubFrame, Kind } from "./hub-frames.js";

/** Plain data: it crosses to threads. */
export interface HubConnectOptions {
  /** Where the hub is: `startHub` tells. */
  readonly path: string;
}

export interface HubAdapterOptions extends NetworkedOptions, HubConnectOptions {}

export const hubAdapter = (options: HubAdapterOptions): AdapterFactory =>
  networkedAdapter("hub", hubLink(options), options);

const REDIAL_MS = 100;
const LONGEST_REDIAL_MS = 2000;
/** The longest that closing waits for the engine to take what was published before. */
const CLOSE_MS = 2000;

export const hubLink =
  ({ path, prefix = "" }: HubConnectOptions & { readonly prefix?: string }): OpenLink =>
  async (events, { patient }) => {
    if (typeof path !== "string" || path === "")
      throw new ClusterError("the hub needs a path: the one that startHub() gave");
    const link = new HubLink(path, prefix, events);
    const opening = link.open();
    // This node works alone meanwhile, and nothing waits for it.
    if (patient) {
      void opening.then((failed) => failed !== undefined && events.down(failed));
      return link;
    }
    const failed = await opening;
    if (failed === undefined) return link;
    await link.close();
    throw new ClusterError(`the hub at ${path} cannot be reached (${failed}); startHub() starts one`);
  };

interface Asked {
  resolve(): void;
  reject(error: Error): void;
}

class HubLink implements Link {
  readonly limit = limitFor(1024 * 1024);
  readonly #path: string;
  readonly #prefix: string;
  readonly #events: LinkEvents;
  readonly #listening = new Map<string, (bytes: Uint8Array) => void>();
  readonly #asked = new Map<number, Asked>();
  #nextAsked = 1;
  #socket: Socket | undefined;
  #up = false;
  #closed = false;
  #redial: NodeJS.Timeout | undefined;
  /** Attempts to connect since it was up. */
  #tries = 0;

  constructor(path: string, prefix: string, events: LinkEvents) {
    this.#path = path;
    this.#prefix = prefix;
    this.#events = events;
  }

  /** Resolves once it is up, or with why the first attempt failed; it goes on trying. */
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
        why = "it said what cannot be read";
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
      this.relisten();
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
    if (kind === Kind.message) this.#listening.get(channel)?.(bytes);
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

  async listen(channel: string, receive: (bytes: Uint8Array) => void): Promise<void> {
    const name = this.#prefix + channel;
    this.#listening.set(name, receive);
    // Once it connects, it tells the hub all channels; one that comes after that is told by itself.
    if (this.#socket?.readyState !== "open") return;
    this.#write(Kind.listen, name);
    await this.flushed().catch(() => {});
  }

  unlisten(channel: string): void {
    if (this.#listening.delete(this.#prefix + channel)) this.#write(Kind.unlisten, this.#prefix + channel);
  }

  probe(channel: string, bytes: Uint8Array): Promise<void> {
    this.#write(Kind.probe, this.#prefix + channel, bytes);
    return this.flushed();
  }

  relisten(): void {
    for (const channel of this.#listening.keys()) this.#write(Kind.listen, channel);
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

  /** What one loop run sends leaves together. */
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
