/**
 * ClusterHealth is the state of a node's connection to the cluster, over all its threads.
 *
 * `ready` is false only for faults that moving clients to other nodes cures: this node alone
 * receives nothing, or its name is a duplicate. An engine that is down is down for all nodes; a
 * readiness check that failed for it would turn that into a full outage.
 */
import { type AdapterHealth, type AdapterStatus, PubSub } from "simurgh/pubsub";
import { ExitSignal } from "simurgh/runtime";
import type { EndpointConfig } from "../protocol/endpoint-config.js";

export interface ClusterHealth {
  /** This node's name; undefined without a cluster. */
  readonly node: string | undefined;
  /** The worst of all threads. */
  readonly status: AdapterStatus;
  readonly ready: boolean;
  /** Why not `ready`. */
  readonly reason: "not_receiving" | "duplicate_name" | undefined;
  /** Other nodes, sorted by name. */
  readonly nodes: AdapterHealth["nodes"];
  /** By thread; without threads that are restarting. */
  readonly threads: Readonly<Record<number, AdapterHealth>>;
}

const WORST: readonly AdapterStatus[] = ["down", "degraded", "up"];

export async function clusterHealth({ pubsub, cluster }: EndpointConfig): Promise<ClusterHealth> {
  const threads: Record<number, AdapterHealth> = {};
  if (cluster !== undefined) {
    await Promise.all(
      PubSub.threads(pubsub).map(async (thread) => {
        const health = await healthOf(pubsub, thread);
        if (health !== undefined) threads[thread] = health;
      }),
    );
  }
  const all = Object.values(threads);
  const reason = all.some(({ notReceiving }) => notReceiving)
    ? "not_receiving"
    : all.some(({ isDuplicateName }) => isDuplicateName)
      ? "duplicate_name"
      : undefined;
  return {
    node: cluster?.nodeName,
    status: WORST.find((status) => all.some((health) => health.status === status)) ?? "up",
    ready: reason === undefined,
    reason,
    nodes: all.flatMap(({ nodes }) => nodes).sort((a, b) => (a.name < b.name ? -1 : 1)),
    threads,
  };
}

async function healthOf(pubsub: string, thread: number): Promise<AdapterHealth | undefined> {
  try {
    return await PubSub.health(pubsub, thread);
  } catch (error) {
    if (error instanceof ExitSignal) return undefined;
    throw error;
  }
}
