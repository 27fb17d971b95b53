/**
 * The Redis engine, for deployments that run Redis or Valkey already. It needs one instance, or one
 * behind Sentinel's address. Not for Redis Cluster, which carries every message to each of its
 * nodes.
 *
 *     const adapter = redisAdapter({ url: "redis://127.0.0.1:6379", nodeName: "a" });
 *     PubSub.childSpec({ name: "pubsub", adapter });
 *
 * One connection subscribes and one publishes. A publication costs the client much more than its
 * bytes, so consecutive messages on one channel are sent together. Everything published comes back
 * to this node's own subscriber, which drops it undecoded. Server setting that matters:
 * `client-output-buffer-limit pubsub`, the bytes that may wait for a slow node before it is
 * disconnected.
 */
import { randomBytes } from "node:crypto";
import type { AdapterFactory } from "../../adapter.js";
import {
  ClusterError,
  type Engine,
  type EngineEvents,
  explainTlsError,
  importOptional,
  limitFor,
  type OpenEngine,
  redactUrl,
} from "../engine.js";
import { type EngineAdapterOptions, engineAdapter } from "../engine-adapter.js";

/** Plain data: it is sent to threads. */
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

export interface RedisAdapterOptions extends EngineAdapterOptions, RedisConnectOptions {}

export const redisAdapter = (options: RedisAdapterOptions): AdapterFactory =>
  engineAdapter("redis", redisEngine(options), options);

const CONNECT_MS = 5000;
const PROBE_MS = 2000;
/** A connection is dead after so many probes in a row without an answer. */
const DEAD_PROBES = 2;
/** The longest that `close` waits for Redis to have everything that was published before. */
const CLOSE_MS = 2000;
/** Commands that may wait for an answer at once. */
const MAX_COMMANDS = 100_000;
const BATCH_BYTES = 64 * 1024;
/** In place of the sender's mark: for all subscribers, the sender included. */
const FOR_ALL = Buffer.alloc(8);

type Redis = typeof import("@redis/client");
type Client = ReturnType<Redis["createClient"]>;

export function redisEngine(options: RedisConnectOptions & { readonly nodeName?: string }): OpenEngine {
  return async (events, { connectLazily }) => {
    const redis = await importOptional("Redis", "@redis/client", () => import("@redis/client"));
    if (!/^rediss?:\/\/./.test(options.url))
      throw new ClusterError("the url of Redis must look like redis://host:6379");
    const engine = new RedisEngine(redis, options, events);
    await engine.open(connectLazily);
    return engine;
  };
}

class RedisEngine implements Engine {
  readonly limit = limitFor(1024 * 1024);
  readonly #redis: Redis;
  readonly #options: RedisConnectOptions & { readonly nodeName?: string };
  readonly #prefix: string;
  readonly #shown: string;
  readonly #events: EngineEvents;
  /** The first bytes of everything this engine publishes, so that it recognises its own. */
  readonly #mark = randomBytes(8);
  readonly #subscriptions = new Map<string, (bytes: Uint8Array) => void>();
  #subscriber: Client;
  #publisher: Client;
  #unanswered = 0;
  #answers = 0;

  #begun = false;
  #up = false;
  #closed = false;
  #reported = "";
  #batch: { readonly channel: string; readonly parts: Uint8Array[]; bytes: number } | undefined;
  #batchQueued = false;
  /** The answer to what was published last. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    redis: Redis,
    options: RedisConnectOptions & { readonly nodeName?: string },
    events: EngineEvents,
  ) {
    this.#redis = redis;
    this.#options = options;
    this.#prefix = options.prefix ?? "simurgh";
    this.#shown = redactUrl(options.url);
    this.#events = events;
    this.#publisher = this.#client("publisher");
    this.#subscriber = this.#client("subscriber");
  }

  #client(which: "subscriber" | "publisher"): Client {
    const { url, username, password, tls, nodeName } = this.#options;
    const client = this.#redis.createClient({
      url,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(nodeName === undefined ? {} : { name: `${nodeName.replace(/[^!-~]/g, "_")}:${which}` }),
      // A message that cannot be sent now is lost, not late: at most once.
      disableOfflineQueue: which === "publisher",
      commandsQueueMaxLength: MAX_COMMANDS,
      // The default is a timer for each command, after which it is silently dropped; probes notice
      // a server that is late.
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
      if (this.#begun) this.#warn(error);
    });
    for (const event of ["ready", "reconnecting", "end"]) client.on(event, () => this.#check());
    return client as Client;
  }

  async open(connectLazily: boolean): Promise<void> {
    if (connectLazily) {
      this.#begun = true;
      // The node runs without the others meanwhile, and nothing waits for them.
      Promise.all([this.#publisher.connect(), this.#subscriber.connect()]).catch((error: Error) =>
        this.#warn(error),
      );
      return;
    }
    try {
      await this.#publisher.connect();
      await this.#subscriber.connect();
      await this.#refuseCluster();
    } catch (error) {
      this.#closed = true;
      for (const client of [this.#publisher, this.#subscriber]) if (client.isOpen) client.destroy();
      throw this.#explain(error as Error);
    }
    this.#begun = true;
    this.#check();
  }

  async #refuseCluster(): Promise<void> {
    // Without the permission to ask, it is taken for a single instance.
    const info = await this.#publisher.info("cluster").catch(() => "");
    if (/cluster_enabled:1/.test(info))
      throw new ClusterError(
        `Redis at ${this.#shown} is a cluster, in which each node would get every message; use a single instance for this`,
      );
  }

  #explain(given: Error): Error {
    if (given instanceof ClusterError) return given;
    // The client wraps the error that made it give up.
    const error: NodeJS.ErrnoException = (given as { readonly originalError?: Error }).originalError ?? given;
    const at = `Redis at ${this.#shown}`;
    const tls = explainTlsError(at, error);
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

  /** Reports each reason once, until it works again; a lost connection is reported as down. */
  #warn(error: Error): void {
    const { message } = this.#explain(error);
    if (this.#closed || message === this.#reported || this.#up) return;
    this.#reported = message;
    this.#events.warning(message);
  }

  #check(): void {
    if (!this.#begun || this.#closed) return;
    const up = this.#subscriber.isReady && this.#publisher.isReady;
    if (up === this.#up) return;
    this.#up = up;
    if (up) {
      this.#reported = "";
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
      // Messages that are lost with a connection stay lost.
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
    return this.#publisher.publish(this.#name(channel), bytes);
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
        // The connection may have died silently, which TCP alone notices after minutes. A busy one
        // has answered other commands.
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

  async subscribe(channel: string, receive: (bytes: Uint8Array) => void): Promise<void> {
    this.#subscriptions.set(channel, receive);
    if (this.#subscriber.isOpen) await this.#subscribe(this.#subscriber, channel);
  }

  async #subscribe(subscriber: Client, channel: string): Promise<void> {
    await subscriber.subscribe(
      this.#name(channel),
      (bytes) => this.#take(channel, bytes as unknown as Buffer),
      true,
    );
  }

  #take(channel: string, bytes: Buffer): void {
    const receive = this.#subscriptions.get(channel);
    if (receive === undefined || bytes.length < 8 || bytes.subarray(0, 8).equals(this.#mark)) return;
    for (let offset = 8; offset + 4 <= bytes.length; ) {
      const end = offset + 4 + bytes.readUInt32BE(offset);
      // A truncated or foreign message is counted as unreadable when it is decoded.
      receive(bytes.subarray(offset + 4, end));
      offset = end;
    }
  }

  unsubscribe(channel: string): void {
    this.#subscriptions.delete(channel);
    if (this.#subscriber.isOpen) this.#subscriber.unsubscribe(this.#name(channel)).catch(() => {});
  }

  resubscribe(): void {
    const subscriber = this.#subscriber;
    for (const channel of this.#subscriptions.keys()) {
      subscriber.unsubscribe(this.#name(channel)).catch(() => {});
      this.#subscribe(subscriber, channel).catch(() => {});
    }
  }

  reconnect(): void {
    if (this.#closed) return;
    this.#unanswered = 0;
    for (const old of [this.#publisher, this.#subscriber]) {
      old.removeAllListeners();
      old.on("error", () => {});
      if (old.isOpen) old.destroy();
    }
    this.#publisher = this.#client("publisher");
    this.#subscriber = this.#client("subscriber");
    this.#check();
    for (const client of [this.#publisher, this.#subscriber])
      client.connect().catch((error: Error) => this.#warn(error));
    for (const channel of this.#subscriptions.keys())
      this.#subscribe(this.#subscriber, channel).catch(() => {});
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    if (this.#up) await Promise.race([this.flushed().catch(() => {}), late]);
    this.#closed = true;
    this.#up = false;
    for (const client of [this.#publisher, this.#subscriber]) if (client.isOpen) client.destroy();
  }
}
