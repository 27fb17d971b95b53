/** simurgh/channels: Phoenix Channels, their sockets and endpoints. */

export {
  type Channel,
  type ChannelCallbacks,
  type ChannelTypes,
  defineChannel,
  type EventTypes,
  type Payload,
  payload,
} from "./channel.js";
export type { ClusterHealth } from "./cluster-health.js";
export type { ConnectInfo, ConnectInfoEntry, SessionOptions } from "./connect-info.js";
export { type ChannelEntry, Debug, type SocketEntry } from "./debug.js";
export { Endpoint, type EndpointOptions } from "./endpoint.js";
export { ChannelHarness, type HarnessFrame, type JoinOutcome } from "./harness.js";
export {
  type ListenOptions,
  type MakeServer,
  type ServerContext,
  type ServerModule,
  sharesPorts,
} from "./listener.js";
export { type Broadcast, isBroadcast, type Message, type WireRef } from "./message.js";
export type { DrainOptions, LongPollOptions, Mount, TransportOptions, WebSocketOptions } from "./mount.js";
export type { LogLevel } from "./mount-options.js";
export { type CheckOrigin, originAllowed, type ParsedOrigin } from "./origin.js";
export { filterParams, type ParamFilter } from "./param-filter.js";
export { RateLimiter } from "./rate-limiter.js";
export { type RequestOrigin, requestOrigin } from "./request-origin.js";
export {
  type InfoResult,
  type InResult,
  type JoinResult,
  joined,
  noreply,
  refused,
  reply,
  stop,
} from "./results.js";
export type { Serializer, SerializerEntry } from "./serializers/index.js";
export { v1Json } from "./serializers/v1-json.js";
export { v2Json } from "./serializers/v2-json.js";
export type { ShardTree, ShardTreeContext } from "./shard.js";
export {
  type Assigns,
  assign,
  broadcast,
  broadcastFrom,
  type ChannelSocket,
  type ConnectSocket,
  expireAt,
  push,
  replyTo,
  type SocketRef,
  socketRef,
} from "./socket.js";
export {
  type ConnectOptions,
  type ConnectParams,
  type ConnectResult,
  defineSocket,
  error,
  ok,
  routeOf,
  type SocketDefinition,
} from "./socket-definition.js";
export {
  type KeyOptions,
  type SignOptions,
  Token,
  type TokenContext,
  type TokenResult,
  type VerifyOptions,
} from "./token.js";
export type { Rate } from "./token-bucket.js";
