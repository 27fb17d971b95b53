/**
 * The NATS engine, which is the recommended one. Core NATS carries each message only to nodes that
 * subscribe to its slot; nothing is stored.
 *
 *     const adapter = natsAdapter({ url: "nats://127.0.0.1:4222", nodeName: "a" });
 *     PubSub.childSpec({ name: "pubsub", adapter });
 *
 * One connection carries everything, so that order is kept. A second one sends only heartbeats, so
 * that they come back to the first, to which the server does not send its own messages. Server
 * settings that matter: `write_deadline: "2s"`, because a frozen node delays the others for ten
 * seconds otherwise, and `max_payload` of at least 320 KiB.
 */
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { ConnectionOptions, NatsConnection, Subscription, TlsOptions } from "@nats-io/transport-node";
import { backoff } from "simurgh/runtime";
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
export interface NatsConnectOptions {
  /** `nats://[user:password@|token@]host:port`, several separated by commas; `tls://` for TLS. */
  readonly url: string;
  /** Begins every subject. Nodes of one cluster have the same. Default "simurgh". */
  readonly prefix?: string;
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** Contents of a credentials file (JWT and NKey). */
  readonly creds?: string;
  /** Seed of an NKey. */
  readonly nkeySeed?: string;
  /**
   * Certificates: `ca`, `cert` and `key` as text, or `caFile`, `certFile` and `keyFile`;
   * `handshakeFirst`.
   */
  readonly tls?: TlsOptions;
}

export interface NatsAdapterOptions extends EngineAdapterOptions, NatsConnectOptions {}

export const natsAdapter = (options: NatsAdapterOptions): AdapterFactory =>
  engineAdapter("nats", natsEngine(options), options);

const CONNECT_MS = 5000;
/** Between two attempts to connect, the first time and after NATS's client has given up. */
const REDIAL_MS = 250;
const LONGEST_REDIAL_MS = 5000;
const PROBE_MS = 2000;
/** The longest that `close` waits for the server to have everything that was published before. */
const CLOSE_MS = 2000;

type Nats = typeof import("@nats-io/transport-node");

export function natsEngine(options: NatsConnectOptions & { readonly nodeName?: string }): OpenEngine {
  return async (events, { connectLazily }) => {
    const nats = await importOptional(
      "NATS",
      "@nats-io/transport-node",
      () => import("@nats-io/transport-node"),
    );
    const engine = new NatsEngine(nats, options, connectOptions(nats, options), events);
    await engine.open(connectLazily);
    return engine;
  };
}

function connectOptions(
  nats: Nats,
  options: NatsConnectOptions & { readonly nodeName?: string },
): ConnectionOptions {
  const servers: string[] = [];
  let { user, pass, token } = options;
  let tls = options.tls;
  for (const text of options.url.split(",")) {
    let url: URL;
    try {
      url = new URL(text.trim());
    } catch {
      throw new ClusterError("the url of NATS is not one; write nats://host:4222");
    }
    if (!/^(nats|tls|nats\+tls):$/.test(url.protocol) || url.host === "")
      throw new ClusterError(`the url of NATS must look like nats://host:4222, not ${url.protocol}//…`);
    if (url.protocol !== "nats:") tls ??= {};
    if (url.username !== "" && url.password === "") token ??= decodeURIComponent(url.username);
    else if (url.username !== "") {
      user ??= decodeURIComponent(url.username);
      pass ??= decodeURIComponent(url.password);
    }
    servers.push(url.host);
  }
  if (tls !== undefined) tls = knownByAddress(tls, servers);
  const encoder = new TextEncoder();
  return {
    servers,
    timeout: CONNECT_MS,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    // A connection that dies silently is noticed in less than 10 s, before other nodes consider
    // this one down.
    pingInterval: 3000,
    maxPingOut: 2,
    waitOnFirstConnect: false,
    ...(options.nodeName === undefined ? {} : { name: options.nodeName }),
    ...(user === undefined ? {} : { user }),
    ...(pass === undefined ? {} : { pass }),
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
    ...(options.creds === undefined
      ? {}
      : { authenticator: nats.credsAuthenticator(encoder.encode(options.creds)) }),
    ...(options.nkeySeed === undefined
      ? {}
      : { authenticator: nats.nkeyAuthenticator(encoder.encode(options.nkeySeed)) }),
  };
}

/**
 * For a server with an IP address NATS's client expects the name localhost in the certificate; this
 * checks the address instead.
 */
function knownByAddress(tls: TlsOptions, servers: readonly string[]): TlsOptions {
  const hosts = servers.map((server) => new URL(`tcp://${server}`).hostname.replace(/^\[|\]$/g, ""));
  const addresses = hosts.filter((host) => isIP(host) !== 0);
  if (addresses.length === 0) return tls;
  const check = (host: string, certificate: PeerCertificate): Error | undefined => {
    const names = host === "localhost" && !hosts.includes(host) ? addresses : [host];
    const refusals = names.map((name) => checkServerIdentity(name, certificate));
    return refusals.includes(undefined) ? undefined : refusals[0];
  };
  return { checkServerIdentity: check, ...tls } as TlsOptions;
}

interface Listening {
  readonly receive: (bytes: Uint8Array) => void;
  subscription: Subscription | undefined;
}

class NatsEngine implements Engine {
  readonly #nats: Nats;
  readonly #prefix: string;
  readonly #shown: string;
  readonly #options: ConnectionOptions;
  readonly #events: EngineEvents;
  readonly #subscriptions = new Map<string, Listening>();
  #connection: NatsConnection | undefined;
  #prober: NatsConnection | undefined;
  #up = false;
  #closed = false;
  #redial: NodeJS.Timeout | undefined;
  #limit = limitFor(1024 * 1024);

  constructor(
    nats: Nats,
    { url, prefix = "simurgh" }: NatsConnectOptions,
    options: ConnectionOptions,
    events: EngineEvents,
  ) {
    this.#nats = nats;
    this.#prefix = prefix;
    this.#shown = url.split(",").map(redactUrl).join(",");
    this.#options = options;
    this.#events = events;
  }

  get limit(): number {
    return this.#limit;
  }

  async open(connectLazily: boolean): Promise<void> {
    const first = this.#dial();
    if (!connectLazily) return first;
    // The node runs without the others meanwhile, and nothing waits for them.
    first.catch((error: Error) => this.#again(error));
  }

  async #dial(): Promise<void> {
    let connection: NatsConnection;
    try {
      connection = await this.#nats.connect({ ...this.#options, noEcho: true });
    } catch (error) {
      throw this.#explain(error);
    }
    if (this.#closed) return connection.close();
    try {
      this.#limit = limitFor(connection.info?.max_payload ?? Number.POSITIVE_INFINITY);
    } catch (error) {
      await connection.close();
      throw error;
    }
    this.#connection = connection;
    void this.#watch(connection);
    for (const channel of this.#subscriptions.keys()) this.#subscribe(channel);
    await connection.flush();
    this.#isUp();
  }

  /** Tries again until it works. Reports each reason once. */
  #again(error: Error, reported = "", tries = 0): void {
    if (this.#closed) return;
    if (error.message !== reported) this.#events.warning(error.message);
    this.#redial = setTimeout(
      () => {
        this.#dial().catch((next: Error) => this.#again(next, error.message, tries + 1));
      },
      backoff(tries, REDIAL_MS, LONGEST_REDIAL_MS),
    );
    this.#redial.unref();
  }

  /** Explains an error and what to do, without passwords. */
  #explain(error: unknown): Error {
    if (error instanceof ClusterError) return error;
    const { name, message, code } = error as NodeJS.ErrnoException;
    const at = `NATS at ${this.#shown}`;
    const trouble = explainTlsError(at, error);
    if (trouble !== undefined) return trouble;
    if (
      name === "AuthorizationError" ||
      name === "UserAuthenticationExpiredError" ||
      /authorization|authentication/i.test(message)
    )
      return new ClusterError(`${at} refuses these credentials (${message}); check user, password or token`, {
        cause: error,
      });
    // A server that needs this node's certificate closes the connection; NATS's client does not say
    // why.
    const { tls: own } = this.#options;
    const shown = own === undefined || own === null || own.cert !== undefined || own.certFile !== undefined;
    const hint = shown ? "" : "; if it asks for a certificate of this node, give one as tls.cert and tls.key";
    return new ClusterError(
      `${at} cannot be reached (${code ?? message}); check the url, and that nats-server runs and may be reached from here${hint}`,
      { cause: error },
    );
  }

  async #watch(connection: NatsConnection): Promise<void> {
    void connection.closed().then((error) => {
      if (this.#closed || this.#connection !== connection) return;
      // NATS's client has given up, as it does when credentials are refused twice.
      this.#connection = undefined;
      this.#isDown("closed");
      this.#again(
        error instanceof Error
          ? this.#explain(error)
          : new ClusterError(`NATS at ${this.#shown} has closed the connection`),
      );
    });
    for await (const status of connection.status()) {
      if (this.#connection !== connection) return;
      switch (status.type) {
        case "disconnect":
          this.#isDown("disconnected");
          break;
        case "reconnect":
          this.#limit = Math.min(
            this.#limit,
            limitFor(Math.max(connection.info?.max_payload ?? 0, 320 * 1024)),
          );
          // NATS's client has subscribed again; the answer to this shows that the server knows.
          await connection.flush().then(
            () => this.#isUp(),
            () => {},
          );
          break;
        case "error":
          this.#events.warning(`NATS: ${status.error.message}`);
          break;
      }
    }
  }

  #isUp(): void {
    if (this.#up || this.#closed) return;
    this.#up = true;
    this.#events.up();
  }

  #isDown(why: string): void {
    if (!this.#up) return;
    this.#up = false;
    this.#events.down(why);
  }

  #subject(channel: string): string {
    return `${this.#prefix}.${channel}`;
  }

  #subscribe(channel: string): void {
    const subscriptions = this.#subscriptions.get(channel) as Listening;
    subscriptions.subscription = this.#connection?.subscribe(this.#subject(channel), {
      callback: (error, message) => {
        // An error is a refused subscription, which the status reports, too.
        if (error === null) subscriptions.receive(message.data);
      },
    });
  }

  publish(channel: string, bytes: Uint8Array): void {
    if (this.#up) this.#connection?.publish(this.#subject(channel), bytes);
  }

  async flushed(): Promise<void> {
    await this.#connection?.flush();
  }

  async subscribe(channel: string, receive: (bytes: Uint8Array) => void): Promise<void> {
    this.#subscriptions.get(channel)?.subscription?.unsubscribe();
    this.#subscriptions.set(channel, { receive, subscription: undefined });
    if (this.#connection === undefined) return;
    this.#subscribe(channel);
    if (this.#up) await this.#connection.flush();
  }

  unsubscribe(channel: string): void {
    this.#subscriptions.get(channel)?.subscription?.unsubscribe();
    this.#subscriptions.delete(channel);
  }

  async probe(channel: string, bytes: Uint8Array): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("the prober is not answered")), PROBE_MS);
    });
    try {
      await Promise.race([this.#probe(channel, bytes), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #probe(channel: string, bytes: Uint8Array): Promise<void> {
    if (this.#prober === undefined || this.#prober.isClosed()) {
      const prober = await this.#nats.connect({
        ...this.#options,
        name: `${this.#options.name ?? ""} heartbeat`,
      });
      if (this.#closed) return prober.close();
      if (this.#prober !== undefined && !this.#prober.isClosed()) await prober.close();
      else this.#prober = prober;
    }
    this.#prober?.publish(this.#subject(channel), bytes);
    await this.#prober?.flush();
  }

  resubscribe(): void {
    for (const [channel, { subscription }] of this.#subscriptions) {
      subscription?.unsubscribe();
      this.#subscribe(channel);
    }
  }

  reconnect(): void {
    this.#connection?.reconnect().catch(() => {});
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#redial);
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    const connection = this.#connection;
    if (this.#up && connection !== undefined) await Promise.race([connection.flush().catch(() => {}), late]);
    this.#up = false;
    await Promise.race([Promise.all([connection?.close(), this.#prober?.close()]), late]);
  }
}
