/** simurgh/pubsub: topics, subscriptions and broadcasts (Phoenix.PubSub). */
export type {
  Adapter,
  AdapterEvent,
  AdapterFactory,
  AdapterHealth,
  AdapterStatus,
  Deliver,
  PublishResult,
} from "./adapter.js";
export { type Cluster, type ClusterOptions, clusterAdapter } from "./cluster/cluster.js";
export { ClusterError, type Engine, type EngineEvents, type OpenEngine } from "./cluster/engine.js";
export { type AdapterContext, type EngineAdapterOptions, engineAdapter } from "./cluster/engine-adapter.js";
export { type Hub, type HubOptions, startHub } from "./cluster/engines/hub.js";
export { type HubAdapterOptions, hubAdapter } from "./cluster/engines/hub-client.js";
export { MemoryNetwork, type MemoryNetworkOptions } from "./cluster/engines/memory.js";
export { type NatsAdapterOptions, natsAdapter } from "./cluster/engines/nats.js";
export { type RedisAdapterOptions, redisAdapter } from "./cluster/engines/redis.js";
export type { ReassignResult } from "./handover/coordinator.js";
export { type Dispatcher, registerDispatcher, type Subscription } from "./local/dispatcher.js";
export type { Dropped, PubSubOptions, SlotOwners, Traffic } from "./local/pubsub-state.js";
export { BroadcastError, PubSub } from "./pubsub.js";
export { sharePayload } from "./shared-payload.js";
