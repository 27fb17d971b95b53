/**
 * A gateway is the process that accepts connections for the sockets of one endpoint, and owns their
 * writer. Transports accept the connections; the gateway starts their processes, closes silent
 * ones, and drains all of them when it stops.
 *
 * An endpoint has one in its own thread, or several, each in a thread of its own; see
 * gateway-supervisor.ts.
 */
import type { Server as HttpServer } from "node:http";
import { PubSub } from "simurgh/pubsub";
import {
  DynamicSupervisor,
  type From,
  GenServer,
  type GenServerModule,
  onExit,
  outside,
  type Pid,
  type RuntimeNode,
  self,
  send,
  sendAfter,
  thisNode,
  trapExit,
} from "simurgh/runtime";
import { DEFAULT_BACKLOG } from "../channel/credit-window.js";
import { drainRound, endpointStarted, type Limit, limitHit } from "../channel/instrumentation.js";
import { SocketNotification } from "../channel/messages.js";
import type { ConnectSocket } from "../channel/socket.js";
import { Writer } from "../fanout/connection-writer.js";
import { loadSocket } from "../socket/define-socket.js";
import type { DrainOptions } from "../socket/drain.js";
import { planDrain } from "../socket/drain.js";
import { startSocket } from "../socket/socket-server.js";
import type { SocketKind, SocketStart, Transport } from "../socket/socket-state.js";
import type { Rate } from "../socket/token-bucket.js";
import { requestAddress } from "../transports/handshake.js";
import type { GatewayHost, GatewayOptions, LiveConnection, MountedSocket } from "../transports/host.js";
import { close, isServerModule, keepAlive, listen, makeServer, SHARED } from "../transports/http-server.js";
import { RequestInterceptor } from "../transports/intercept.js";
import { LongPollListener, shortestIdleTimeout } from "../transports/long-poll/listener.js";
import type { SessionAnswer, SessionRequest } from "../transports/long-poll/session.js";
import { shortestTimeout, WebSocketListener } from "../transports/websocket/listener.js";

const DEFAULT_MESSAGE_RATE: Rate = { perSecond: 2000, burst: 4000 };
const DEFAULT_JOIN_RATE: Rate = { perSecond: 100, burst: 500 };

/** Milliseconds in which frames already received from a client are answered before it is closed. */
const ANSWER_MS = 100;

/** Milliseconds for HTTP requests in progress to finish once all connections are gone. */
export const REQUEST_GRACE_MS = 2000;

/** The state of the gateway, which the callbacks of the HTTP server use outside of the process. */
class Gateway implements GatewayHost {
  readonly options: GatewayOptions;
  readonly server: HttpServer;
  readonly node: RuntimeNode = thisNode();
  readonly writer = new Writer(this.node);
  readonly live = new Map<number, LiveConnection>();
  readonly longPolls: LongPollListener;
  readonly requests: RequestInterceptor;
  readonly sweepEvery: number;
  draining = false;
  #sweptAt = performance.now();
  /** The last sweep was skipped. */
  #sweptLate = false;
  /** Connections that have had a limit logged. */
  readonly #limitLogged = new Set<number>();
  readonly #kinds = new Map<string, SocketKind>();
  readonly #detach: (() => void)[] = [];
  /** Connections that are being closed, with the timer of their next step. */
  readonly #leaving = new Map<LiveConnection, NodeJS.Timeout>();
  #stopped: Promise<number> | undefined;

  constructor(options: GatewayOptions, server: HttpServer, mounted: readonly MountedSocket[]) {
    this.options = options;
    this.server = server;
    this.sweepEvery = Math.max(
      20,
      Math.min(5000, Math.floor(Math.min(shortestTimeout(mounted), shortestIdleTimeout(mounted)) / 4)),
    );
    const websockets = new WebSocketListener(this, mounted);
    server.on("upgrade", websockets.onUpgrade);
    this.#detach.push(() => server.off("upgrade", websockets.onUpgrade));
    this.longPolls = new LongPollListener(this, mounted);
    this.requests = new RequestInterceptor(server, (request, response) => {
      const address = requestAddress(request, options.trustProxy);
      if (address === undefined) {
        response.writeHead(400, { connection: "close" }).end("The request needs one valid Host header.");
        return true;
      }
      return this.longPolls.take(request, response, address) || websockets.take(request, response, address);
    });
    this.#detach.push(() => this.requests.detach());
    this.#detach.push(
      this.node.onNodeDown(({ index, creation }) => {
        this.writer.dropLanesOf(index, creation);
        const notification = new SocketNotification({ type: "node_down", node: index });
        outside(() => {
          for (const { pid } of this.live.values()) send(pid, notification);
        });
      }),
    );
  }

  async startSocket(
    mounted: MountedSocket,
    socket: ConnectSocket,
    { serializer, expiresAt }: { readonly serializer: string; readonly expiresAt: number | undefined },
    connection: number,
    transport: Transport,
  ): Promise<Pid> {
    const kind = this.#kindOf(mounted);
    const start: SocketStart = {
      kind,
      socket,
      serializerName: serializer,
      expiresAt,
      connection,
      transport,
    };
    const started = await DynamicSupervisor.startChild(this.options.socketsSupervisor, {
      id: connection,
      start: [startSocket, [start]],
      restart: "temporary",
      shutdown: 5000,
    });
    if (Array.isArray(started) && started[0] === "ok") {
      const pid = started[1] as Pid;
      if (start.isReady === false) await GenServer.call(pid, ["ready"]);
      return pid;
    }
    throw new Error("the process of a connection did not start", { cause: started });
  }

  /** The part that all connections of a mount share. */
  #kindOf({ mount, path, definition }: MountedSocket): SocketKind {
    let kind = this.#kinds.get(path);
    if (kind === undefined) {
      const { options, writer } = this;
      kind = {
        definition,
        mount: path,
        pubsub: options.pubsub,
        writer,
        maxChannels: mount.maxChannelsPerTransport ?? 100,
        messageRate: mount.messageRate ?? DEFAULT_MESSAGE_RATE,
        joinRate: mount.joinRate ?? DEFAULT_JOIN_RATE,
        backlogLimits: {
          frames: mount.maxWaiting ?? DEFAULT_BACKLOG.frames,
          bytes: mount.maxWaitingBytes ?? DEFAULT_BACKLOG.bytes,
        },
        invalidFrames: mount.invalidFrames ?? "close",
        shardOf: (topic) => PubSub.ownerOf(options.pubsub, topic),
      };
      this.#kinds.set(path, kind);
    }
    return kind;
  }

  notice(level: "info" | "warning" | "error", text: string, error?: unknown): void {
    const metadata = { endpoint: this.options.endpoint, ...(error === undefined ? {} : { error }) };
    this.node.report({ kind: "notice", level, text, pid: undefined, metadata });
  }

  limit(connection: number | undefined, limit: Limit): void {
    limitHit(this.options.endpoint, limit);
    if (connection !== undefined && this.#limitLogged.has(connection)) return;
    if (connection !== undefined) this.#limitLogged.add(connection);
    this.notice("warning", `a client exceeded the limit ${limit} of its mount`);
  }

  relay(node: number, request: SessionRequest): Promise<SessionAnswer | null> {
    const gateway = { name: gatewayName(this.options.endpoint), node };
    const message: GatewayRequest = ["session", request];
    return GenServer.call(gateway, message, Number.POSITIVE_INFINITY);
  }

  /** Closes connections that have been silent for too long. */
  sweep(): void {
    for (const connection of this.#limitLogged)
      if (!this.live.has(connection)) this.#limitLogged.delete(connection);
    const now = performance.now();
    const late = now - this.#sweptAt > 2 * this.sweepEvery;
    this.#sweptAt = now;
    // The thread was blocked: frames that clients sent meanwhile are read only after this sweep, so
    // connections are judged at the next one.
    if (late && !this.#sweptLate) this.#sweptLate = true;
    else {
      this.#sweptLate = false;
      for (const live of [...this.live.values()]) live.sweep(now);
    }
  }

  /**
   * Accepts no more connections and closes the existing ones with 1012, as planned by `planDrain`.
   * Resolves with their number once they are gone, or after `shutdownMs`.
   */
  async drain(options: DrainOptions): Promise<number> {
    this.draining = true;
    void this.requests.drain();
    const begun = performance.now();
    const until = begun + options.shutdownMs;
    const all = [...this.live.values()];
    const plan = planDrain(all.length, options);
    let next = 0;
    for (const [index, { at, times }] of plan.entries()) {
      await pause(begun + at - performance.now());
      const { length: count } = times;
      const round = { count, total: all.length, index: index + 1, rounds: plan.length };
      drainRound(this, round, options.batchIntervalMs);
      for (const time of times) {
        this.#closeGracefully(all[next] as LiveConnection, begun + time - performance.now());
        next += 1;
      }
    }
    while (this.live.size > 0 && performance.now() < until) {
      // Connections whose handshake was in progress.
      for (const live of [...this.live.values()])
        if (!this.#leaving.has(live)) this.#closeGracefully(live, 0);
      await pause(5);
    }
    for (const live of [...this.live.values()]) live.terminate();
    this.#cancelAll();
    return all.length;
  }

  /** Closes a connection, after answering the frames received before. */
  #closeGracefully(live: LiveConnection, after: number): void {
    if (this.#leaving.has(live)) return;
    const close = (): void => void send(live.pid, new SocketNotification({ type: "drain" }));
    const quiesce = (): void => {
      live.quiesce();
      this.#leaving.set(live, setTimeout(close, ANSWER_MS));
    };
    this.#leaving.set(live, setTimeout(quiesce, Math.max(0, after - ANSWER_MS)));
  }

  #cancelAll(): void {
    for (const timer of this.#leaving.values()) clearTimeout(timer);
    this.#leaving.clear();
  }

  /** Where the server listens; null while it does not. */
  get address(): { readonly host: string; readonly port: number } | null {
    const address = this.server.address();
    return address === null || typeof address === "string"
      ? null
      : { host: address.address, port: address.port };
  }

  /** Drains all connections and closes the port. Resolves with the number of connections. */
  stop(): Promise<number> {
    this.#stopped ??= (async () => {
      const { listen, drainer } = this.options;
      if (listen === undefined) return this.drain(drainer);
      // Long-poll clients need the port until they are closed; without them it is closed at once.
      const finish = this.longPolls.sessions.size === 0 ? close(this.server) : undefined;
      const count = await this.drain(drainer);
      await (finish ?? close(this.server))(this.requests.drain(), REQUEST_GRACE_MS);
      return count;
    })();
    return this.#stopped;
  }

  detach(): void {
    for (const undo of this.#detach.splice(0)) undo();
    this.#cancelAll();
    if (this.options.listen !== undefined) this.server.close();
  }
}

/** The calls of a gateway. */
export type GatewayRequest =
  | readonly ["info"]
  | readonly ["address"]
  | readonly ["drain", Partial<DrainOptions>]
  | readonly ["session", SessionRequest]
  | readonly ["stop"];

export interface GatewayInfo {
  readonly connections: number;
  readonly lanes: number;
  readonly draining: boolean;
}

const server: GenServerModule<Gateway, GatewayOptions> = {
  name: "Gateway",

  async init(options) {
    const { endpoint, sockets, checkOrigin, drainer, server: given } = options;
    endpointStarted(endpoint, { sockets: Object.keys(sockets), checkOrigin, drainer });
    const mounted: MountedSocket[] = [];
    for (const [path, mount] of Object.entries(options.sockets)) {
      mounted.push({ path, mount, definition: await loadSocket(String(mount.module)) });
    }
    const http = given === undefined || isServerModule(given) ? await makeServer(given, endpoint) : given;
    const gateway = new Gateway(options, http, mounted);
    onExit(self(), () => gateway.detach());
    sendAfter(self(), "sweep", gateway.sweepEvery);
    // So that a shutdown by the supervisor runs `terminate`, which drains.
    trapExit(true);
    if (options.listen !== undefined) keepAlive(http, options.listen);
    if (options.listen !== undefined) await listen(http, options.listen, options.shared ? SHARED : undefined);
    return ["ok", gateway];
  },

  handleCall(request: GatewayRequest, from: From, gateway) {
    switch (request[0]) {
      case "info": {
        const { live, writer, draining } = gateway;
        return ["reply", { connections: live.size, lanes: writer.laneCount, draining }, gateway];
      }
      case "address":
        return ["reply", gateway.address, gateway];
      case "drain": {
        const options = { ...gateway.options.drainer, ...request[1] };
        void gateway.drain(options).then((count) => GenServer.reply(from, count));
        return ["noreply", gateway];
      }
      case "session": {
        // Not awaited: a poll may take its whole window.
        const answered = gateway.node.run(() => gateway.longPolls.sessions.handle(request[1]));
        answered.then(
          (answer) => GenServer.reply(from, answer),
          () => GenServer.reply(from, null),
        );
        return ["noreply", gateway];
      }
      case "stop":
        void gateway.stop().then((count) => GenServer.reply(from, count));
        return ["noreply", gateway];
      default:
        return ["reply", ["error", "unknown request"], gateway];
    }
  },

  handleInfo(message, gateway) {
    if (message === "sweep") {
      gateway.sweep();
      sendAfter(self(), "sweep", gateway.sweepEvery);
    }
    return ["noreply", gateway];
  },

  async terminate(_reason, gateway) {
    await gateway.stop();
  },

  formatStatus: ({ state }) => ({ endpoint: state.options.endpoint, connections: state.live.size }),
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

export const startGateway = (options: GatewayOptions): ReturnType<typeof GenServer.startLink> =>
  GenServer.startLink(server, options, { name: gatewayName(options.endpoint) });

export const gatewayName = (endpoint: string): string => `${endpoint}.gateway`;
