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
} from "./adapter.js";
export { type Hub, type HubOptions, startHub } from "./adapters/hub.js";
export { type HubAdapterOptions, hubAdapter } from "./adapters/hub-link.js";
export { ClusterError, type Link, type LinkEvents, type OpenLink } from "./adapters/link.js";
export { localAdapter } from "./adapters/local.js";
export { MemoryNetwork, type MemoryNetworkOptions } from "./adapters/memory.js";
export { type NatsAdapterOptions, natsAdapter } from "./adapters/nats.js";
export { type NetworkedOptions, networkedAdapter, type Place } from "./adapters/networked.js";
export { type RedisAdapterOptions, redisAdapter } from "./adapters/redis.js";
export { type Cluster, type ClusterOptions, checkCluster, clusterAdapter, clusterOf } from "./cluster.js";
export {
  bareDispatcher,
  type Dispatcher,
  dispatcherNamed,
  registerDispatcher,
  type Subscription,
  type TopicView,
} from "./dispatcher.js";
export { type Envelope, newLife, Receiver, Sender, type SenderOptions, type Verdict } from "./envelope.js";
export type { ReassignResult } from "./handover.js";
export type { Dropped, PubSubOptions, SlotOwners, Traffic } from "./instance.js";
export { BroadcastError, PubSub } from "./pubsub.js";
export { sharedJson, sharePayload } from "./shared-payload.js";
export { SLOTS, slot } from "./slot.js";
