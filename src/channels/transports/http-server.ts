/**
 * The HTTP server of a gateway, and the port it listens on.
 *
 * An `http.Server` belongs to the thread that made it. With several gateway threads, each makes its
 * own from a module that is loaded by URL, and all listen on the same port: the kernel assigns each
 * new connection to one of them (`SO_REUSEPORT`).
 */
import { createServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer as createNetServer, type Server as NetServer } from "node:net";
import { BadArg, outside, type RuntimeNode, thisNode } from "simurgh/runtime";

export interface ListenOptions {
  /** 0 lets the system choose; see `Endpoint.address`. */
  readonly port: number;
  /** Default: every address of this machine. */
  readonly host?: string;
  /**
   * Connections that the system queues until they are accepted. Default 1,024, bounded by the
   * system (`somaxconn`).
   */
  readonly backlog?: number;
  /**
   * Milliseconds a connection stays open between two requests. It must be longer than that of a
   * load balancer in front, or requests arrive on a connection that is just closing. Default
   * 75,000, unless the server has a `keepAliveTimeout` of its own.
   */
  readonly keepAliveMs?: number;
}

/**
 * Phoenix's servers have the same: when a node goes down its clients reconnect at once, and many
 * would not fit into Node's default of 511.
 */
const BACKLOG = 1024;

export interface ServerContext {
  readonly endpoint: string;
  /** The runtime of this thread; a request reaches processes through its `run`. */
  readonly node: RuntimeNode;
}

/**
 * Makes a gateway's HTTP server, with the application's request listeners. The endpoint makes it
 * listen and closes it.
 */
export type MakeServer = (
  // biome-ignore lint/suspicious/noExplicitAny: the arguments are the application's own
  args: any,
  context: ServerContext,
) => HttpServer | Promise<HttpServer>;

/** The module that exports a `MakeServer`. */
export interface ServerModule {
  readonly module: URL | string;
  /** Default "server". */
  readonly export?: string;
  /** Plain data, passed to it. */
  readonly args?: unknown;
}

export const isServerModule = (server: HttpServer | ServerModule): server is ServerModule =>
  (server as Partial<ServerModule>).module !== undefined;

/**
 * Whether threads can share a port: from Node 22.12 (and 23.1, which is older). Earlier versions
 * ignore `reusePort`, so the second thread fails to listen.
 */
export function sharesPorts(version: string = process.versions.node): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return (major === 22 && minor >= 12) || (major === 23 && minor >= 1) || major > 23;
}

/** Throws when threads cannot share a port, with the alternatives. */
export function checkSharedPort(gateways: number, version: string = process.versions.node): void {
  if (!sharesPorts(version))
    throw new BadArg(
      `badarg: gateways: ${gateways} needs Node 22.12 or later, where threads can share a port; this is Node ${version}. Use a later Node, or gateways: 1, or several processes behind node:cluster`,
    );
}

/** Makes the server of this thread. Without a module, one that serves only sockets. */
export async function makeServer(from: ServerModule | undefined, endpoint: string): Promise<HttpServer> {
  if (from === undefined) return createServer((_request, response) => response.writeHead(404).end());
  const name = from.export ?? "server";
  const make = ((await import(String(from.module))) as Record<string, unknown>)[name];
  if (typeof make !== "function")
    throw new BadArg(
      `badarg: ${from.module} has no function named ${name}; it should be (args, context) => http.createServer(…)`,
    );
  const server = await (make as MakeServer)(from.args, { endpoint, node: thisNode() });
  if (typeof server?.listen !== "function" || typeof server.closeAllConnections !== "function")
    throw new BadArg(`badarg: ${name} of ${from.module} must return an http.Server, it returned ${server}`);
  if (server.listening)
    throw new BadArg(`badarg: ${name} of ${from.module} must not listen: the endpoint does`);
  return server;
}

/** Resolves once connections are accepted; rejects with the system's error. */
export function listen(
  server: NetServer,
  { port, host, backlog = BACKLOG }: ListenOptions,
  how: typeof SHARED | typeof ALONE | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // Listeners must not run in the context of the process that called `listen`.
    outside(() => {
      server.listen({ port, backlog, ...(host === undefined ? {} : { host }), ...how }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  });
}

/** Other threads listen on the same port. */
export const SHARED = { reusePort: true } as const;
/** Exclusive, even among the processes of one `node:cluster`. */
const ALONE = { exclusive: true } as const;

/** Above the minute for which most load balancers keep a connection. */
const KEEP_ALIVE_MS = 75_000;
const NODE_KEEP_ALIVE_MS = createServer().keepAliveTimeout;

/** Sets how long connections of a server stay open between two requests. */
export function keepAlive(server: HttpServer, { keepAliveMs }: ListenOptions): void {
  if (keepAliveMs !== undefined) server.keepAliveTimeout = keepAliveMs;
  else if (server.keepAliveTimeout === NODE_KEEP_ALIVE_MS) server.keepAliveTimeout = KEEP_ALIVE_MS;
}

/**
 * Stops accepting connections. The returned function waits until the requests in progress are
 * answered, at most `graceMs`, and then closes all connections.
 */
export function close(server: HttpServer): (answered: Promise<void>, graceMs: number) => Promise<void> {
  server.close();
  server.closeIdleConnections();
  return async (answered, graceMs) => {
    let late: NodeJS.Timeout | undefined;
    const cutOff = new Promise<void>((resolve) => {
      late = setTimeout(resolve, graceMs);
    });
    await Promise.race([answered, cutOff]);
    clearTimeout(late);
    server.closeAllConnections();
  };
}

/**
 * Claims a port for threads that will share it. Rejects when it is in use: another process that
 * shares its port too would otherwise silently get half of the connections.
 *
 * A port that the system chose is reserved until `release`. A configured port is not: waiting
 * clients would connect to the reservation, which cannot serve them.
 */
export async function claimPort(options: ListenOptions): Promise<{ readonly port: number; release(): void }> {
  const probe = createNetServer();
  await listen(probe, options, ALONE);
  const { port } = probe.address() as AddressInfo;
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  if (options.port !== 0) return { port, release() {} };
  const reservation = createNetServer((socket) => socket.destroy());
  await listen(reservation, { ...options, port }, SHARED);
  return { port, release: () => void reservation.close() };
}
