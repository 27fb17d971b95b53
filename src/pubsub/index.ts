/** simurgh/pubsub: topics, subscriptions and broadcasts (Phoenix.PubSub). */
export type {
  Adapter,
  AdapterEvent,
  AdapterFactory,
  AdapterHealth,
  AdapterStatus,
  Deliver,
  Inbox,
  PublishResult,
  TellEvent,
} from "./cluster/adapter.js";
export {
  type Cluster,
  type ClusterOptions,
  checkCluster,
  clusterAdapter,
  clusterOf,
} from "./cluster/cluster.js";
export { ClusterError, type Link, type LinkEvents, type OpenLink } from "./cluster/engine.js";
export { type NetworkedOptions, networkedAdapter, type Place } from "./cluster/engine-adapter.js";
export { type Hub, type HubOptions, startHub } from "./cluster/engines/hub.js";
export { type HubAdapterOptions, hubAdapter } from "./cluster/engines/hub-link.js";
export { MemoryNetwork, type MemoryNetworkOptions } from "./cluster/engines/memory.js";
export { type NatsAdapterOptions, natsAdapter } from "./cluster/engines/nats.js";
export { type RedisAdapterOptions, redisAdapter } from "./cluster/engines/redis.js";
export {
  type Envelope,
  newLife,
  Receiver,
  Sender,
  type SenderOptions,
  type Verdict,
} from "./cluster/envelope.js";
export { localAdapter } from "./cluster/local.js";
export type { ReassignResult } from "./handover/coordinator.js";
export {
  bareDispatcher,
  type Dispatcher,
  dispatcherNamed,
  registerDispatcher,
  type Subscription,
  type TopicView,
} from "./local/dispatcher.js";
export type { Dropped, PubSubOptions, SlotOwners, Traffic } from "./local/pubsub-state.js";
export { SLOTS, slot } from "./local/slot.js";
export { BroadcastError, PubSub } from "./pubsub.js";
export { sharedJson, sharePayload } from "./shared-payload.js";
