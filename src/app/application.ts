/**
 * PhoenixPair's supervision tree, top to bottom:
 *
 *     PhoenixPair  one_for_one
 *     ├ Repository           owns the database; in a thread of its own when there are shards
 *     ├ Endpoint             gateways, each with the API and the web client, and shards
 *     │   each shard:
 *     │   ├ ChallengePresence
 *     │   ├ AccessWatch      keeps what people may do in rooms up to date
 *     │   ├ Rooms            a document for each challenge in use
 *     │   └ ThreadMetrics    with METRICS_PORT
 *     └ MetricsServer        with METRICS_PORT
 *
 * The repository comes first, since a room asks it when a user joins, and stops last, so that
 * nothing is lost.
 */
import { extname } from "node:path";
import { Endpoint, type EndpointOptions, type ShardTree } from "simurgh/channels";
import { MetricsServer, ThreadMetrics } from "simurgh/observer";
import { type ChildSpec, threadSpec } from "simurgh/runtime";
import { AccessWatch } from "./access/access-watch.js";
import { type AppContext, ENDPOINT, setAppContext } from "./app-context.js";
import { ChallengePresence } from "./channels/challenge-presence.js";
import type { Config, DatabaseConfig } from "./config.js";
import { attemptCounterSpec } from "./http/attempt-counter.js";
import type { HttpContext } from "./http/http-server.js";
import { roomsSource, storageSource } from "./metrics.js";
import { Rooms } from "./rooms/rooms.js";
import type { StorageArgs } from "./storage/repository.js";
import { REPOSITORY } from "./storage/repository-client.js";

/** A module beside this one, built or source, whichever this one is. */
const beside = (path: string): URL => new URL(`${path}${extname(import.meta.url)}`, import.meta.url);

/**
 * Above any number of shards, so that more of them can be started, and below the gateways, which
 * begin at 1001.
 */
const STORAGE_NODE = 1000;

/** The thread of the repository; the main thread when there are no shards. */
export const storageNode = ({ shards }: Config): number => (shards === 0 ? 0 : STORAGE_NODE);

/** What may wait for one long-poll client: the largest document in Base64, and some. */
const MAX_LONG_POLL_BYTES = 8 * 1024 * 1024;

/** Loaded only where it runs: other threads start without a database's libraries. */
const startRepository = async (database: DatabaseConfig) =>
  (await import("./storage/repository.js")).startRepository(database);

/** The children of the main thread. */
export function mainTree(config: Config): ChildSpec[] {
  const { keys, accessSeconds, allowedOrigins, trustedProxies, anonymousPerSecond, personPerSecond } = config;
  const context: AppContext = { keys, storageNode: storageNode(config) };
  const http: HttpContext = {
    ...context,
    accessSeconds,
    allowedOrigins,
    trustedProxies,
    anonymousPerSecond,
    personPerSecond,
  };
  const { metrics, presenceDownMs, accessRecheckMs } = config;
  const args: ShardArgs = { context, presenceDownMs, accessRecheckMs, measured: metrics !== undefined };
  const storage: StorageArgs = { database: config.database, measured: metrics !== undefined };
  setAppContext(context);
  return [
    config.shards === 0
      ? {
          id: REPOSITORY,
          start: [startRepository, [config.database]],
          shutdown: 8000,
        }
      : threadSpec({
          index: context.storageNode,
          module: beside("./storage/repository"),
          args: storage,
        }),
    attemptCounterSpec(),
    Endpoint.childSpec({
      name: ENDPOINT,
      server: { module: beside("./http/http-server"), args: http },
      listen: { host: config.host, port: config.port, keepAliveMs: config.keepAliveMs },
      gateways: config.gateways,
      // Within what an orderly end may take in all: the rooms store before, the database closes
      // after.
      drainer: { batchIntervalMs: 2000, shutdownMs: 3000 },
      sockets: {
        "/socket": {
          module: beside("./channels/user-socket"),
          authToken: true,
          // For those whose network lets no WebSocket through.
          longpoll: { maxBufferedBytes: MAX_LONG_POLL_BYTES },
        },
      },
      shards: config.shards,
      stallMs: config.threadStallMs,
      shardTree: { module: new URL(import.meta.url), export: "shardTree", args },
      ...clusterOf(config),
      checkOrigin: allowedOrigins ?? "conn",
      trustProxy: trustedProxies,
    }),
    ...(metrics === undefined
      ? []
      : [
          MetricsServer.childSpec({
            ...metrics,
            endpoint: ENDPOINT,
            threads: config.shards === 0 ? [] : [context.storageNode],
            sources: [storageSource(context.storageNode)],
          }),
        ]),
  ];
}

function clusterOf({ cluster, presenceDownMs }: Config): Pick<EndpointOptions, "cluster"> {
  if (cluster === undefined) return {};
  const { engine, url, nodeName, tls } = cluster;
  return {
    cluster: {
      adapter: engine,
      url,
      prefix: "phoenixpair",
      heartbeatMs: Math.min(3000, Math.round(presenceDownMs / 10)),
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(tls === undefined ? {} : { tls }),
    },
  };
}

interface ShardArgs {
  readonly context: AppContext;
  readonly presenceDownMs: number;
  readonly accessRecheckMs: number;
  /** Whether there are metrics. */
  readonly measured: boolean;
}

/** The children of each shard. */
export const shardTree: ShardTree = (
  { context, presenceDownMs, accessRecheckMs, measured }: ShardArgs,
  { endpoint, pubsub },
) => {
  setAppContext(context);
  return [
    ChallengePresence.childSpec({
      pubsub,
      downPeriod: presenceDownMs,
      broadcastPeriod: Math.min(1500, Math.round(presenceDownMs / 20)),
      permdownPeriod: Math.max(1_200_000, 2 * presenceDownMs),
    }),
    AccessWatch.childSpec({ pubsub, recheckMs: accessRecheckMs }),
    Rooms.childSpec(),
    ...(measured
      ? [
          ThreadMetrics.childSpec({
            endpoint,
            pubsub,
            presences: [ChallengePresence.name],
            sources: [roomsSource],
          }),
        ]
      : []),
  ];
};
