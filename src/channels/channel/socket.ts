/**
 * The socket that callbacks receive: an immutable value. `assign` returns a new one, and the one
 * that a callback returns replaces the channel's (Phoenix.Socket).
 */

import { type PublishResult, PubSub } from "simurgh/pubsub";
import { type Pid, send } from "simurgh/runtime";
import { show } from "#runtime";
import { fastlane } from "../fanout/fastlane.js";
import { reportFrames, sendFrame } from "../fanout/writer-messages.js";
import { checkPayload, type Frame, type WireRef } from "../protocol/message.js";
import { serializerFor } from "../protocol/serializers.js";
import { type ChannelNotification, SocketNotification } from "./messages.js";

export type Assigns = Readonly<Record<string, unknown>>;

/** The connection, as `connect` and `id` receive it. */
export interface ConnectSocket {
  readonly assigns: Assigns;
  readonly endpoint: string;
  readonly transport: string;
  readonly id: string | null;
}

declare const pushes: unique symbol;

/**
 * One channel's view of its connection. `Pushes` types what the channel may push; see `outgoing` of
 * a channel.
 */
// biome-ignore lint/suspicious/noExplicitAny: most channels declare nothing
export interface ChannelSocket<Pushes = any> extends ConnectSocket {
  /** Never set. */
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
  /** The gateway's writer, and the number that the connection has there. */
  readonly writer: Pid;
  readonly connection: number;
}

/**
 * The ref of the push that a channel is handling: one cell per channel, shared by all its socket
 * values, so that setting the ref copies no socket.
 */
export interface PushCell {
  ref: WireRef;
}

/** A channel's socket. Its `ref` reads the channel's push cell. */
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
 * @internal The socket that a callback returned; a copy made by spreading is accepted. Undefined
 * when the value is not a socket, or another channel's.
 */
export function returnedSocket(returned: unknown, own: ChannelSocketValue): ChannelSocketValue | undefined {
  if (typeof returned !== "object" || returned === null) return undefined;
  const { channelPid, assigns } = returned as Partial<ChannelSocket>;
  if (channelPid !== own.channelPid || typeof assigns !== "object") return undefined;
  return returned instanceof ChannelSocketValue ? returned : own.with(assigns, own.joined);
}

/** @internal The socket of a channel that has joined. */
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

/** Sends an event to all clients on the channel's topic, this one included. */
export function broadcast(socket: ChannelSocket, event: string, payload: unknown): PublishResult {
  checkJoined(socket, "broadcast()");
  checkPayload(event, payload);
  return PubSub.broadcast(socket.pubsub, socket.topic, { topic: socket.topic, event, payload }, fastlane);
}

/** Like `broadcast`, but not to this channel's client. */
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
 * Moves the time at which the client's connection expires, in ms since the epoch; Infinity removes
 * it. For a handler that has received a fresh token. To end all connections of a user now, call
 * `Endpoint.disconnect`.
 */
export function expireAt(socket: ChannelSocket, epochMs: number): void {
  if (typeof epochMs !== "number" || Number.isNaN(epochMs))
    throw new TypeError(`expireAt() takes a time in ms since the epoch, got ${show(epochMs)}`);
  send(socket.transportPid, new SocketNotification({ type: "expire_at", at: epochMs }));
}

/** A push to reply to later, from any process. Plain data. */
export interface SocketRef {
  readonly writer: Pid;
  readonly connection: number;
  readonly serializer: string;
  readonly topic: string;
  readonly ref: WireRef;
  readonly joinRef: WireRef;
}

/** Captures the push that is being handled, to reply later with `replyTo`. */
export function socketRef(socket: ChannelSocket): SocketRef {
  if (!socket.joined || socket.ref === null) {
    throw new Error("socket refs can only be generated for a socket that has joined with a push ref");
  }
  const { writer, connection, serializer, topic, ref, joinRef } = socket;
  return { writer, connection, serializer, topic, ref, joinRef };
}

/** Replies to a push captured by `socketRef`. Does nothing when the client is gone. */
export function replyTo(ref: SocketRef, status: string, response: unknown = {}): void {
  const frame = serializerFor(ref.serializer).encodeReply(ref.joinRef, ref.ref, ref.topic, status, response);
  send(ref.writer, sendFrame(ref.connection, frame));
}

/** @internal Sends a frame to the gateway's writer. */
export function write(socket: ChannelSocket, frame: Frame): void {
  send(socket.writer, sendFrame(socket.connection, frame));
}

/** @internal Notifies the connection's process. */
export const notify = (socket: ChannelSocket, notification: ChannelNotification): void =>
  void send(socket.transportPid, new SocketNotification(notification));

/** @internal Sends frames about the channel, and notifies the connection's process of them. */
export function report(
  socket: ChannelSocket,
  frames: readonly Frame[],
  notification: ChannelNotification,
): void {
  send(
    socket.writer,
    reportFrames(socket.connection, frames, socket.transportPid, new SocketNotification(notification)),
  );
}
