/**
 * An endpoint mounts sockets on an HTTP server and supervises the threads in which their channels
 * run (Phoenix.Endpoint).
 *
 *   Endpoint  rest_for_one
 *   ├ PubSub            of this thread; with shards it owns no slots and forwards
 *   ├ Shards            a ThreadServer per shard; with shards: 0 the children of one shard
 *   ├ SocketSupervisor  one process per connection
 *   └ Gateway           accepts connections last and drains them first
 *
 * With several gateways the last two run in threads of their own; see gateway-supervisor.ts.
 */

import { randomBytes } from "node:crypto";
import type { Server as HttpServer } from "node:http";
import { availableParallelism } from "node:os";
import { extname } from "node:path";
import {
  type Cluster,
  type ClusterOptions,
  type PublishResult,
  PubSub,
  type ReassignResult,
} from "simurgh/pubsub";
import {
  BadArg,
  type ChildSpec,
  type Pid,
  type StartResult,
  Supervisor,
  thisNode,
  threadSpec,
} from "simurgh/runtime";
import { checkCluster, clusterOf } from "#pubsub";
import { NamedTable, show } from "#runtime";
import { fastlane } from "../fanout/fastlane.js";
import { DISCONNECT } from "../protocol/constants.js";
import { type EndpointConfig, endpointConfig, registerEndpoint } from "../protocol/endpoint-config.js";
import { checkPayload } from "../protocol/message.js";
import { DEFAULT_FILTER, type ParamFilter } from "../protocol/param-filter.js";
import { type CheckOrigin, checkOriginOption } from "../socket/check-origin.js";
import type { DrainOptions } from "../socket/drain.js";
import type { Mount } from "../socket/mount-options.js";
import { checkMount } from "../socket/mount-options.js";
import type { GatewayOptions } from "../transports/host.js";
import {
  checkSharedPort,
  isServerModule,
  type ListenOptions,
  type ServerModule,
} from "../transports/http-server.js";
import { type ClusterHealth, clusterHealth } from "./cluster-health.js";
import type { GatewayInfo } from "./gateway.js";
import {
  assertCloneable,
  forwarding,
  Gateways,
  gatewayChildren,
  gatewayNodes,
  MAX_GATEWAYS,
} from "./gateway-supervisor.js";
import { initialLayout, Resharder, type ReshardTarget, type ShardLayout, shardsName } from "./resharder.js";
import { type ShardArgs, shardChildren } from "./shard.js";

export interface EndpointOptions {
  /** Names the endpoint's processes. Required. */
  readonly name: string;
  /**
   * The HTTP server, or the module that makes one for each gateway. Default: a server that serves
   * only sockets.
   */
  readonly server?: HttpServer | ServerModule;
  /**
   * Where to listen. Default: the application makes its server listen. Required with several
   * gateways or without a server.
   */
  readonly listen?: ListenOptions;
  /**
   * The number of gateways: 1 accepts connections in this thread, 2 or more in that many threads
   * that share the port, from Node 22.12. Each makes its own `server` by module. Default 1.
   */
  readonly gateways?: number;
  /**
   * Sockets by mount path: `{ "/socket": { module: new URL("./user-socket.js", import.meta.url) }
   * }`.
   */
  readonly sockets: Readonly<Record<string, Mount>>;
  /** Shard threads; 0 runs everything in this thread. Default: cores − 1, at least 1. */
  readonly shards?: number;
  /**
   * The application's children of each shard: a module's export `(args, context) => ChildSpec[]`.
   */
  readonly shardTree?: { readonly module: URL | string; readonly export?: string; readonly args?: unknown };
  /** Name of the PubSub. Default: the endpoint's name with ".pubsub". */
  readonly pubsub?: string;
  /**
   * Connects this node to a cluster: `{ adapter: "nats" | "redis", url, nodeName }`. The start
   * fails when the engine is unreachable; when it becomes unreachable later, this node works alone
   * and reconnects by itself. Default: no cluster.
   */
  readonly cluster?: ClusterOptions;
  /** Which pages may connect. Default true: only pages of `host`. */
  readonly checkOrigin?: CheckOrigin;
  /** The endpoint's own host, for `checkOrigin: true`. Default "localhost". */
  readonly host?: string | null;
  /**
   * The number of trusted proxies in front, whose `X-Forwarded-*` or `Forwarded` headers have the
   * scheme, host and address of a client; true is one. Default false: such headers are ignored.
   */
  readonly trustProxy?: boolean | number;
  /**
   * Signs `Token`s and long-poll sessions: 20 bytes or more, the same on all nodes of a cluster.
   * Default: random, so both are invalid after a restart.
   */
  readonly secret?: string;
  /** Which params the log filters. Default: keys that contain "password" or "token". */
  readonly filterParameters?: ParamFilter;
  /** How connections are drained when the endpoint stops; false terminates them at once. */
  readonly drainer?: Partial<DrainOptions> | false | (() => Partial<DrainOptions>);
  /**
   * Heap of each shard thread in MiB; a thread over it ends alone. Default: Node's limit for a
   * process, less a reserve.
   */
  readonly shardHeapMb?: number;
  /**
   * Milliseconds without a heartbeat after which a thread of the endpoint is terminated. Default
   * 10,000.
   */
  readonly stallMs?: number;
}

const SHARD_MODULE = new URL(`./shard${extname(import.meta.url)}`, import.meta.url);

function check(options: EndpointOptions): void {
  if (typeof options?.name !== "string") throw new BadArg("badarg: an endpoint needs a name");
  if (Object.keys(options.sockets ?? {}).length === 0)
    throw new BadArg("badarg: an endpoint needs at least one socket");
  const { shards, gateways = 1 } = options;
  if (!Number.isInteger(gateways) || gateways < 1 || gateways > MAX_GATEWAYS)
    throw new BadArg(
      `badarg: gateways must be a whole number from 1 to ${MAX_GATEWAYS}, got ${show(gateways)}`,
    );
  if (shards !== undefined && (!Number.isInteger(shards) || shards < 0 || shards > 64)) {
    throw new BadArg(`badarg: shards must be a whole number from 0 to 64, got ${show(shards)}`);
  }
  const proxies = Number(options.trustProxy ?? 0);
  if (!Number.isInteger(proxies) || proxies < 0)
    throw new BadArg(
      `badarg: trustProxy must be true, false or the number of proxies, got ${show(options.trustProxy)}`,
    );
  if (options.checkOrigin !== undefined) checkOriginOption(options.checkOrigin);
  for (const [path, mount] of Object.entries(options.sockets)) {
    if (mount.module === undefined)
      throw new BadArg(
        `badarg: the socket ${path} needs a module: new URL("./user-socket.js", import.meta.url)`,
      );
    checkMount(path, mount);
  }
  if (gateways === 1) checkServer(options);
  else checkSeveral(gateways, options);
}

function checkServer({ server, listen }: EndpointOptions): void {
  if (listen === undefined && (server === undefined || isServerModule(server)))
    throw new BadArg(
      "badarg: an endpoint needs listen: { port, host }, or a server that you make listen: http.createServer(…)",
    );
}

/** Options that several threads cannot share. */
function checkSeveral(gateways: number, { server, listen, checkOrigin, sockets }: EndpointOptions): void {
  checkSharedPort(gateways);
  if (server !== undefined && !isServerModule(server))
    throw new BadArg(
      `badarg: an http.Server belongs to one thread; for gateways: ${gateways} name the module that makes one for each: server: { module: new URL("../transports/http-server.js", import.meta.url) }`,
    );
  if (listen === undefined) throw new BadArg(`badarg: gateways: ${gateways} need listen: { port, host }`);
  if (checkOrigin !== undefined) assertCloneable({ checkOrigin }, "the endpoint");
  for (const [path, mount] of Object.entries(sockets))
    assertCloneable(mount, `sockets[${JSON.stringify(path)}]`);
}

function drainOptions(given: EndpointOptions["drainer"]): DrainOptions {
  const options = typeof given === "function" ? given() : given;
  const defaults = { batchSize: 10_000, batchIntervalMs: 2000, shutdownMs: 30_000 };
  if (options === false) return { ...defaults, shutdownMs: 0 };
  const all = { ...defaults, ...options };
  for (const [key, value] of Object.entries(all)) {
    if (!Number.isInteger(value) || value < (key === "batchSize" ? 1 : 0))
      throw new BadArg(
        `badarg: drainer.${key} must be a whole number of ${key === "batchSize" ? "at least 1" : "ms"}, got ${show(value)}`,
      );
  }
  return all;
}

const checked = new NamedTable<true>();

/**
 * Checks the engine when the program starts. A later restart of the endpoint does not wait for it.
 */
async function checkOnce(endpoint: string, cluster: Cluster): Promise<void> {
  if (checked.get(endpoint)) return;
  await checkCluster(cluster);
  checked.put(endpoint, true);
}

async function startLink(options: EndpointOptions): Promise<StartResult> {
  check(options);
  const { name } = options;
  const shards = options.shards ?? Math.max(1, availableParallelism() - 1);
  const here = thisNode().index;
  const pubsub = options.pubsub ?? `${name}.pubsub`;
  const layout = initialLayout(shards, here);
  const secret = options.secret ?? randomBytes(32).toString("base64url");
  const drainer = drainOptions(options.drainer);
  const cluster = options.cluster && clusterOf(options.cluster, pubsub);
  if (cluster !== undefined) await checkOnce(name, cluster);
  const config: EndpointConfig = {
    pubsub,
    cluster,
    gateways: gatewayNodes(options.gateways ?? 1, here),
    secret,
    filterParameters: options.filterParameters ?? DEFAULT_FILTER,
  };
  registerEndpoint(name, config);
  const args: ShardArgs = {
    endpoint: name,
    config,
    owners: shards === 0 ? undefined : layout.owners.current,
    sockets: Object.fromEntries(
      Object.entries(options.sockets).map(([path, { module }]) => [path, String(module)]),
    ),
    shardTree: named(options.shardTree, "shardTree"),
  };
  const { server } = options;
  const gateway: GatewayOptions = {
    endpoint: name,
    server: server === undefined || !isServerModule(server) ? server : named(server, "server"),
    listen: options.listen,
    shared: config.gateways.length > 1,
    sockets: Object.fromEntries(
      Object.entries(options.sockets).map(([path, mount]) => [
        path,
        { ...mount, module: String(mount.module) },
      ]),
    ),
    pubsub,
    checkOrigin: options.checkOrigin ?? true,
    host: options.host === undefined ? "localhost" : options.host,
    trustProxy: options.trustProxy ?? false,
    socketsSupervisor: `${name}.sockets`,
    secret,
    drainer,
  };
  const shardSpec = (index: number): ChildSpec => shardThread(index, args, layout, options);
  const children: ChildSpec[] = [
    ...(shards === 0 ? [] : [PubSub.childSpec(forwarding(config, layout.owners))]),
    { id: "shards", start: [startShards, [args, layout, shardSpec]], type: "supervisor" },
    ...gatewayChildren(gateway, config, layout, options.stallMs),
    ...(shards === 0
      ? []
      : [
          Resharder.childSpec({
            endpoint: name,
            pubsub,
            layout,
            clustered: cluster !== undefined,
            shardSpec,
            others: [...new Set([here, ...config.gateways])],
          }),
        ]),
  ];
  return Supervisor.startLink(children, { strategy: "rest_for_one", name });
}

/** A module reference that can be sent to threads. */
const named = <M extends ServerModule>(from: M | undefined, export_: string) =>
  from && { module: String(from.module), export: from.export ?? export_, args: from.args };

/**
 * Starts the shards' supervisor. Its restart intensity is high: failing shards must not take the
 * connections down.
 */
async function startShards(
  args: ShardArgs,
  { shards }: ShardLayout,
  shardSpec: (index: number) => ChildSpec,
): Promise<StartResult> {
  const name = shardsName(args.endpoint);
  if (shards.length === 0) {
    const { index, creation } = thisNode();
    const children = await shardChildren(args, { node: index, creation });
    return Supervisor.startLink(children, { strategy: "rest_for_one", intensity: 10, period: 5, name });
  }
  return Supervisor.startLink(shards.map(shardSpec), {
    strategy: "one_for_one",
    intensity: 100,
    period: 10,
    name,
  });
}

function shardThread(
  index: number,
  args: ShardArgs,
  layout: ShardLayout,
  options: EndpointOptions,
): ChildSpec {
  return threadSpec({
    index,
    module: SHARD_MODULE,
    // Evaluated at each start, so that a restart gets the current owners.
    args: (): ShardArgs => ({ ...args, owners: layout.owners.current }),
    ...(options.stallMs === undefined ? {} : { stallMs: options.stallMs }),
    ...(options.shardHeapMb === undefined
      ? {}
      : { resourceLimits: { maxOldGenerationSizeMb: options.shardHeapMb } }),
  });
}

const publish = (endpoint: string, topic: string, event: string, payload: unknown) => {
  checkPayload(event, payload);
  return [endpointConfig(endpoint).pubsub, topic, { topic, event, payload }] as const;
};

export const Endpoint = {
  /** Starts an endpoint under the calling supervisor; resolves once it accepts connections. */
  startLink,

  childSpec: (options: EndpointOptions): ChildSpec => ({
    id: options.name,
    start: [startLink, [options]],
    type: "supervisor",
  }),

  /**
   * Sends an event to all clients on a topic. Works in every thread of the endpoint, without a
   * socket.
   */
  broadcast(endpoint: string, topic: string, event: string, payload: unknown): PublishResult {
    const [pubsub, to, message] = publish(endpoint, topic, event, payload);
    return PubSub.broadcast(pubsub, to, message, fastlane);
  },

  /** Like `broadcast`, but not to the channel or process `from`. */
  broadcastFrom(endpoint: string, from: Pid, topic: string, event: string, payload: unknown): PublishResult {
    const [pubsub, to, message] = publish(endpoint, topic, event, payload);
    return PubSub.broadcastFrom(pubsub, from, to, message, fastlane);
  },

  localBroadcast(endpoint: string, topic: string, event: string, payload: unknown): PublishResult {
    const [pubsub, to, message] = publish(endpoint, topic, event, payload);
    return PubSub.localBroadcast(pubsub, to, message, fastlane);
  },

  /** Like `broadcastFrom`, on this node only. */
  localBroadcastFrom(
    endpoint: string,
    from: Pid,
    topic: string,
    event: string,
    payload: unknown,
  ): PublishResult {
    const [pubsub, to, message] = publish(endpoint, topic, event, payload);
    return PubSub.localBroadcastFrom(pubsub, from, to, message, fastlane);
  },

  /** Like `broadcast`; throws `BroadcastError` instead of returning an error. */
  broadcastOrThrow(endpoint: string, topic: string, event: string, payload: unknown): "ok" {
    const [pubsub, to, message] = publish(endpoint, topic, event, payload);
    return PubSub.broadcastOrThrow(pubsub, to, message, fastlane);
  },

  /** Like `broadcastFrom`; throws `BroadcastError` instead of returning an error. */
  broadcastFromOrThrow(endpoint: string, from: Pid, topic: string, event: string, payload: unknown): "ok" {
    const [pubsub, to, message] = publish(endpoint, topic, event, payload);
    return PubSub.broadcastFromOrThrow(pubsub, from, to, message, fastlane);
  },

  /**
   * Subscribes the calling process to a topic; it receives each broadcast as `{ topic, event,
   * payload }`.
   */
  subscribe: (endpoint: string, topic: string): "ok" | Promise<"ok"> =>
    PubSub.subscribe(endpointConfig(endpoint).pubsub, topic),
  unsubscribe: (endpoint: string, topic: string): "ok" | Promise<"ok"> =>
    PubSub.unsubscribe(endpointConfig(endpoint).pubsub, topic),

  /** Closes every connection whose socket has this id, with code 1001. */
  disconnect: (endpoint: string, id: string): PublishResult =>
    Endpoint.broadcast(endpoint, id, DISCONNECT, {}),

  /**
   * Accepts no more connections and closes the existing ones with 1012, at all gateways. Resolves
   * with their number.
   */
  drain: (endpoint: string, options: Partial<DrainOptions> = {}): Promise<number> =>
    Gateways.drain(endpoint, options),

  /**
   * Moves topics between shard threads while the endpoint runs: to the given number of threads, or
   * each of the 256 slots to the thread with the given node index. No socket closes; clients of
   * topics that move get `phx_error` and join again. Resolves when done, with `["error", reason]`
   * when nothing has changed. Call it in the endpoint's own thread.
   */
  reshard: (endpoint: string, shards: ReshardTarget): Promise<ReassignResult> =>
    Resharder.reshard(endpoint, shards),

  /** The number of gateways, their connections and lanes in total, and whether they drain. */
  info: (endpoint: string): Promise<GatewayInfo & { readonly gateways: number }> => Gateways.info(endpoint),

  /** This node's connection to the cluster, for readiness checks and operators. */
  health: (endpoint: string): Promise<ClusterHealth> => clusterHealth(endpointConfig(endpoint)),

  /** The address on which the endpoint listens; null while it does not. */
  address: (endpoint: string): Promise<{ readonly host: string; readonly port: number } | null> =>
    Gateways.address(endpoint),
};
