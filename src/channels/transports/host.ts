/**
 * How a socket is mounted on an endpoint, and what the endpoint tells its transports.
 */
import type { Server as HttpServer } from "node:http";
import type { Pid, RuntimeNode } from "simurgh/runtime";
import type { Limit } from "../channel/instrumentation.js";
import type { ConnectSocket } from "../channel/socket.js";
import type { ListenOptions, ServerModule } from "../endpoint/http-server.js";
import type { Writer } from "../fanout/connection-writer.js";
import type { SerializerEntry } from "../protocol/serializers.js";
import type { CheckOrigin } from "../socket/check-origin.js";
import type { ConnectInfoEntry } from "../socket/connect-info.js";
import type { SocketDefinition } from "../socket/define-socket.js";
import type { LogLevel } from "../socket/mount-options.js";
import type { Transport } from "../socket/socket-server.js";
import type { Rate } from "../socket/token-bucket.js";
import type { RequestInterceptor } from "./intercept.js";
import type { SessionAnswer, SessionRequest } from "./long-poll/session.js";
import type { WebSocketLimits } from "./websocket/connection.js";

/** What may be said of a socket in its definition, where it is mounted, and of one transport; the latter wins. */
export interface TransportOptions {
  /** Serializers by name with the versions they stand for; the first that fits is taken. Default: V1 and V2. */
  readonly serializers?: readonly SerializerEntry[];
  /** Overrides the endpoint's. */
  readonly checkOrigin?: CheckOrigin;
  /** Whether a session is given only to who shows its CSRF token. Default true. */
  readonly checkCsrf?: boolean;
  /** What `connect` is told of the request. Default nothing. */
  readonly connectInfo?: readonly ConnectInfoEntry[];
  /** Whether a token is taken from the sub-protocol `base64url.bearer.phx.<base64>`, or on long-poll from the header
   * `x-phoenix-authtoken`, and told as `authToken`. Default false. */
  readonly authToken?: boolean;
  /** Level at which connects are logged. Default "info". */
  readonly log?: LogLevel | false;
  /** Level at which the raw request is logged. Default false. */
  readonly transportLog?: LogLevel | false;
  /** Makes the HTTP answer for `error(reason)`. Default: 403 without a body. */
  readonly errorHandler?: (reason: unknown) => { readonly status: number; readonly body?: string };
}

export interface WebSocketOptions extends TransportOptions, Partial<WebSocketLimits> {
  /** Path below the socket's mount. Default "/websocket". */
  readonly path?: string;
  /** Milliseconds without a byte from the client, answers to pings aside, after which the connection is closed. Default 60,000. */
  readonly timeout?: number;
  /**
   * Milliseconds without a byte from the client after which it is pinged; false for clients that cannot answer. Default
   * 10,000.
   */
  readonly pingMs?: number | false;
  /** Milliseconds a client has to answer a ping before the connection is closed. Default 12,000. */
  readonly pongMs?: number;
  /** Bytes of one incoming message; more closes with 1009. Default 1 MiB. */
  readonly maxFrameSize?: number;
  /** Whether clients may compress what they send. What is sent to them never is. Default false. */
  readonly compress?: boolean;
  /** Milliseconds a handshake may take, `connect` included; after that it is answered 408. Default 10,000. */
  readonly handshakeMs?: number;
  /** Sub-protocols this socket speaks; a client that offers others is refused. Default: whatever is offered is ignored. */
  readonly subprotocols?: readonly string[];
  /** Whether text that is not UTF-8 closes with 1007. Default true; without, it is read with replacement characters. */
  readonly validateUtf8?: boolean;
  /**
   * Lets a browser see why it was refused: accepts the WebSocket and closes it at once with 4403 and the reason of
   * `error(reason)`, instead of an HTTP status that no page can read. Default false.
   */
  readonly refuseByClose?: boolean;
}

export interface LongPollOptions extends TransportOptions {
  /** Path below the socket's mount. Default "/longpoll". */
  readonly path?: string;
  /** Milliseconds a poll waits for a message. A session without a poll for one and a half times as long ends. Default 10,000. */
  readonly windowMs?: number;
  /** Bytes that may wait between two polls; more ends the session. Default 4 MiB. */
  readonly maxBufferedBytes?: number;
  /** Bytes of one request's body. Default 8,000,000. */
  readonly maxBodySize?: number;
  /** Milliseconds one request's body may take to come in. Default 10,000. */
  readonly bodyMs?: number;
  /** Seconds a session token is good for. Default 1,209,600, two weeks. */
  readonly maxAge?: number;
  /** Sessions of one network at once, for each gateway; false for no limit. Default 1,000. */
  readonly maxSessionsPerNetwork?: number | false;
  /**
   * Sessions with the same socket id at once, for each gateway; false for no limit. One that is not polled gives way to a
   * new one. Default 50.
   */
  readonly maxSessionsPerId?: number | false;
  /** Attempts of one network to begin a session, for each gateway. Default 50 a second, 500 at once; false for no limit. */
  readonly sessionRate?: Rate | false;
}

/** What a client is told that sends a frame that is none. */
export type InvalidFrames = "close" | "reply" | "ignore";

export interface Mount extends TransportOptions {
  /** URL of the module that exports the socket definition by default. */
  readonly module: URL | string;
  /** Default on. */
  readonly websocket?: WebSocketOptions | false;
  /** Default off. */
  readonly longpoll?: LongPollOptions | boolean;
  /** Topics one connection may join. Default 100. */
  readonly maxChannelsPerTransport?: number;
  /** Messages one connection may send, heartbeats and joins aside. Default 2,000 a second, 4,000 at once; false for no limit. */
  readonly messageRate?: Rate | false;
  /** Joins one connection may ask for. Default 100 a second, 500 at once; false for no limit. */
  readonly joinRate?: Rate | false;
  /** Messages of one connection that may wait for its channels; beyond them it is not read. Default 4,096. */
  readonly maxWaiting?: number;
  /** Their bytes. Default 4 MiB. */
  readonly maxWaitingBytes?: number;
  /**
   * What happens over a frame that is none: the connection closes with 1011, as with Phoenix; or the frame alone is answered
   * with the error `{ reason: "invalid frame" }`, or ignored. Default "close".
   */
  readonly invalidFrames?: InvalidFrames;
}

/**
 * How connections are sent away when the endpoint stops (Phoenix.Socket's drainer): in rounds, and spread over the time of
 * each.
 */
export interface DrainOptions {
  /** Connections sent away in one round. Default 10,000. */
  readonly batchSize: number;
  /** Milliseconds of a round, less for fewer than ten clients a second of it. Default 2,000. */
  readonly batchIntervalMs: number;
  /** Milliseconds all of it may take; who is still there is cut off. Default 30,000. */
  readonly shutdownMs: number;
}

/** Plain data, but for the server and the functions a mount may have where there is one gateway. */
export interface GatewayOptions {
  readonly endpoint: string;
  /** Without one, it has nothing but sockets. */
  readonly server: HttpServer | ServerModule | undefined;
  /** Where it is to listen; otherwise whoever made the server sees to that. */
  readonly listen: ListenOptions | undefined;
  /** Whether other threads listen there, too. */
  readonly shared: boolean;
  readonly sockets: Readonly<Record<string, Mount>>;
  readonly pubsub: string;
  readonly checkOrigin: CheckOrigin;
  /** This endpoint's own host, for `checkOrigin: true`; null lets every origin pass. */
  readonly host: string | null;
  /** How many proxies' word on what clients asked for is taken; true is one. See request-origin.ts. */
  readonly trustProxy: boolean | number;
  readonly socketsSupervisor: string;
  /** Signs long-poll session tokens. */
  readonly secret: string;
  readonly drainer: DrainOptions;
}

/** One connection, whatever its transport. */
export interface Live {
  readonly pid: Pid;
  /** Ends the connection if its client has been silent for too long. */
  sweep(now: number): void;
  /** Takes nothing more from the client, which is about to be sent away. */
  quiesce(): void;
  terminate(): void;
}

/** One mounted socket. */
export interface MountedSocket {
  readonly path: string;
  readonly mount: Mount;
  readonly definition: SocketDefinition;
}

/** What the gateway offers its transports. */
export interface GatewayHost {
  readonly options: GatewayOptions;
  readonly server: HttpServer;
  readonly node: RuntimeNode;
  readonly writer: Writer;
  readonly live: Map<number, Live>;
  readonly draining: boolean;
  readonly requests: RequestInterceptor;
  /** Starts the process of a connection. Rejects when it does not start. */
  startSocket(
    mounted: MountedSocket,
    socket: ConnectSocket,
    handshake: { readonly serializer: string; readonly expiresAt: number | undefined },
    connection: number,
    transport: Transport,
  ): Promise<Pid>;
  notice(level: "info" | "warning" | "error", text: string, error?: unknown): void;
  /** Asks the gateway on another node for one of its sessions. Rejects with an `ExitSignal` when it is not there. */
  relay(home: number, request: SessionRequest): Promise<SessionAnswer | null>;
  /** A client has run into a limit: counted, and logged once a connection. */
  limit(connection: number | undefined, limit: Limit): void;
}
