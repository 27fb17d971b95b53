/**
 * A shard is the process tree in which channels run: one in each shard thread, or in the main
 * thread when there are no shards.
 *
 * Its children: the PubSub of the thread's slots, the application's own children (such as a
 * Presence), the ChannelSupervisor, and the ShardServer, which starts a channel for each join it
 * receives.
 */

import { clusterAdapter, PubSub } from "simurgh/pubsub";
import {
  type ChildSpec,
  DynamicSupervisor,
  GenServer,
  type GenServerModule,
  isPid,
  send,
  type ThreadContext,
  type ThreadTree,
  thisNode,
} from "simurgh/runtime";
import { startChannel } from "../channel/channel-server.js";
import { SocketNotification, type StartChannel, shardName } from "../channel/messages.js";
import { type EndpointConfig, registerEndpoint } from "../protocol/endpoint-config.js";
import { loadSocket, type SocketDefinition } from "../socket/define-socket.js";

/** Plain data: it is sent to the thread. */
export interface ShardArgs {
  readonly endpoint: string;
  readonly config: EndpointConfig;
  /** Index of the thread that owns each slot; undefined when this thread owns all. */
  readonly owners: readonly number[] | undefined;
  /** URLs of the socket modules, by mount path. */
  readonly sockets: Readonly<Record<string, string>>;
  readonly shardTree:
    | { readonly module: string; readonly export: string; readonly args: unknown }
    | undefined;
}

export interface ShardTreeContext extends ThreadContext {
  readonly endpoint: string;
  readonly pubsub: string;
}

/** An application's children of every shard. */
export type ShardTree = (
  // biome-ignore lint/suspicious/noExplicitAny: the arguments are the application's own
  args: any,
  context: ShardTreeContext,
) => readonly ChildSpec[] | Promise<readonly ChildSpec[]>;

export const channelsName = (endpoint: string): string => `${endpoint}.channels`;

interface Shard {
  readonly endpoint: string;
  readonly definitions: ReadonlyMap<string, SocketDefinition>;
}

const shardServer: GenServerModule<Shard, ShardArgs, never, StartChannel> = {
  name: "ShardServer",

  async init({ sockets, endpoint, config }) {
    registerEndpoint(endpoint, config);
    PubSub.watchOwners(config.pubsub);
    const definitions = new Map<string, SocketDefinition>();
    for (const [path, module] of Object.entries(sockets)) definitions.set(path, await loadSocket(module));
    return ["ok", { endpoint, definitions }];
  },

  async handleCast([, mount, index, start], shard) {
    const channel = shard.definitions.get(mount)?.channels[index];
    const { socket, token } = start;
    const { topic } = socket;
    if (PubSub.ownerOf(socket.pubsub, topic) !== thisNode().index) {
      send(socket.transportPid, new SocketNotification({ type: "topic_moved", topic, token }));
      return ["noreply", shard];
    }
    const started =
      channel === undefined ? undefined : await startChannel(channelsName(socket.endpoint), channel, start);
    if (!Array.isArray(started) || started[0] !== "ok") {
      send(socket.transportPid, new SocketNotification({ type: "not_started", topic, token }));
    }
    return ["noreply", shard];
  },

  /** Topics have moved: each channel checks whether its own has. */
  async handleInfo(message, shard) {
    if (message === PubSub.OWNERS_CHANGED) {
      for (const { pid } of await DynamicSupervisor.whichChildren(channelsName(shard.endpoint)))
        if (isPid(pid)) send(pid, PubSub.OWNERS_CHANGED);
    }
    return ["noreply", shard];
  },
};

/** The children of a shard, in start order. */
export async function shardChildren(args: ShardArgs, context: ThreadContext): Promise<ChildSpec[]> {
  const { endpoint, config, owners } = args;
  const { pubsub, cluster } = config;
  const thread = context.node;
  // The first shard is the leader of the node.
  const isLeader = thread === Math.min(...(owners ?? [thread]));
  return [
    PubSub.childSpec({
      name: pubsub,
      ...(owners === undefined ? {} : { owners: { current: owners } }),
      ...(cluster === undefined ? {} : { adapter: clusterAdapter(cluster, { thread, isLeader }) }),
    }),
    ...(await applicationChildren(args, context)),
    DynamicSupervisor.childSpec({ id: "channels", name: channelsName(endpoint) }),
    { id: "shard", start: [GenServer.startLink, [shardServer, args, { name: shardName(endpoint) }]] },
  ];
}

async function applicationChildren(
  { shardTree, endpoint, config }: ShardArgs,
  context: ThreadContext,
): Promise<readonly ChildSpec[]> {
  if (shardTree === undefined) return [];
  const exports = (await import(shardTree.module)) as Record<string, unknown>;
  const tree = exports[shardTree.export];
  if (typeof tree !== "function")
    throw new TypeError(`${shardTree.module} has no function named ${shardTree.export}`);
  return (tree as ShardTree)(shardTree.args, { ...context, endpoint, pubsub: config.pubsub });
}

/** The tree of a shard thread; the runtime calls it there. */
export async function start(args: ShardArgs, context: ThreadContext): Promise<ThreadTree> {
  // rest_for_one: the later children depend on the state of PubSub and the application's children.
  return { children: await shardChildren(args, context), strategy: "rest_for_one", intensity: 10, period: 5 };
}
