/** simurgh/pubsub: topics, subscriptions and broadcasts (Phoenix.PubSub). */
export type {
  Adapter,
  AdapterEvent,
  AdapterFactory,
  AdapterStatus,
  Deliver,
  PublishResult,
  TellEvent,
} from "./adapter.js";
export { localAdapter } from "./adapters/local.js";
export { MemoryNetwork, type MemoryNetworkOptions } from "./adapters/memory.js";
export {
  bareDispatcher,
  type Dispatcher,
  dispatcherNamed,
  registerDispatcher,
  type Subscription,
  type TopicView,
} from "./dispatcher.js";
export { type Envelope, Receiver, Sender, type Verdict } from "./envelope.js";
export { BroadcastError, type Dropped, PubSub, type PubSubOptions } from "./pubsub.js";
export { sharedJson, sharePayload } from "./shared-payload.js";
export { SLOTS, slot } from "./slot.js";
