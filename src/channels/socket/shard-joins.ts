/**
 * Joins that are sent to the shards of their topics. A shard is monitored while it has unanswered
 * joins: when it goes down, they fail.
 */
import { demonitor, GenServer, monitor, self } from "simurgh/runtime";
import { type ChannelStart, type StartChannel, shardName } from "../channel/messages.js";
import { closeFrame } from "./replies.js";
import type { MonitoredChannel, SocketState } from "./socket-state.js";
import type { SubscriptionEffect } from "./topic-subscription.js";

export function startChannel(
  { join, token, owed }: Extract<SubscriptionEffect<MonitoredChannel>, { type: "start" }>,
  state: SocketState,
): void {
  const { topic, joinRef, ref, payload } = join.frame;
  const node = state.kind.shardOf(topic);
  // When the shard goes down before it has answered, the join fails.
  let pending = state.shards.get(node);
  if (pending === undefined) {
    const shard = { name: shardName(state.socket.endpoint), node };
    pending = { monitor: monitor(shard), joins: new Map() };
    state.shards.set(node, pending);
  }
  pending.joins.set(token, topic);
  const { assigns, endpoint, id } = state.socket;
  const start: ChannelStart = {
    token,
    connected: true,
    // Listed one by one: a spread costs ten times as much.
    socket: {
      assigns,
      endpoint,
      id,
      topic,
      joined: false,
      joinRef: joinRef ?? ref,
      ref: null,
      channelPid: self(),
      transportPid: self(),
      transport: state.transport.name,
      serializer: state.serializer.name,
      pubsub: state.kind.pubsub,
      writer: state.kind.writer.pid,
      connection: state.connection,
    },
    ref,
    wireJoinRef: joinRef,
    payload,
    owedFrames: owed === undefined ? [] : [closeFrame(topic, owed.joinRef, state)],
  };
  GenServer.cast({ name: shardName(state.socket.endpoint), node }, [
    "start_channel",
    state.kind.mount,
    join.channel,
    start,
  ] satisfies StartChannel);
}

/** A shard has answered a join; after the last one it is no longer monitored. Returns its node. */
export function onShardReply(token: number, state: SocketState): number | undefined {
  for (const [node, pending] of state.shards) {
    if (!pending.joins.delete(token)) continue;
    if (pending.joins.size === 0) {
      state.shards.delete(node);
      demonitor(pending.monitor, { flush: true });
    }
    return node;
  }
  return undefined;
}
