/**
 * What the processes of a connection send each other: the transport, the connection's process, its
 * channels and their shard.
 *
 * They are classes, so that no message of an application can be taken for one of them: channels get
 * what applications send them in the same mailbox, and the connection's process gets what is
 * published on its id.
 */

import type { Pid } from "simurgh/runtime";
import { registerMessageClass } from "#runtime";
import type { RawPayload } from "../protocol/frame-scanner.js";
import type { WireRef } from "../protocol/message.js";
import type { ChannelStart } from "./channel-server.js";
import type { Taken } from "./credit-window.js";

/** The name that the shard of an endpoint has in each thread. */
export const shardName = (endpoint: string): string => `${endpoint}.shard`;

/**
 * From the connection's process to the shard of a topic, which starts the channel. The channel
 * itself reports; the shard reports only what it did not start.
 */
export type StartChannel = readonly ["start channel", mount: string, channel: number, start: ChannelStart];

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
 * From the connection's process to a channel: what is to become of it, in order with the events of
 * its client.
 */
export class ChannelOrder {
  readonly order:
    | { readonly type: "leave"; readonly ref: WireRef }
    /** The client has joined again; its end is reported to the client by others. */
    | { readonly type: "replaced" }
    /** Nothing comes after this: the answer to `closing`. */
    | { readonly type: "ended" }
    /** The connection has ended (in tests it has no process). */
    | { readonly type: "disconnected" };

  constructor(order: ChannelOrder["order"]) {
    this.order = order;
  }
}

/**
 * What a channel, or its shard, reports to the connection's process. `token` says which join it is
 * about.
 */
export type ChannelNews = { readonly topic: string; readonly token: number } & (
  | { readonly type: "started"; readonly pid: Pid }
  /** There is no channel, and the join has not been answered. */
  | { readonly type: "not_started" }
  /** The topic has moved to another thread meanwhile. */
  | { readonly type: "elsewhere" }
  /** The join has been answered. */
  | { readonly type: "joined" | "refused" }
  /** It ends by itself; what it has been sent until it gets `ended` it answers. */
  | { readonly type: "closing" }
  /** The client has been sent the close, or an error. */
  | { readonly type: "closed" }
  | { readonly type: "taken"; readonly taken: Taken }
  /** A payload was not one. When it was the join's, the channel has ended. */
  | { readonly type: "invalid_frame"; readonly ref: WireRef; readonly join: boolean }
);

/** What others report to the connection's process. */
export type ConnectionNews =
  | { readonly type: "transport_closed"; readonly reason: unknown }
  | { readonly type: "thread_gone"; readonly node: number }
  | { readonly type: "drain" }
  /** The client has shown a fresh token. */
  | { readonly type: "expire_at"; readonly at: number }
  | { readonly type: "expired" }
  | { readonly type: "timer"; readonly topic: string; readonly timer: number };

export class SocketNews {
  readonly news: ChannelNews | ConnectionNews;

  constructor(news: ChannelNews | ConnectionNews) {
    this.news = news;
  }
}

registerMessageClass(ClientFrame, 0x30, ({ data }) => [data]);
registerMessageClass(ChannelPush, 0x31, ({ event, ref, payload, size }) => [event, ref, payload, size]);
registerMessageClass(ChannelOrder, 0x32, ({ order }) => [order]);
registerMessageClass(SocketNews, 0x33, ({ news }) => [news]);
