/**
 * The process behind one joined topic of one connection (Phoenix.Channel.Server).
 *
 *   joining ──join returns joined──▶ joined ──leave, stop, throw, connection gone──▶ ended
 *      │ refused, thrown
 *      └──▶ ended
 *
 * Frames to the client go straight to the gateway's writer. The connection's process is notified of
 * the two frames it must know of: the join reply and the end of the channel. When a channel dies
 * without having sent them, the connection's process learns that from its monitor and sends them
 * instead.
 *
 * A channel that stops because a handler returned `stop` or threw first replies with an error to
 * every event that was sent to it and not handled; later events get the same error from the
 * connection's process.
 */

import { PubSub } from "simurgh/pubsub";
import {
  DynamicSupervisor,
  type ExitReason,
  type From,
  GenServer,
  type GenServerModule,
  isNormalClass,
  monitor,
  type Ref,
  receive,
  self,
  send,
  thisNode,
} from "simurgh/runtime";
import type { FastlaneMetadata } from "../fanout/fastlane.js";
import { PHX_CLOSE, PHX_ERROR } from "../protocol/constants.js";
import { CLIENT_ERRORS, invalidPayload } from "../protocol/errors.js";
import { decodePayload, InvalidFrame, type RawPayload } from "../protocol/frame-scanner.js";
import { type Frame, isBroadcast, type WireRef } from "../protocol/message.js";
import { type Serializer, serializerFor } from "../protocol/serializers.js";
import { type Channel, checkIntercepts } from "./channel.js";
import { CreditCounter } from "./credit-window.js";
import { channelEnded, handledIn, handledInIsWatched, joinAnswered } from "./instrumentation.js";
import { ChannelCommand, type ChannelNotification, ChannelPush, SocketNotification } from "./messages.js";
import { badReturn, type InfoResult, type InResult, isResult, type JoinResult } from "./results.js";
import {
  type ChannelSocket,
  type ChannelSocketValue,
  channelSocket,
  joinedSocket,
  type PushCell,
  report,
  returnedSocket,
  write,
} from "./socket.js";
import { validate } from "./validate.js";

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
  readonly after: readonly Frame[];
}

/** Mutated in place, once a callback has returned: a copy per message would be too expensive. */
interface ChannelState {
  channel: Channel;
  start: ChannelStart | undefined;
  socket: ChannelSocketValue;
  readonly push: PushCell;
  readonly serializer: Serializer;
  readonly wireJoinRef: WireRef;
  readonly token: number;
  readonly connected: boolean;
  /** The monitor of the connection's process. */
  readonly transport: Ref;
  /** Events that go through `handleOut` instead of straight to the client. */
  intercepts: readonly string[];
  /** Counts handled frames for the connection's flow control. */
  readonly credits: CreditCounter;
  /** The close or error has been sent, or the connection's process sends it. */
  closed: boolean;
}

type Next =
  | readonly ["noreply", ChannelState]
  | readonly ["noreply", ChannelState, number | "hibernate"]
  | readonly ["stop", ExitReason, ChannelState];

const JOIN_FORMS = [
  "joined(socket)",
  "joined(socket, reply)",
  "joined(socket, reply, options)",
  "refused(reply)",
];
const IN_FORMS = [
  "noreply(socket)",
  "noreply(socket, timeout)",
  "reply(status, socket)",
  "reply(status, response, socket)",
  "stop(reason, socket)",
  "stop(reason, [status, response], socket)",
];
const INFO_FORMS = ["noreply(socket)", "noreply(socket, timeout)", "stop(reason, socket)"];

/** The call that returns a channel's socket; it never reaches the channel's own `handleCall`. */
export const GET_SOCKET = "$simurgh.channel.socket";

/** Notifies the connection's process. */
const notify = (socket: ChannelSocket, notification: ChannelNotification): void =>
  void send(socket.transportPid, new SocketNotification(notification));

/** The fields that identify a channel in a notification. */
const about = ({ socket, token }: ChannelState): { topic: string; token: number } => ({
  topic: socket.topic,
  token,
});

const server: GenServerModule<ChannelState, { channel: Channel; start: ChannelStart }> = {
  name: "Channel",

  init({ channel, start }) {
    const push: PushCell = { ref: null };
    const own = channel.callbacks.assigns;
    const assigns = own === undefined ? start.socket.assigns : { ...start.socket.assigns, ...own };
    const socket = channelSocket(start.socket, push, self(), assigns);
    // The end of the connection is the end of the channel.
    const transport = monitor(socket.transportPid);
    const { wireJoinRef, token, connected } = start;
    // Sent by the channel itself, so that it arrives before its other notifications.
    notify(socket, { type: "started", topic: socket.topic, token, pid: self() });
    const serializer = serializerFor(socket.serializer);
    return [
      "ok",
      {
        channel,
        start,
        socket,
        push,
        serializer,
        wireJoinRef,
        token,
        connected,
        transport,
        intercepts: [],
        credits: new CreditCounter(),
        closed: false,
      },
      ["continue", "join"],
    ];
  },

  async handleContinue(_join, state) {
    const start = state.start as ChannelStart;
    const answer = (status: string, response: unknown): Frame =>
      state.serializer.encodeReply(start.wireJoinRef, start.ref, state.socket.topic, status, response);
    const refuse = (response: unknown): Next => {
      report(state.socket, [answer("error", response), ...start.after], { type: "refused", ...about(state) });
      state.start = undefined;
      state.closed = true;
      return ["stop", "shutdown", state];
    };
    let result: JoinResult;
    let params: unknown;
    let joining = state.socket;
    const startedAt = performance.now();
    const { callbacks } = state.channel;
    try {
      const checked = await validate(callbacks.params, decodePayload(start.payload));
      if (!checked.ok) return refuse(invalidPayload(checked.issues));
      params = checked.value;
      result = await callbacks.join(state.socket.topic, checked.value, state.socket);
      if (!isResult(result, ["joined", "refused"])) throw badReturn("join", result, JOIN_FORMS);
      if (result.type === "joined") {
        const returned = returnedSocket(result.socket, state.socket);
        if (returned === undefined) throw badReturn("join", result, JOIN_FORMS);
        joining = returned;
        state.intercepts = checkIntercepts(state.channel, result.intercept ?? callbacks.intercept ?? []);
      }
    } catch (error) {
      if (error instanceof InvalidFrame) {
        const { ref, after } = start;
        report(state.socket, after, { type: "invalid_frame", ...about(state), ref, join: true });
        state.closed = true;
        return ["stop", "shutdown", state];
      }
      thisNode().report({
        kind: "notice",
        level: "error",
        text: `join of ${state.socket.topic} crashed`,
        pid: self(),
        metadata: { error },
      });
      // `terminate` is not invoked for a join that crashed.
      state.channel = { ...state.channel, callbacks: { join: state.channel.callbacks.join } };
      return refuse(CLIENT_ERRORS.joinCrashed);
    }
    const answered = result.type === "refused" ? "error" : "ok";
    joinAnswered(state.socket, params, answered, performance.now() - startedAt, callbacks.logJoin ?? "info");
    if (result.type === "refused") return refuse(result.reply);
    const socket = joinedSocket(joining);
    const metadata: FastlaneMetadata = {
      fastlane: true,
      writer: socket.writer,
      connection: socket.connection,
      serializer: socket.serializer,
      intercepts: state.intercepts,
    };
    const reply = answer("ok", result.reply);
    const reach = PubSub.prepare(socket.pubsub, socket.topic);
    if (reach !== undefined) await reach;
    // No await when the subscription is synchronous: no broadcast may come between it and the
    // reply.
    const subscribed = PubSub.subscribe(socket.pubsub, socket.topic, { metadata });
    if (subscribed !== "ok") await subscribed;
    report(socket, [reply, ...start.after], { type: "joined", ...about(state) });
    state.start = undefined;
    state.socket = socket;
    return ["noreply", state];
  },

  handleInfo(message, state) {
    if (message instanceof ChannelPush) return handleIn(message, state);
    if (message instanceof ChannelCommand) return handleCommand(message, state);
    if (message === PubSub.OWNERS_CHANGED) return onOwnersChanged(state);
    if (isDown(message, state.transport)) return disconnected(message[4], state);
    const { callbacks } = state.channel;
    if (
      isBroadcast(message) &&
      message.topic === state.socket.topic &&
      state.intercepts.includes(message.event)
    ) {
      const handler = callbacks.handleOut?.[message.event] as NonNullable<typeof callbacks.handleOut>[string];
      return act(`handleOut ${message.event}`, handler(message.payload, state.socket), state, INFO_FORMS);
    }
    if (callbacks.handleInfo === undefined) {
      thisNode().report({
        kind: "notice",
        level: "warning",
        text: `${state.channel.pattern} received an unexpected message; it has no handleInfo`,
        pid: self(),
        metadata: { message },
      });
      return ["noreply", state];
    }
    return act("handleInfo", callbacks.handleInfo(message, state.socket), state, INFO_FORMS);
  },

  handleCall(request, from: From, state) {
    if (Array.isArray(request) && request[0] === GET_SOCKET)
      return ["reply", { ...state.socket, ref: null }, state];
    const { callbacks } = state.channel;
    if (callbacks.handleCall === undefined) throw new Error(`${state.channel.pattern} has no handleCall`);
    return act("handleCall", callbacks.handleCall(request, from, state.socket), state, IN_FORMS, from);
  },

  handleCast(request, state) {
    const { callbacks } = state.channel;
    if (callbacks.handleCast === undefined) throw new Error(`${state.channel.pattern} has no handleCast`);
    return act("handleCast", callbacks.handleCast(request, state.socket), state, INFO_FORMS);
  },

  terminate(reason, state) {
    const end = (): unknown => {
      channelEnded(state.socket, reason);
      if (!state.closed && isNormalClass(reason)) sendEnd(reason, state);
      return state.channel.callbacks.terminate?.(reason, state.socket);
    };
    return state.closed || !state.connected ? end() : drainMailbox(state).then(end);
  },

  formatStatus: ({ state }) => ({
    topic: state.socket.topic,
    joinRef: state.socket.joinRef,
    connection: state.socket.connection,
  }),
};

function handleIn({ event, ref, payload, size }: ChannelPush, state: ChannelState): Next | Promise<Next> {
  const credits = state.credits.count(size);
  if (credits !== undefined) notify(state.socket, { type: "credits", ...about(state), credits });
  let value: unknown;
  try {
    value = decodePayload(payload);
  } catch {
    notify(state.socket, { type: "invalid_frame", ...about(state), ref, join: false });
    return ["noreply", state];
  }
  const schema = state.channel.callbacks.incoming?.[event]?.payload;
  state.push.ref = ref;
  if (schema === undefined) return runHandler(event, value, state);
  const checked = validate(schema, value);
  return checked instanceof Promise
    ? checked.then((result) => afterCheck(event, result, state))
    : afterCheck(event, checked, state);
}

function afterCheck(
  event: string,
  checked: Awaited<ReturnType<typeof validate>>,
  state: ChannelState,
): Next | Promise<Next> {
  if (checked.ok) return runHandler(event, checked.value, state);
  replyToPush(state, "error", invalidPayload(checked.issues));
  state.push.ref = null;
  return ["noreply", state];
}

function runHandler(event: string, payload: unknown, state: ChannelState): Next | Promise<Next> {
  const { logHandleIn = "debug" } = state.channel.callbacks;
  if (!handledInIsWatched(logHandleIn))
    return act(`handleIn ${event}`, callHandler(event, payload, state), state, IN_FORMS);
  const startedAt = performance.now();
  const done = <T>(result: T): T => {
    const { pattern } = state.channel;
    handledIn(state.socket, pattern, event, payload, performance.now() - startedAt, logHandleIn);
    return result;
  };
  const result = callHandler(event, payload, state);
  const measured = result instanceof Promise ? result.then(done) : done(result);
  return act(`handleIn ${event}`, measured, state, IN_FORMS);
}

function callHandler(event: string, payload: unknown, state: ChannelState): InResult | Promise<InResult> {
  const { handleIn } = state.channel.callbacks;
  if (typeof handleIn === "function") return handleIn(event, payload, state.socket);
  // Own properties only: an event named "constructor" is not a handler.
  const handler = handleIn !== undefined && Object.hasOwn(handleIn, event) ? handleIn[event] : undefined;
  if (handler === undefined)
    throw new Error(`${state.channel.pattern} has no handler for the event ${JSON.stringify(event)}`);
  return handler(payload, state.socket);
}

function replyToPush({ serializer, socket }: ChannelState, status: string, response: unknown): void {
  write(socket, serializer.encodeReply(socket.joinRef, socket.ref, socket.topic, status, response));
}

/** Applies the result of a callback; synchronously when the callback was synchronous. */
function act(
  callback: string,
  result: InResult | InfoResult | Promise<InResult | InfoResult>,
  state: ChannelState,
  forms: readonly string[],
  from?: From,
): Next | Promise<Next> {
  if (result instanceof Promise) return result.then((value) => carryOut(callback, value, state, forms, from));
  return carryOut(callback, result, state, forms, from);
}

function carryOut(
  callback: string,
  result: InResult | InfoResult,
  state: ChannelState,
  forms: readonly string[],
  from: From | undefined,
): Next {
  const allowed = forms === INFO_FORMS ? ["noreply", "stop"] : ["noreply", "reply", "stop"];
  if (!isResult(result, allowed) || !("socket" in result)) throw badReturn(callback, result, forms);
  const socket = returnedSocket(result.socket, state.socket);
  if (socket === undefined) throw badReturn(callback, result, forms);
  const answer = (status: string, response: unknown): void => {
    if (from === undefined) replyToPush(state, status, response);
    else GenServer.reply(from, response);
  };
  if (result.type === "reply") {
    if (typeof result.status !== "string") throw badReturn(callback, result, forms);
    answer(result.status, result.response);
  } else if (result.type === "stop" && result.reply !== undefined) {
    answer(result.reply.status, result.reply.response);
  }
  // The push has been handled, so its ref is no longer valid.
  state.push.ref = null;
  state.socket = socket;
  if (result.type === "stop") return ["stop", result.reason, state];
  const idle = result.type === "noreply" ? result.idle : undefined;
  return idle === undefined ? ["noreply", state] : ["noreply", state, idle];
}

// ------------------------------------------------------------------ the end

function handleCommand({ command }: ChannelCommand, state: ChannelState): Next {
  switch (command.type) {
    case "leave":
      return leave(command.ref, state);
    case "replaced":
      state.closed = true;
      // `terminate` is not invoked for a channel that a further join replaces.
      state.channel = { ...state.channel, callbacks: { join: state.channel.callbacks.join } };
      return ["stop", ["shutdown", "duplicate_join"], state];
    case "disconnected":
      return disconnected("normal", state);
    case "ended":
      return ["noreply", state];
  }
}

/** The client leaves: its reply, then the close, then `terminate`. */
function leave(ref: WireRef, state: ChannelState): Next {
  const { socket, serializer, wireJoinRef } = state;
  const reply = leaveReply(ref, state);
  const close = serializer.encodeControl(wireJoinRef, socket.topic, PHX_CLOSE, {});
  report(socket, [reply, close], { type: "closed", ...about(state) });
  state.closed = true;
  return ["stop", ["shutdown", "left"], state];
}

const leaveReply = (ref: WireRef, { serializer, socket }: ChannelState): Frame =>
  serializer.encodeReply(socket.joinRef, ref, socket.topic, "ok", {});

function isDown(message: unknown, monitor: Ref): message is readonly unknown[] {
  return Array.isArray(message) && message[0] === "DOWN" && monitor.equals(message[1]);
}

function disconnected(reason: unknown, state: ChannelState): Next {
  state.closed = true;
  return ["stop", reason === "normal" ? ["shutdown", "closed"] : reason, state];
}

/** Milliseconds the connection's process has to confirm that it sends no more events. */
const CONFIRM_MS = 5000;

/**
 * Replies to the events still in the mailbox of a channel that stops by itself, until the
 * connection's process confirms that no more follow.
 */
async function drainMailbox(state: ChannelState): Promise<void> {
  const { socket, serializer, transport } = state;
  notify(socket, { type: "closing", ...about(state) });
  for (;;) {
    const next = await receive(
      (message): ChannelPush | ChannelCommand | "down" | undefined => {
        if (message instanceof ChannelPush || message instanceof ChannelCommand) return message;
        return isDown(message, transport) ? "down" : undefined;
      },
      { after: CONFIRM_MS },
    );
    if (next instanceof ChannelPush) {
      write(
        socket,
        serializer.encodeReply(null, next.ref, socket.topic, "error", CLIENT_ERRORS.unmatchedTopic),
      );
    } else if (next instanceof ChannelCommand && next.command.type === "leave") {
      write(socket, leaveReply(next.command.ref, state));
    } else if (!(next instanceof ChannelCommand) || next.command.type === "ended") {
      // The client is gone.
      if (next === "down") state.closed = true;
      return;
    }
  }
}

/**
 * Slots have moved between threads. When this topic has moved, the channel stops and its client
 * joins again on the new thread.
 */
function onOwnersChanged(state: ChannelState): Next | Promise<Next> {
  const { socket } = state;
  if (PubSub.ownerOf(socket.pubsub, socket.topic) === thisNode().index) return ["noreply", state];
  return stopMoved(state);
}

async function stopMoved(state: ChannelState): Promise<Next> {
  const { socket } = state;
  // The subscription has moved already, and would stay beside that of the next channel.
  await PubSub.unsubscribe(socket.pubsub, socket.topic);
  return ["stop", TOPIC_MOVED, state];
}

const TOPIC_MOVED: ExitReason = ["shutdown", "topic_moved"];

function sendEnd(reason: ExitReason, state: ChannelState): void {
  const { socket, serializer, wireJoinRef } = state;
  const { topic } = socket;
  const frame =
    reason === TOPIC_MOVED
      ? serializer.encodeControl(wireJoinRef, topic, PHX_ERROR, CLIENT_ERRORS.topicMoved)
      : serializer.encodeControl(wireJoinRef, topic, PHX_CLOSE, {});
  report(socket, [frame], { type: "closed", ...about(state) });
}

/** Starts a channel under the shard's ChannelSupervisor; the channel itself runs the join. */
export function startChannel(
  supervisor: string,
  channel: Channel,
  start: ChannelStart,
): ReturnType<typeof DynamicSupervisor.startChild> {
  return DynamicSupervisor.startChild(supervisor, {
    id: start.socket.topic,
    start: [GenServer.startLink, [server, { channel, start }, { label: start.socket.topic }]],
    restart: "temporary",
    shutdown: 5000,
  });
}
