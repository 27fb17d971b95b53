/**
 * A cluster as configuration: plain data that crosses to every thread of a node, where it becomes
 * that thread's adapter.
 *
 *     cluster: { adapter: "nats", url: "nats://127.0.0.1:4222", nodeName: "web-1" }
 *
 * An engine of one's own is a module that exports `(args, place) => AdapterFactory`.
 */

import { hostname } from "node:os";
import { show, showTerm } from "#runtime";
import type { AdapterFactory } from "./adapter.js";
import { ClusterError, type OpenLink } from "./engine.js";
import {
  channelToken,
  checkNodeName,
  type NetworkedOptions,
  networkedAdapter,
  type Place,
} from "./engine-adapter.js";
import { type HubConnectOptions, hubLink } from "./engines/hub-link.js";
import { type NatsConnectOptions, natsLink } from "./engines/nats.js";
import { type RedisConnectOptions, redisLink } from "./engines/redis.js";
import { newLife } from "./envelope.js";

interface Common
  extends Pick<
    NetworkedOptions,
    "lingerMs" | "pulseMs" | "maxUnsentBytes" | "maxWaiting" | "maxWaitingBytes"
  > {
  /**
   * This node's name, unique in the cluster. Default: `<host name>.<process id>`. One that stays
   * the same over restarts lets the others see sooner that the node before is gone.
   */
  readonly nodeName?: string;
}

export type ClusterOptions =
  | (Common & NatsConnectOptions & { readonly adapter: "nats" })
  | (Common & RedisConnectOptions & { readonly adapter: "redis" })
  | (Common & HubConnectOptions & { readonly adapter: "hub" })
  | (Common & {
      /**
       * A module that makes the adapter: its export, default `adapter`, gets `args` and a `Place`.
       */
      readonly adapter: { readonly module: URL | string; readonly export?: string; readonly args?: unknown };
    });

/** How one node is joined: the same in all its threads. */
export interface Cluster {
  readonly options: ClusterOptions;
  readonly nodeName: string;
  readonly life: string;
  readonly prefix: string;
}

/** Begins a node's life in the cluster. Throws for what can never work. */
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
    life: newLife(),
    // Several PubSubs share nothing.
    prefix: `${prefix}.${channelToken(pubsub)}`,
  };
}

const linkOf = ({ options, nodeName, prefix }: Cluster): readonly [string, OpenLink] | undefined => {
  if (options.adapter === "nats") return ["nats", natsLink({ ...options, nodeName, prefix })];
  if (options.adapter === "hub") return ["hub", hubLink({ ...options, prefix: `${prefix}.` })];
  if (options.adapter === "redis") return ["redis", redisLink({ ...options, nodeName, prefix })];
  return undefined;
};

/** Whether the engine can be used: rejects with a `ClusterError` that says what to do. */
export async function checkCluster(cluster: Cluster): Promise<void> {
  const [, open] = linkOf(cluster) ?? [];
  const link = await open?.({ up() {}, down() {}, trouble() {} }, { patient: false });
  await link?.close();
}

/** The adapter of one thread of the node. It begins also while the engine is away. */
export function clusterAdapter(
  cluster: Cluster,
  { thread, leads }: { readonly thread: number; readonly leads: boolean },
): AdapterFactory {
  const { options, nodeName, life } = cluster;
  const place: Required<Place> = { nodeName, life, thread, leads, patient: true };
  const [engine, open] = linkOf(cluster) ?? [];
  if (engine !== undefined && open !== undefined)
    return networkedAdapter(engine, open, { ...options, ...place });
  return async (deliver, tell, inbox) => {
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
    return (made(args, place) as AdapterFactory)(deliver, tell, inbox);
  };
}
