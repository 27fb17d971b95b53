/**
 * A socket definition: who may connect, and which channels there are (Phoenix.Socket). It is the
 * default export of a module that is loaded by URL in the gateway, where `connect` and `id` run,
 * and in every shard, where channels run.
 */
import type { Channel } from "../channel/channel.js";
import type { ConnectSocket } from "../channel/socket.js";
import { matchesPattern } from "../channel/topic.js";
import { registerSerializer, type Serializer } from "../protocol/serializers.js";
import type { ConnectInfo } from "./connect-info.js";
import type { TransportOptions } from "./mount-options.js";

export type ConnectResult =
  | { readonly type: "ok"; readonly socket: ConnectSocket; readonly expiresAt?: number }
  | { readonly type: "error"; readonly reason: unknown };

export interface ConnectOptions {
  /**
   * When the client's right to be here ends, in ms since the epoch: the connection is closed then,
   * with 4401. `expireAt` on a channel's socket moves it.
   */
  readonly expiresAt?: number;
}

/** The client may connect. */
export const ok = (socket: ConnectSocket, { expiresAt }: ConnectOptions = {}): ConnectResult =>
  expiresAt === undefined ? { type: "ok", socket } : { type: "ok", socket, expiresAt };
/** The client may not connect: HTTP 403, or what the mount's `errorHandler` makes of `reason`. */
export const error = (reason?: unknown): ConnectResult => ({ type: "error", reason });

/** Decoded query of the connect request; nested as the client wrote it. */
// biome-ignore lint/suspicious/noExplicitAny: whatever the client sent
export type ConnectParams = Record<string, any>;

export interface SocketDefinition {
  readonly channels: readonly Channel[];
  connect(
    params: ConnectParams,
    socket: ConnectSocket,
    info: ConnectInfo,
  ): ConnectResult | Promise<ConnectResult>;
  /** Serializers of this socket's own, for mounts that list them. */
  readonly serializers?: readonly Serializer[];
  /** Options for wherever it is mounted; what the mount says wins. */
  readonly options?: TransportOptions;
  /** A topic that stands for this client's connections, such as `users:7`; null for none. */
  id?(socket: ConnectSocket): string | null;
}

/** Defines a socket. Throws when it has no `connect` or no channels. */
export function defineSocket(definition: SocketDefinition): SocketDefinition {
  if (typeof definition?.connect !== "function")
    throw new TypeError("a socket must have connect(params, socket, info)");
  if (!Array.isArray(definition.channels)) throw new TypeError("a socket must list its channels");
  // In every thread that loads the module: a frame is made where the channel runs.
  for (const serializer of definition.serializers ?? []) registerSerializer(serializer);
  return definition;
}

/** The place in `channels` of the first channel that serves the topic, or -1. */
export const routeOf = (definition: SocketDefinition, topic: string): number =>
  definition.channels.findIndex(({ pattern }) => matchesPattern(pattern, topic));

/** Loads the definition a module exports by default. */
export async function loadSocket(module: string): Promise<SocketDefinition> {
  const exports = (await import(module)) as { default?: unknown };
  if (exports.default === undefined)
    throw new TypeError(
      `${module} must export a socket definition by default: export default defineSocket({ … })`,
    );
  return defineSocket(exports.default as SocketDefinition);
}
