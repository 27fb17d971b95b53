/** simurgh/channels: Phoenix Channels, their sockets and endpoints. */

export {
  type Channel,
  type ChannelCallbacks,
  type ChannelTypes,
  defineChannel,
  type EventTypes,
  type Payload,
  payload,
} from "./channel/channel.js";
export type { LogLevel } from "./channel/instrumentation.js";
export {
  type InfoResult,
  type InResult,
  type JoinResult,
  joined,
  noreply,
  refused,
  reply,
  stop,
} from "./channel/results.js";
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
} from "./channel/socket.js";
export type { ClusterHealth } from "./endpoint/cluster-health.js";
export { type ChannelEntry, Debug, type SocketEntry } from "./endpoint/debug.js";
export { Endpoint, type EndpointOptions } from "./endpoint/endpoint.js";
export type { ShardTree, ShardTreeContext } from "./endpoint/shard.js";
export { type Broadcast, isBroadcast, type Message, type WireRef } from "./protocol/message.js";
export { filterParams, type ParamFilter } from "./protocol/param-filter.js";
export type { Serializer, SerializerEntry } from "./protocol/serializers.js";
export {
  type KeyOptions,
  type SignOptions,
  Token,
  type TokenContext,
  type TokenResult,
  type VerifyOptions,
} from "./protocol/token.js";
export { v1Json } from "./protocol/v1-json.js";
export { v2Json } from "./protocol/v2-json.js";
export { type CheckOrigin, originAllowed, type ParsedOrigin } from "./socket/check-origin.js";
export type { ConnectInfo, ConnectInfoEntry, SessionOptions } from "./socket/connect-info.js";
export {
  type ConnectOptions,
  type ConnectParams,
  type ConnectResult,
  defineSocket,
  error,
  ok,
  type SocketDefinition,
} from "./socket/define-socket.js";
export type { DrainOptions } from "./socket/drain.js";
export type { LongPollOptions, Mount, TransportOptions, WebSocketOptions } from "./socket/mount-options.js";
export { RateLimiter } from "./socket/rate-limiter.js";
export { type RequestOrigin, requestOrigin } from "./socket/request-origin.js";
export { type Rate, TokenBucket } from "./socket/token-bucket.js";
export {
  type ListenOptions,
  type MakeServer,
  type ServerContext,
  type ServerModule,
  sharesPorts,
} from "./transports/http-server.js";
