/**
 * Cluster configuration: plain data that is sent to each thread of a node, where it becomes that
 * thread's adapter.
 *
 *     cluster: { adapter: "nats", url: "nats://127.0.0.1:4222", nodeName: "web-1" }
 *
 * A custom engine is a module that exports `(args, context) => AdapterFactory`.
 */

import { hostname } from "node:os";
import { show, showTerm } from "#runtime";
import type { AdapterFactory } from "../adapter.js";
import { ClusterError, type OpenEngine } from "./engine.js";
import {
  type AdapterContext,
  channelToken,
  checkNodeName,
  type EngineAdapterOptions,
  engineAdapter,
} from "./engine-adapter.js";
import { type HubConnectOptions, hubEngine } from "./engines/hub-client.js";
import { type NatsConnectOptions, natsEngine } from "./engines/nats.js";
import { type RedisConnectOptions, redisEngine } from "./engines/redis.js";
import { newBootId } from "./envelope.js";

interface Common
  extends Pick<
    EngineAdapterOptions,
    "lingerMs" | "heartbeatMs" | "maxUnsentBytes" | "maxWaiting" | "maxWaitingBytes"
  > {
  /**
   * This node's name, unique in the cluster. Default: `<host name>.<process id>`. With a name that
   * survives restarts, other nodes notice sooner that the previous boot is gone.
   */
  readonly nodeName?: string;
}

export type ClusterOptions =
  | (Common & NatsConnectOptions & { readonly adapter: "nats" })
  | (Common & RedisConnectOptions & { readonly adapter: "redis" })
  | (Common & HubConnectOptions & { readonly adapter: "hub" })
  | (Common & {
      /**
       * A module that makes the adapter: its export, default `adapter`, gets `args` and an
       * `AdapterContext`.
       */
      readonly adapter: { readonly module: URL | string; readonly export?: string; readonly args?: unknown };
    });

/** The cluster as one node sees it: the same in all its threads. */
export interface Cluster {
  readonly options: ClusterOptions;
  readonly nodeName: string;
  readonly bootId: string;
  readonly prefix: string;
}

/** Checks the options, and gives the node a boot id. Throws for options that can never work. */
export function clusterOf(options: ClusterOptions, pubsub: string): Cluster {
  const { adapter, nodeName = `${hostname()}.${process.pid}` } = options;
  checkNodeName(nodeName);
  const isModule = typeof adapter === "object" && adapter !== null && adapter.module !== undefined;
  if (!isModule && adapter !== "nats" && adapter !== "redis" && adapter !== "hub")
    throw new ClusterError(
      `cluster.adapter must be "nats", "redis", "hub" or { module }, got ${showTerm(adapter)}`,
    );
  if (!isModule && adapter !== "hub" && typeof (options as { readonly url?: unknown }).url !== "string")
    throw new ClusterError(`cluster.url is missing: write ${show(adapter)}://host:port`);
  const { prefix = "simurgh" } = options as { readonly prefix?: string };
  if (!/^[A-Za-z0-9_-]+$/.test(prefix))
    throw new ClusterError(`cluster.prefix must have letters, digits, _ and - only, got ${showTerm(prefix)}`);
  return {
    options: isModule ? { ...options, adapter: { ...adapter, module: String(adapter.module) } } : options,
    nodeName,
    bootId: newBootId(),
    // Several PubSubs share nothing.
    prefix: `${prefix}.${channelToken(pubsub)}`,
  };
}

const engineOf = ({ options, nodeName, prefix }: Cluster): readonly [string, OpenEngine] | undefined => {
  if (options.adapter === "nats") return ["nats", natsEngine({ ...options, nodeName, prefix })];
  if (options.adapter === "hub") return ["hub", hubEngine({ ...options, prefix: `${prefix}.` })];
  if (options.adapter === "redis") return ["redis", redisEngine({ ...options, nodeName, prefix })];
  return undefined;
};

/** Whether the engine can be used: rejects with a `ClusterError` that says what to do. */
export async function checkCluster(cluster: Cluster): Promise<void> {
  const [, open] = engineOf(cluster) ?? [];
  const engine = await open?.({ up() {}, down() {}, warning() {} }, { connectLazily: false });
  await engine?.close();
}

/** The adapter of one thread of the node. It also starts while the engine is away. */
export function clusterAdapter(
  cluster: Cluster,
  { thread, isLeader }: { readonly thread: number; readonly isLeader: boolean },
): AdapterFactory {
  const { options, nodeName, bootId } = cluster;
  const context: Required<AdapterContext> = { nodeName, bootId, thread, isLeader, connectLazily: true };
  const [engine, open] = engineOf(cluster) ?? [];
  if (engine !== undefined && open !== undefined)
    return engineAdapter(engine, open, { ...options, ...context });
  return async (deliver, onEvent, inbox) => {
    const {
      module,
      export: name = "adapter",
      args,
    } = options.adapter as {
      readonly module: string;
      readonly export?: string;
      readonly args?: unknown;
    };
    const made = ((await import(module)) as Record<string, unknown>)[name];
    if (typeof made !== "function") throw new ClusterError(`${module} has no function named ${name}`);
    return (made(args, context) as AdapterFactory)(deliver, onEvent, inbox);
  };
}
