/**
 * The messages between the processes of a connection: the transport, the connection's process, its
 * channels and their shards.
 *
 * They are classes, so that they cannot be confused with messages of the application, which arrive
 * in the same mailboxes: channels receive anything, and the connection's process receives what is
 * published on its id.
 */

import type { Pid } from "simurgh/runtime";
import { registerMessageClass } from "#runtime";
import type { RawPayload } from "../protocol/frame-scanner.js";
import type { Frame, WireRef } from "../protocol/message.js";
import type { Credits } from "./credit-window.js";
import type { ChannelSocket } from "./socket.js";

/** The name that the shard of an endpoint has in each thread. */
export const shardName = (endpoint: string): string => `${endpoint}.shard`;

export interface ChannelStart {
  /** Identifies the join among those of its connection. */
  readonly token: number;
  /** Whether a process of the connection exists that replies to `closing`. False in tests. */
  readonly connected: boolean;
  readonly socket: ChannelSocket;
  /** The ref of the join. */
  readonly ref: WireRef;
  /** The join_ref as the client sent it: carried by the join reply and by the close or error. */
  readonly wireJoinRef: WireRef;
  readonly payload: RawPayload;
  /** Frames owed for the channel that this one replaces, sent after the join reply. */
  readonly owedFrames: readonly Frame[];
}

/**
 * From the connection's process to the shard of a topic, which starts the channel. A channel that
 * starts notifies the connection's process itself; otherwise the shard does.
 */
export type StartChannel = readonly ["start_channel", mount: string, channel: number, start: ChannelStart];

/** From the transport to the connection's process: a frame of the client. Stays in its thread. */
export class ClientFrame {
  readonly data: string | Uint8Array;

  constructor(data: string | Uint8Array) {
    this.data = data;
  }
}

/**
 * From the connection's process to a channel: an event of the client, and the size of its frame.
 */
export class ChannelPush {
  readonly event: string;
  readonly ref: WireRef;
  readonly payload: RawPayload;
  readonly size: number;

  constructor(event: string, ref: WireRef, payload: RawPayload, size: number) {
    this.event = event;
    this.ref = ref;
    this.payload = payload;
    this.size = size;
  }
}

/**
 * From the connection's process to a channel: leave, or stop. Sent in order with the client's
 * events.
 */
export class ChannelCommand {
  readonly command:
    | { readonly type: "leave"; readonly ref: WireRef }
    /** The client has joined again; the channel sends no close. */
    | { readonly type: "replaced" }
    /** The reply to `closing`: no further event follows. */
    | { readonly type: "ended" }
    /** The connection has ended. For tests, whose connections have no process. */
    | { readonly type: "disconnected" };

  constructor(command: ChannelCommand["command"]) {
    this.command = command;
  }
}

/** From a channel, or its shard, to the connection's process. `token` identifies the join. */
export type ChannelNotification = { readonly topic: string; readonly token: number } & (
  | { readonly type: "started"; readonly pid: Pid }
  /** The channel did not start, and the join has not been answered. */
  | { readonly type: "not_started" }
  /** Another thread owns the topic now. */
  | { readonly type: "topic_moved" }
  /** The join has been answered. */
  | { readonly type: "joined" | "refused" }
  /** The channel stops by itself. It replies to all events that arrive before `ended`. */
  | { readonly type: "closing" }
  /** The close or error has been sent to the client. */
  | { readonly type: "closed" }
  | { readonly type: "credits"; readonly credits: Credits }
  /** A payload was not valid JSON. When it was the join's, the channel has ended. */
  | { readonly type: "invalid_frame"; readonly ref: WireRef; readonly join: boolean }
);

/** From other processes to the connection's process. */
export type ConnectionNotification =
  | { readonly type: "transport_closed"; readonly reason: unknown }
  | { readonly type: "node_down"; readonly node: number }
  | { readonly type: "drain" }
  /** Moves the time at which the connection expires. */
  | { readonly type: "expire_at"; readonly at: number }
  | { readonly type: "expired" }
  | { readonly type: "timer"; readonly topic: string; readonly timer: number };

export class SocketNotification {
  readonly notification: ChannelNotification | ConnectionNotification;

  constructor(notification: ChannelNotification | ConnectionNotification) {
    this.notification = notification;
  }
}

registerMessageClass(ClientFrame, 0x30, ({ data }) => [data]);
registerMessageClass(ChannelPush, 0x31, ({ event, ref, payload, size }) => [event, ref, payload, size]);
registerMessageClass(ChannelCommand, 0x32, ({ command }) => [command]);
registerMessageClass(SocketNotification, 0x33, ({ notification }) => [notification]);
