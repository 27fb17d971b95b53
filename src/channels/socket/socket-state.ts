/**
 * SocketState is the state of the process of one connection, with the types of what it starts from.
 * It is mutated in place by socket-server.ts, replies.ts and shard-joins.ts.
 */
import { type Pid, type Ref, self, thisNode } from "simurgh/runtime";
import { SmallMap } from "#runtime";
import type { Backlog, BacklogLimits, CreditWindow } from "../channel/credit-window.js";
import type { ConnectSocket } from "../channel/socket.js";
import type { Writer } from "../fanout/connection-writer.js";
import type { Frame } from "../protocol/message.js";
import { type Serializer, serializerFor } from "../protocol/serializers.js";
import type { SocketDefinition } from "./define-socket.js";
import type { InvalidFrames } from "./mount-options.js";
import { type Rate, TokenBucket } from "./token-bucket.js";
import type { Subscription } from "./topic-subscription.js";

/** The interface of a transport to the connection's process. */
export interface Transport {
  readonly name: "websocket" | "longpoll";
  /** The process has handled one frame. */
  handled(): void;
  /** Stops reading from the client. */
  pause(): void;
  resume(): void;
  close(code: number, reason?: string): void;
}

/** What the connections of one mount share. */
export interface SocketKind {
  readonly definition: SocketDefinition;
  readonly mount: string;
  readonly pubsub: string;
  readonly writer: Writer;
  /** Maximum topics of one connection. */
  readonly maxChannels: number;
  readonly messageRate: Rate | false;
  readonly joinRate: Rate | false;
  /** Limits on what one connection queues for its channels. */
  readonly backlogLimits: BacklogLimits;
  readonly invalidFrames: InvalidFrames;
  /** The node index of the shard that owns a topic. */
  readonly shardOf: (topic: string) => number;
}

export interface SocketStart {
  readonly kind: SocketKind;
  readonly socket: ConnectSocket;
  readonly serializerName: string;
  /** When the connection expires, in ms since the epoch. */
  readonly expiresAt: number | undefined;
  readonly connection: number;
  readonly transport: Transport;
  /** Set to false by a process that is not ready yet: wait with the call `["ready"]`. */
  isReady?: boolean;
}

/** A monitored channel process. */
export interface MonitoredChannel {
  readonly topic: string;
  readonly token: number;
  readonly pid: Pid;
  readonly monitor: Ref;
  /** The flow control of the frames forwarded to it. */
  readonly window: CreditWindow;
}

/** A shard that is monitored while it has unanswered joins. */
export interface PendingShard {
  readonly monitor: Ref;
  /** Their topics, by token. */
  readonly joins: Map<number, string>;
}

/**
 * The state of one connection. Rare parts are created on demand, to keep idle connections small.
 */
export class SocketState {
  readonly kind: SocketKind;
  readonly socket: ConnectSocket;
  readonly serializer: Serializer;
  readonly connection: number;
  readonly transport: Transport;
  readonly messages: TokenBucket | undefined;
  readonly joins: TokenBucket | undefined;
  readonly topics = new SmallMap<string, Subscription<MonitoredChannel>>();
  /** The monitored channels, by monitor id. */
  readonly channels = new SmallMap<number, MonitoredChannel>();
  /** What is queued for all channels; undefined until something is. */
  backlog: Backlog | undefined;
  /** By node index. */
  readonly shards = new SmallMap<number, PendingShard>();
  /** Failed attempts in a row to subscribe to its id. */
  subscribeAttempts = 0;
  /** What has been logged of this connection. */
  loggedOnce: Set<"rate" | "topics" | "invalid frame"> | undefined;
  /** The timer of its expiry. */
  expiry: Ref | undefined;
  /** The next token of a join or timer. */
  nextId = 1;

  constructor({ kind, socket, serializerName, connection, transport }: SocketStart) {
    this.kind = kind;
    this.socket = socket;
    this.serializer = serializerFor(serializerName);
    this.connection = connection;
    this.transport = transport;
    this.messages = bucket(kind.messageRate);
    this.joins = bucket(kind.joinRate);
  }
}

export type Next = readonly ["noreply", SocketState] | readonly ["stop", unknown, SocketState];
export const noreply = (state: SocketState): Next => ["noreply", state];

const bucket = (rate: Rate | false): TokenBucket | undefined =>
  rate === false ? undefined : new TokenBucket(rate);

/** The state that `Debug` shows. */
export interface SocketDescription {
  readonly module: string;
  readonly id: string | null;
  readonly transport: string;
  readonly channels: readonly {
    readonly topic: string;
    readonly status: "joined" | "leaving";
    readonly pid: Pid;
  }[];
}

export function describe({ kind, socket, transport, topics }: SocketState): SocketDescription {
  const channels: { topic: string; status: "joined" | "leaving"; pid: Pid }[] = [];
  for (const [topic, subscription] of topics) {
    if (subscription.type === "starting") continue;
    const status = subscription.type === "joined" ? "joined" : "leaving";
    channels.push({ topic, status, pid: subscription.channel.pid });
  }
  return { module: kind.mount, id: socket.id, transport: transport.name, channels };
}

export function write(state: SocketState, frame: Frame): void {
  state.kind.writer.send(state.connection, frame);
}

/** Logs it once per connection: a client can cause it any number of times. */
export function noticeOnce(
  state: SocketState,
  what: "rate" | "topics" | "invalid frame",
  level: "info" | "warning" | "error",
  text: string,
): void {
  if (state.loggedOnce?.has(what)) return;
  state.loggedOnce ??= new Set();
  state.loggedOnce.add(what);
  notice(state, level, text);
}

export function notice(
  state: SocketState,
  level: "debug" | "info" | "warning" | "error",
  text: string,
): void {
  thisNode().report({
    kind: "notice",
    level,
    text,
    pid: self(),
    metadata: { endpoint: state.socket.endpoint, id: state.socket.id },
  });
}
