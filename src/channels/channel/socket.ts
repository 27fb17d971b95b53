/**
 * The socket as callbacks see it: an immutable value. `assign` gives a new one, and a callback
 * returns the one that counts from then on (Phoenix.Socket).
 */

import { type PublishResult, PubSub } from "simurgh/pubsub";
import { type Pid, send } from "simurgh/runtime";
import { show } from "#runtime";
import { fastlane } from "../fanout/fastlane.js";
import { reportFrames, sendFrame } from "../fanout/writer-messages.js";
import { checkPayload, type Frame, type WireRef } from "../protocol/message.js";
import { serializerFor } from "../protocol/serializers.js";
import { type ChannelNews, SocketNews } from "./messages.js";

export type Assigns = Readonly<Record<string, unknown>>;

/** The connection, as `connect` and `id` see it. */
export interface ConnectSocket {
  readonly assigns: Assigns;
  readonly endpoint: string;
  readonly transport: string;
  readonly id: string | null;
}

declare const pushes: unique symbol;

/**
 * One channel's view of its connection. `Pushes` tells in types what the channel may push; see
 * `outgoing` of a channel.
 */
// biome-ignore lint/suspicious/noExplicitAny: most channels declare nothing
export interface ChannelSocket<Pushes = any> extends ConnectSocket {
  /** Never there. */
  readonly [pushes]?: Pushes;
  readonly topic: string;
  readonly joined: boolean;
  readonly joinRef: WireRef;
  /** The ref of the push that is being handled; null outside of `handleIn`. */
  readonly ref: WireRef;
  /** The channel's own process. */
  readonly channelPid: Pid;
  /** The process of the connection. */
  readonly transportPid: Pid;
  /** Name of the serializer its frames go through. */
  readonly serializer: string;
  readonly pubsub: string;
  /** Who writes to the connection, and its number there. */
  readonly writer: Pid;
  readonly connection: number;
}

/**
 * The push a channel is handling. One per channel, shared by all values of its socket, so that none
 * need be copied for it.
 */
export interface PushCell {
  ref: WireRef;
}

/** A channel's socket. The ref is that of its push, whatever the fields say. */
export class ChannelSocketValue implements ChannelSocket {
  readonly assigns: Assigns;
  readonly endpoint: string;
  readonly transport: string;
  readonly id: string | null;
  readonly topic: string;
  readonly joined: boolean;
  readonly joinRef: WireRef;
  readonly channelPid: Pid;
  readonly transportPid: Pid;
  readonly serializer: string;
  readonly pubsub: string;
  readonly writer: Pid;
  readonly connection: number;
  readonly #push: PushCell;

  constructor(fields: ChannelSocket, push: PushCell, channelPid: Pid, assigns: Assigns, joined: boolean) {
    this.assigns = assigns;
    this.endpoint = fields.endpoint;
    this.transport = fields.transport;
    this.id = fields.id;
    this.topic = fields.topic;
    this.joined = joined;
    this.joinRef = fields.joinRef;
    this.channelPid = channelPid;
    this.transportPid = fields.transportPid;
    this.serializer = fields.serializer;
    this.pubsub = fields.pubsub;
    this.writer = fields.writer;
    this.connection = fields.connection;
    this.#push = push;
  }

  get ref(): WireRef {
    return this.#push.ref;
  }

  /** @internal */
  with(assigns: Assigns, joined: boolean): ChannelSocketValue {
    return new ChannelSocketValue(this, this.#push, this.channelPid, assigns, joined);
  }
}

/** The socket with one assign, or several, replaced. */
export function assign<S extends ConnectSocket>(socket: S, key: string, value: unknown): S;
export function assign<S extends ConnectSocket>(socket: S, values: Assigns): S;
export function assign<S extends ConnectSocket>(
  socket: S,
  keyOrValues: string | Assigns,
  value?: unknown,
): S {
  const values = typeof keyOrValues === "string" ? { [keyOrValues]: value } : keyOrValues;
  const assigns = { ...socket.assigns, ...values };
  return socket instanceof ChannelSocketValue
    ? (socket.with(assigns, socket.joined) as ConnectSocket as S)
    : { ...socket, assigns };
}

/** @internal Makes the socket of a channel that joins. */
export const channelSocket = (
  fields: ChannelSocket,
  push: PushCell,
  channelPid: Pid,
  assigns: Assigns,
): ChannelSocketValue => new ChannelSocketValue(fields, push, channelPid, assigns, false);

/**
 * @internal What a callback returned, as the socket of this channel: a copy made by spreading is as
 * good as one of `assign`. Undefined when it is no socket, or another channel's.
 */
export function returnedSocket(returned: unknown, own: ChannelSocketValue): ChannelSocketValue | undefined {
  if (typeof returned !== "object" || returned === null) return undefined;
  const { channelPid, assigns } = returned as Partial<ChannelSocket>;
  if (channelPid !== own.channelPid || typeof assigns !== "object") return undefined;
  return returned instanceof ChannelSocketValue ? returned : own.with(assigns, own.joined);
}

/** @internal The socket once its channel has joined. */
export const joinedSocket = (socket: ChannelSocketValue): ChannelSocketValue =>
  socket.with(socket.assigns, true);

function checkJoined(socket: ChannelSocket, what: string): void {
  if (socket.joined) return;
  throw new Error(
    `${what} works only once the channel has joined; from join, send yourself a message, send(socket.channelPid, "after join"), and do it in handleInfo`,
  );
}

/**
 * Sends an event to this client alone. Payload: an object or bytes. Throws before the channel has
 * joined.
 */
export function push<Pushes, Event extends keyof Pushes & string>(
  socket: ChannelSocket<Pushes>,
  event: Event,
  payload: Pushes[Event],
): void {
  checkJoined(socket, "push()");
  write(socket, serializerFor(socket.serializer).encodePush(socket.joinRef, socket.topic, event, payload));
}

/** Sends an event to everybody on the channel's topic, this client included. */
export function broadcast(socket: ChannelSocket, event: string, payload: unknown): PublishResult {
  checkJoined(socket, "broadcast()");
  checkPayload(event, payload);
  return PubSub.broadcast(socket.pubsub, socket.topic, { topic: socket.topic, event, payload }, fastlane);
}

/** As `broadcast`, but leaves this channel out. */
export function broadcastFrom(socket: ChannelSocket, event: string, payload: unknown): PublishResult {
  checkJoined(socket, "broadcastFrom()");
  checkPayload(event, payload);
  return PubSub.broadcastFrom(
    socket.pubsub,
    socket.channelPid,
    socket.topic,
    { topic: socket.topic, event, payload },
    fastlane,
  );
}

/**
 * Moves the end of the client's connection, in ms since the epoch; Infinity takes it away. For a
 * handler that has been shown a fresh token. To end all connections of a user now:
 * `Endpoint.disconnect`.
 */
export function expireAt(socket: ChannelSocket, epochMs: number): void {
  if (typeof epochMs !== "number" || Number.isNaN(epochMs))
    throw new TypeError(`expireAt() takes a time in ms since the epoch, got ${show(epochMs)}`);
  send(socket.transportPid, new SocketNews({ type: "expire_at", at: epochMs }));
}

/** What is needed to answer a push later, from anywhere. Plain data. */
export interface SocketRef {
  readonly writer: Pid;
  readonly connection: number;
  readonly serializer: string;
  readonly topic: string;
  readonly ref: WireRef;
  readonly joinRef: WireRef;
}

/** Captures the push that is being handled, to answer it later with `replyTo`. */
export function socketRef(socket: ChannelSocket): SocketRef {
  if (!socket.joined || socket.ref === null) {
    throw new Error("socket refs can only be generated for a socket that has joined with a push ref");
  }
  const { writer, connection, serializer, topic, ref, joinRef } = socket;
  return { writer, connection, serializer, topic, ref, joinRef };
}

/** Answers a push captured by `socketRef`. Harmless when the client is gone. */
export function replyTo(ref: SocketRef, status: string, response: unknown = {}): void {
  const frame = serializerFor(ref.serializer).encodeReply(ref.joinRef, ref.ref, ref.topic, status, response);
  send(ref.writer, sendFrame(ref.connection, frame));
}

/** @internal Hands a frame to the gateway's writer. */
export function write(socket: ChannelSocket, frame: Frame): void {
  send(socket.writer, sendFrame(socket.connection, frame));
}

/** @internal Writes frames about the channel, and reports them to the process of the connection. */
export function report(socket: ChannelSocket, frames: readonly Frame[], news: ChannelNews): void {
  send(socket.writer, reportFrames(socket.connection, frames, socket.transportPid, new SocketNews(news)));
}
