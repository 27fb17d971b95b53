/**
 * ChannelHarness runs channels without a connection, with the test as the client. Frames are not
 * encoded: they arrive in the owner's mailbox as values, together with the messages of topics that
 * it subscribes to.
 *
 * See `simurgh/testing`, which builds its helpers on this.
 */

import { PubSub } from "simurgh/pubsub";
import {
  type ChildSpec,
  DynamicSupervisor,
  type Pid,
  Supervisor,
  self,
  send,
  thisNode,
} from "simurgh/runtime";
import { showTerm } from "#runtime";
import { Writer } from "../fanout/connection-writer.js";
import { registerEndpoint } from "../protocol/endpoint-config.js";
import type { RawPayload } from "../protocol/frame-scanner.js";
import type { Frame, WireRef } from "../protocol/message.js";
import { DEFAULT_FILTER } from "../protocol/param-filter.js";
import { registerSerializer, type Serializer } from "../protocol/serializers.js";
import type { Channel } from "./channel.js";
import { startChannel } from "./channel-server.js";
import { ChannelCommand, type ChannelNotification, ChannelPush, SocketNotification } from "./messages.js";
import type { Assigns, ChannelSocket, ConnectSocket } from "./socket.js";

/** A frame as it arrives in the owner's mailbox. */
export type HarnessFrame =
  | {
      readonly type: "push";
      readonly topic: string;
      readonly event: string;
      readonly payload: unknown;
      readonly joinRef: WireRef;
    }
  | {
      readonly type: "reply";
      readonly topic: string;
      readonly ref: WireRef;
      readonly status: string;
      readonly payload: unknown;
      readonly joinRef: WireRef;
    };

const frame = (value: HarnessFrame): Frame => value as never;

/** Encodes nothing. */
const noop: Serializer = {
  name: "noop",
  scan: () => undefined,
  encodePush: (joinRef, topic, event, payload) => frame({ type: "push", topic, event, payload, joinRef }),
  encodeReply: (joinRef, ref, topic, status, payload) =>
    frame({ type: "reply", topic, ref, status, payload, joinRef }),
  encodeBroadcast: ({ topic, event, payload }) =>
    frame({ type: "push", topic, event, payload, joinRef: null }),
  encodeControl: (joinRef, topic, event, payload) => frame({ type: "push", topic, event, payload, joinRef }),
};

export type JoinOutcome =
  | { readonly type: "joined"; readonly reply: unknown; readonly socket: ChannelSocket }
  | { readonly type: "refused"; readonly reply: unknown };

export class ChannelHarness {
  readonly endpoint: string;
  readonly pubsub: string;
  readonly #owner: Pid;
  readonly #writer: Writer;
  readonly #channels: string;
  #connections = 0;
  #refs = 0;

  private constructor(endpoint: string, owner: Pid, writer: Writer) {
    this.endpoint = endpoint;
    this.pubsub = `${endpoint}.pubsub`;
    this.#channels = `${endpoint}.channels`;
    this.#owner = owner;
    this.#writer = writer;
  }

  /**
   * Starts the processes that channels need. The calling process receives the frames. `children`
   * are the application's own.
   */
  static async start(
    endpoint: string,
    children: (context: {
      readonly pubsub: string;
      readonly endpoint: string;
    }) => readonly ChildSpec[] = () => [],
  ): Promise<ChannelHarness> {
    registerSerializer(noop);
    const harness = new ChannelHarness(endpoint, self(), new Writer(thisNode()));
    const { pubsub } = harness;
    registerEndpoint(endpoint, {
      pubsub,
      gateways: [thisNode().index],
      secret: `${endpoint} has this secret in tests`,
      filterParameters: DEFAULT_FILTER,
      cluster: undefined,
    });
    const started = await Supervisor.startLink(
      [
        PubSub.childSpec({ name: pubsub }),
        ...children({ pubsub, endpoint }),
        DynamicSupervisor.childSpec({ id: "channels", name: harness.#channels }),
      ],
      { strategy: "rest_for_one" },
    );
    if (started[0] !== "ok") throw new Error(`the test's endpoint did not start: ${showTerm(started)}`);
    return harness;
  }

  /** A socket without a connection. */
  socket(id: string | null, assigns: Assigns, transport = "websocket"): ConnectSocket {
    return { assigns, endpoint: this.endpoint, transport, id };
  }

  nextRef(): string {
    this.#refs += 1;
    return `ref-${this.#refs}`;
  }

  /**
   * Starts the channel's process and waits for the join reply. `notification` waits for a
   * notification of the channel to its connection, `reply` for the frame with a ref; both take
   * messages from the caller's mailbox.
   */
  async join(
    channel: Channel,
    socket: ConnectSocket,
    topic: string,
    payload: unknown,
    mailbox: {
      notification<T>(match: (message: unknown) => T | undefined): Promise<T>;
      reply(ref: string): Promise<unknown>;
    },
  ): Promise<JoinOutcome> {
    this.#connections += 1;
    const connection = this.#connections;
    const owner = this.#owner;
    this.#writer.open(connection, {
      write: (outgoing) => void send(owner, outgoing.frame),
    });
    const ref = this.nextRef();
    const started = await startChannel(this.#channels, channel, {
      token: connection,
      connected: false,
      socket: {
        ...socket,
        topic,
        joined: false,
        joinRef: ref,
        ref: null,
        channelPid: owner,
        transportPid: owner,
        serializer: noop.name,
        pubsub: this.pubsub,
        writer: this.#writer.pid,
        connection,
      },
      ref,
      wireJoinRef: ref,
      payload: raw(payload),
      owedFrames: [],
    });
    if (!Array.isArray(started) || started[0] !== "ok")
      throw new Error(`the channel did not start: ${showTerm(started)}`);
    const pid = started[1] as Pid;
    const outcome = await mailbox.notification((message) => outcomeOf(message, connection));
    const reply = await mailbox.reply(ref);
    if (outcome === "refused") return { type: "refused", reply };
    return {
      type: "joined",
      reply,
      socket: {
        ...socket,
        topic,
        joined: true,
        joinRef: ref,
        ref: null,
        channelPid: pid,
        transportPid: owner,
        serializer: noop.name,
        pubsub: this.pubsub,
        writer: this.#writer.pid,
        connection,
      },
    };
  }

  push(socket: ChannelSocket, event: string, payload: unknown): string {
    const ref = this.nextRef();
    send(socket.channelPid, new ChannelPush(event, ref, raw(payload), 0));
    return ref;
  }

  leave(socket: ChannelSocket): string {
    const ref = this.nextRef();
    send(socket.channelPid, new ChannelCommand({ type: "leave", ref }));
    return ref;
  }

  /** Notifies a channel that its client's connection has ended. */
  disconnect(socket: ChannelSocket): void {
    send(socket.channelPid, new ChannelCommand({ type: "disconnected" }));
    this.#writer.close(socket.connection);
  }
}

/** The outcome of the join with that token, when the message is about it. */
function outcomeOf(message: unknown, token: number): "joined" | "refused" | undefined {
  if (!(message instanceof SocketNotification)) return undefined;
  const notification = message.notification as ChannelNotification;
  if (notification.type !== "joined" && notification.type !== "refused") return undefined;
  return notification.token === token ? notification.type : undefined;
}

/** Objects and bytes unchanged; any other value as the text a client would have sent. */
const raw = (payload: unknown): RawPayload =>
  typeof payload === "object" && payload !== null ? payload : `${JSON.stringify(payload)}]`;
