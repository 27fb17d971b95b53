/**
 * Nodes joined by Redis publish/subscribe, for who runs a Redis or Valkey already. One instance, or
 * one behind Sentinel's address; not Redis Cluster, which would carry every message to each of its
 * nodes.
 *
 *     PubSub.childSpec({ name: "pubsub", adapter: redisAdapter({ url: "redis://127.0.0.1:6379", nodeName: "a" }) });
 *
 * One connection listens and one publishes. A publication costs the client much more than its
 * bytes, so what one loop run sends on one channel in a row travels together. Everything published
 * comes back to this node's own listener, which drops it unread. Server setting that matters:
 * `client-output-buffer-limit pubsub`, the bytes a slow node may be behind before it is cut off.
 */
import { randomBytes } from "node:crypto";
import type { AdapterFactory } from "../adapter.js";
import {
  ClusterError,
  type Link,
  type LinkEvents,
  limitFor,
  type OpenLink,
  shownUrl,
  tlsTrouble,
} from "../engine.js";
import { type NetworkedOptions, networkedAdapter } from "../engine-adapter.js";
import { optional } from "../packages.js";

/** Plain data: it crosses to threads. */
export interface RedisConnectOptions {
  /** `redis://[user:password@]host:port`; `rediss://` for TLS. */
  readonly url: string;
  /** Begins every channel. Nodes of one cluster have the same. Default "simurgh". */
  readonly prefix?: string;
  readonly username?: string;
  readonly password?: string;
  /** Certificates, as Node's `tls.connect` takes them: `ca`, `cert`, `key`, `servername`, … */
  readonly tls?: Readonly<Record<string, unknown>>;
}

export interface RedisAdapterOptions extends NetworkedOptions, RedisConnectOptions {}

export const redisAdapter = (options: RedisAdapterOptions): AdapterFactory =>
  networkedAdapter("redis", redisLink(options), options);

const CONNECT_MS = 5000;
const PROBE_MS = 2000;
/** Probes in a row without an answer after which a connection is dead. */
const DEAD_PROBES = 2;
/** The longest that closing waits for the engine to take what was published before. */
const CLOSE_MS = 2000;
/** Commands that may wait for an answer. */
const MAX_COMMANDS = 100_000;
const BATCH_BYTES = 64 * 1024;
/** In place of a link's own mark: for everybody, this link included. */
const FOR_ALL = Buffer.alloc(8);

type Redis = typeof import("@redis/client");
type Client = ReturnType<Redis["createClient"]>;

export function redisLink(options: RedisConnectOptions & { readonly nodeName?: string }): OpenLink {
  return async (events, { patient }) => {
    const redis = await optional("Redis", "@redis/client", () => import("@redis/client"));
    if (!/^rediss?:\/\/./.test(options.url))
      throw new ClusterError("the url of Redis must look like redis://host:6379");
    const link = new RedisLink(redis, options, events);
    await link.open(patient);
    return link;
  };
}

class RedisLink implements Link {
  readonly limit = limitFor(1024 * 1024);
  readonly #redis: Redis;
  readonly #options: RedisConnectOptions & { readonly nodeName?: string };
  readonly #prefix: string;
  readonly #shown: string;
  readonly #events: LinkEvents;
  /** Begins what this link publishes, so that it knows its own. */
  readonly #mark = randomBytes(8);
  readonly #listening = new Map<string, (bytes: Uint8Array) => void>();
  #ear: Client;
  #mouth: Client;
  #unanswered = 0;
  #answers = 0;

  #begun = false;
  #up = false;
  #closed = false;
  #told = "";
  #batch: { readonly channel: string; readonly parts: Uint8Array[]; bytes: number } | undefined;
  #batchQueued = false;
  /** The answer to what was published last. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    redis: Redis,
    options: RedisConnectOptions & { readonly nodeName?: string },
    events: LinkEvents,
  ) {
    this.#redis = redis;
    this.#options = options;
    this.#prefix = options.prefix ?? "simurgh";
    this.#shown = shownUrl(options.url);
    this.#events = events;
    this.#mouth = this.#client("mouth");
    this.#ear = this.#client("ear");
  }

  #client(which: "ear" | "mouth"): Client {
    const { url, username, password, tls, nodeName } = this.#options;
    const client = this.#redis.createClient({
      url,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(nodeName === undefined ? {} : { name: `${nodeName.replace(/[^!-~]/g, "_")}:${which}` }),
      // What could not be sent is lost, not late: at most once.
      disableOfflineQueue: which === "mouth",
      commandsQueueMaxLength: MAX_COMMANDS,
      // Its default is a timer for each command, after which the command is silently not sent; what
      // is late is seen by probes.
      commandOptions: { timeout: 0 },
      socket: {
        ...(tls === undefined ? {} : { ...tls, tls: true as const }),
        connectTimeout: CONNECT_MS,
        reconnectStrategy: (retries: number, cause: Error) =>
          this.#begun ? Math.min(250 * 2 ** Math.min(retries, 3), 2000) * (0.75 + Math.random() / 2) : cause,
      },
    });
    client.on("error", (error: Error) => {
      this.#check();
      if (this.#begun) this.#trouble(error);
    });
    for (const event of ["ready", "reconnecting", "end"]) client.on(event, () => this.#check());
    return client as Client;
  }

  async open(patient: boolean): Promise<void> {
    if (patient) {
      this.#begun = true;
      // This node works alone meanwhile, and nothing waits for it.
      Promise.all([this.#mouth.connect(), this.#ear.connect()]).catch((error: Error) => this.#trouble(error));
      return;
    }
    try {
      await this.#mouth.connect();
      await this.#ear.connect();
      await this.#refuseCluster();
    } catch (error) {
      this.#closed = true;
      for (const client of [this.#mouth, this.#ear]) if (client.isOpen) client.destroy();
      throw this.#explain(error as Error);
    }
    this.#begun = true;
    this.#check();
  }

  async #refuseCluster(): Promise<void> {
    // Who may not ask is told nothing, and uses what is there.
    const info = await this.#mouth.info("cluster").catch(() => "");
    if (/cluster_enabled:1/.test(info))
      throw new ClusterError(
        `Redis at ${this.#shown} is a cluster, in which each node would get every message; use a single instance for this`,
      );
  }

  #explain(given: Error): Error {
    if (given instanceof ClusterError) return given;
    // Its client wraps what made it give up.
    const error: NodeJS.ErrnoException = (given as { readonly originalError?: Error }).originalError ?? given;
    const at = `Redis at ${this.#shown}`;
    const tls = tlsTrouble(at, error);
    if (tls !== undefined) return tls;
    if (/WRONGPASS|NOAUTH|NOPERM|AUTH/.test(error.message))
      return new ClusterError(`${at} refuses these credentials (${error.message}); check user and password`, {
        cause: error,
      });
    return new ClusterError(
      `${at} cannot be reached (${error.code ?? error.message}); check the url, and that Redis runs${/^rediss:/.test(this.#options.url) ? ", speaks TLS" : ""} and may be reached from here`,
      { cause: error },
    );
  }

  /** Once for each reason, until it works again: a lost connection is told as such already. */
  #trouble(error: Error): void {
    const { message } = this.#explain(error);
    if (this.#closed || message === this.#told || this.#up) return;
    this.#told = message;
    this.#events.trouble(message);
  }

  #check(): void {
    if (!this.#begun || this.#closed) return;
    const up = this.#ear.isReady && this.#mouth.isReady;
    if (up === this.#up) return;
    this.#up = up;
    if (up) {
      this.#told = "";
      this.#events.up();
    } else {
      this.#batch = undefined;
      this.#events.down("disconnected");
    }
  }

  #name(channel: string): string {
    return `${this.#prefix}:${channel}`;
  }

  // ---------------------------------------------------------------- out

  publish(channel: string, bytes: Uint8Array): void {
    if (!this.#up) return;
    let batch = this.#batch;
    if (batch !== undefined && (batch.channel !== channel || batch.bytes + bytes.length > BATCH_BYTES)) {
      this.#send();
      batch = undefined;
    }
    if (batch === undefined) {
      batch = { channel, parts: [], bytes: 0 };
      this.#batch = batch;
    }
    batch.parts.push(bytes);
    batch.bytes += bytes.length;
    if (this.#batchQueued) return;
    this.#batchQueued = true;
    setImmediate(() => {
      this.#batchQueued = false;
      this.#send();
    });
  }

  #send(): void {
    const batch = this.#batch;
    if (batch === undefined || !this.#up) return;
    this.#batch = undefined;
    this.#last = this.#put(batch.channel, this.#mark, batch.parts);
    this.#last.then(
      () => {
        this.#answers += 1;
      },
      // What is lost with a connection is lost.
      () => {},
    );
  }

  #put(channel: string, mark: Uint8Array, parts: readonly Uint8Array[]): Promise<unknown> {
    const size = parts.reduce((sum, part) => sum + 4 + part.length, mark.length);
    const bytes = Buffer.allocUnsafe(size);
    bytes.set(mark, 0);
    let offset = mark.length;
    for (const part of parts) {
      bytes.writeUInt32BE(part.length, offset);
      bytes.set(part, offset + 4);
      offset += 4 + part.length;
    }
    return this.#mouth.publish(this.#name(channel), bytes);
  }

  async flushed(): Promise<void> {
    this.#send();
    await this.#last;
  }

  async probe(channel: string, bytes: Uint8Array): Promise<void> {
    if (!this.#up) throw new Error("down");
    let timer: NodeJS.Timeout | undefined;
    const answers = this.#answers;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        // A connection that is dead without a word: TCP alone would take minutes to notice. A busy
        // one has answered others.
        this.#unanswered = this.#answers === answers ? this.#unanswered + 1 : 0;
        if (this.#unanswered >= DEAD_PROBES) this.reconnect();
        reject(new Error("no answer"));
      }, PROBE_MS);
    });
    try {
      await Promise.race([this.#put(channel, FOR_ALL, [bytes]), late]);
      this.#unanswered = 0;
    } finally {
      clearTimeout(timer);
    }
  }

  // ---------------------------------------------------------------- in

  async listen(channel: string, receive: (bytes: Uint8Array) => void): Promise<void> {
    this.#listening.set(channel, receive);
    if (this.#ear.isOpen) await this.#subscribe(this.#ear, channel);
  }

  async #subscribe(ear: Client, channel: string): Promise<void> {
    await ear.subscribe(
      this.#name(channel),
      (bytes) => this.#take(channel, bytes as unknown as Buffer),
      true,
    );
  }

  #take(channel: string, bytes: Buffer): void {
    const receive = this.#listening.get(channel);
    if (receive === undefined || bytes.length < 8 || bytes.subarray(0, 8).equals(this.#mark)) return;
    for (let offset = 8; offset + 4 <= bytes.length; ) {
      const end = offset + 4 + bytes.readUInt32BE(offset);
      // Cut off or foreign: it is opened as what it is, and counted as unreadable.
      receive(bytes.subarray(offset + 4, end));
      offset = end;
    }
  }

  unlisten(channel: string): void {
    this.#listening.delete(channel);
    if (this.#ear.isOpen) this.#ear.unsubscribe(this.#name(channel)).catch(() => {});
  }

  relisten(): void {
    const ear = this.#ear;
    for (const channel of this.#listening.keys()) {
      ear.unsubscribe(this.#name(channel)).catch(() => {});
      this.#subscribe(ear, channel).catch(() => {});
    }
  }

  reconnect(): void {
    if (this.#closed) return;
    this.#unanswered = 0;
    for (const old of [this.#mouth, this.#ear]) {
      old.removeAllListeners();
      old.on("error", () => {});
      if (old.isOpen) old.destroy();
    }
    this.#mouth = this.#client("mouth");
    this.#ear = this.#client("ear");
    this.#check();
    for (const client of [this.#mouth, this.#ear])
      client.connect().catch((error: Error) => this.#trouble(error));
    for (const channel of this.#listening.keys()) this.#subscribe(this.#ear, channel).catch(() => {});
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    if (this.#up) await Promise.race([this.flushed().catch(() => {}), late]);
    this.#closed = true;
    this.#up = false;
    for (const client of [this.#mouth, this.#ear]) if (client.isOpen) client.destroy();
  }
}
