/**
 * GatewayHost is what a gateway offers its transports: its options, its connections and its writer.
 */
import type { Server as HttpServer } from "node:http";
import type { Pid, RuntimeNode } from "simurgh/runtime";
import type { Limit } from "../channel/instrumentation.js";
import type { ConnectSocket } from "../channel/socket.js";
import type { Writer } from "../fanout/connection-writer.js";
import type { CheckOrigin } from "../socket/check-origin.js";
import type { SocketDefinition } from "../socket/define-socket.js";
import type { DrainOptions } from "../socket/drain.js";
import type { Mount } from "../socket/mount-options.js";
import type { Transport } from "../socket/socket-state.js";
import type { ListenOptions, ServerModule } from "./http-server.js";
import type { RequestInterceptor } from "./intercept.js";
import type { SessionAnswer, SessionRequest } from "./long-poll/session.js";

/**
 * Plain data, except for the server and the functions that a mount may have with a single gateway.
 */
export interface GatewayOptions {
  readonly endpoint: string;
  /** Default: a server that serves only sockets. */
  readonly server: HttpServer | ServerModule | undefined;
  /** Where to listen. Undefined: the application makes the server listen. */
  readonly listen: ListenOptions | undefined;
  /** Whether other threads listen on the same port. */
  readonly shared: boolean;
  readonly sockets: Readonly<Record<string, Mount>>;
  readonly pubsub: string;
  readonly checkOrigin: CheckOrigin;
  /** This endpoint's own host, for `checkOrigin: true`; null allows every origin. */
  readonly host: string | null;
  /** The number of trusted proxies; true is one. See request-origin.ts. */
  readonly trustProxy: boolean | number;
  readonly socketsSupervisor: string;
  /** Signs long-poll session tokens. */
  readonly secret: string;
  readonly drainer: DrainOptions;
}

/** One connection of any transport. */
export interface LiveConnection {
  readonly pid: Pid;
  /** Closes the connection when its client has been silent for too long. */
  sweep(now: number): void;
  /** Stops reading from the client, which is about to be closed. */
  quiesce(): void;
  terminate(): void;
}

/** One mounted socket. */
export interface MountedSocket {
  readonly path: string;
  readonly mount: Mount;
  readonly definition: SocketDefinition;
}

/** The interface of a gateway to its transports. */
export interface GatewayHost {
  readonly options: GatewayOptions;
  readonly server: HttpServer;
  readonly node: RuntimeNode;
  readonly writer: Writer;
  readonly live: Map<number, LiveConnection>;
  readonly draining: boolean;
  readonly requests: RequestInterceptor;
  /** Starts the process of a connection. Rejects when that fails. */
  startSocket(
    mounted: MountedSocket,
    socket: ConnectSocket,
    handshake: { readonly serializer: string; readonly expiresAt: number | undefined },
    connection: number,
    transport: Transport,
  ): Promise<Pid>;
  notice(level: "info" | "warning" | "error", text: string, error?: unknown): void;
  /**
   * Forwards a request to the gateway on node index `home`, which has the session. Rejects with an
   * `ExitSignal` when that gateway is down.
   */
  relay(home: number, request: SessionRequest): Promise<SessionAnswer | null>;
  /** A client has exceeded a limit: counted, and logged once per connection. */
  limit(connection: number | undefined, limit: Limit): void;
}
