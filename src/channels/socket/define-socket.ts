/**
 * A socket definition: its `connect` callback, which authenticates clients, and its channels
 * (Phoenix.Socket). It is the default export of a module that is loaded by URL in the gateway,
 * where `connect` and `id` run, and in every shard, where channels run.
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
   * When the connection expires, in ms since the epoch: it is then closed with 4401. `expireAt`
   * moves the time.
   */
  readonly expiresAt?: number;
}

/** Accepts the client. */
export const ok = (socket: ConnectSocket, { expiresAt }: ConnectOptions = {}): ConnectResult =>
  expiresAt === undefined ? { type: "ok", socket } : { type: "ok", socket, expiresAt };
/** Refuses the client: HTTP 403, or what the mount's `errorHandler` returns for `reason`. */
export const error = (reason?: unknown): ConnectResult => ({ type: "error", reason });

/** Decoded query of the connect request; see connect-params.ts. */
// biome-ignore lint/suspicious/noExplicitAny: the client may send any params
export type ConnectParams = Record<string, any>;

export interface SocketDefinition {
  readonly channels: readonly Channel[];
  connect(
    params: ConnectParams,
    socket: ConnectSocket,
    info: ConnectInfo,
  ): ConnectResult | Promise<ConnectResult>;
  /** Custom serializers, for mounts that list them. */
  readonly serializers?: readonly Serializer[];
  /** Default options of its mounts; those of a mount win. */
  readonly options?: TransportOptions;
  /** The topic that identifies this client's connections, such as `users:7`; null for none. */
  id?(socket: ConnectSocket): string | null;
}

/** Defines a socket. Throws when it has no `connect` or no channels. */
export function defineSocket(definition: SocketDefinition): SocketDefinition {
  if (typeof definition?.connect !== "function")
    throw new TypeError("a socket must have connect(params, socket, info)");
  if (!Array.isArray(definition.channels)) throw new TypeError("a socket must list its channels");
  // In every thread that loads the module: frames are encoded where the channel runs.
  for (const serializer of definition.serializers ?? []) registerSerializer(serializer);
  return definition;
}

/** The index in `channels` of the first channel that serves the topic, or -1. */
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
