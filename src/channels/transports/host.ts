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
import type { Transport } from "../socket/socket-server.js";
import type { ListenOptions, ServerModule } from "./http-server.js";
import type { RequestInterceptor } from "./intercept.js";
import type { SessionAnswer, SessionRequest } from "./long-poll/session.js";

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
  /**
   * How many proxies' word on what clients asked for is taken; true is one. See request-origin.ts.
   */
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
  /**
   * Asks the gateway on another node for one of its sessions. Rejects with an `ExitSignal` when it
   * is not there.
   */
  relay(home: number, request: SessionRequest): Promise<SessionAnswer | null>;
  /** A client has run into a limit: counted, and logged once a connection. */
  limit(connection: number | undefined, limit: Limit): void;
}
