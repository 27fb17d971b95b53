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
 * One file, because join, events and end share the state of one socket and topic.
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
  thisNode,
} from "simurgh/runtime";
import type { FastlaneMetadata } from "../fanout/fastlane.js";
import { PHX_CLOSE, PHX_ERROR } from "../protocol/constants.js";
import { CLIENT_ERRORS, invalidPayload } from "../protocol/errors.js";
import { decodePayload, InvalidFrame } from "../protocol/frame-scanner.js";
import { type Frame, isBroadcast, type WireRef } from "../protocol/message.js";
import { type Serializer, serializerFor } from "../protocol/serializers.js";
import { type Channel, checkIntercepts } from "./channel.js";
import { CreditCounter } from "./credit-window.js";
import { channelEnded, handledIn, isHandledInObserved, joinAnswered } from "./instrumentation.js";
import { ChannelCommand, ChannelPush, type ChannelStart } from "./messages.js";
import {
  type AllowedResults,
  badReturn,
  IN_RESULTS,
  INFO_RESULTS,
  type InfoResult,
  type InResult,
  isResult,
  JOIN_RESULTS,
  type JoinedResult,
  type JoinResult,
  type RefusedResult,
} from "./results.js";
import {
  type ChannelSocketValue,
  channelSocket,
  joinedSocket,
  notify,
  type PushCell,
  report,
  returnedSocket,
  write,
} from "./socket.js";
import { type Checked, validate } from "./validate.js";

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

/** The call that returns a channel's socket; it never reaches the channel's own `handleCall`. */
export const GET_SOCKET = "$simurgh.channel.socket";

/** The fields that identify a channel in a notification. */
const about = ({ socket: { topic }, token }: ChannelState) => ({ topic, token });

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

  handleContinue: (_join, state) => join(state),

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
      return handleResult(
        `handleOut ${message.event}`,
        handler(message.payload, state.socket),
        INFO_RESULTS,
        state,
      );
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
    return handleResult("handleInfo", callbacks.handleInfo(message, state.socket), INFO_RESULTS, state);
  },

  handleCall(request, from: From, state) {
    if (Array.isArray(request) && request[0] === GET_SOCKET)
      return ["reply", { ...state.socket, ref: null }, state];
    const { callbacks } = state.channel;
    if (callbacks.handleCall === undefined) throw new Error(`${state.channel.pattern} has no handleCall`);
    return handleResult(
      "handleCall",
      callbacks.handleCall(request, from, state.socket),
      IN_RESULTS,
      state,
      from,
    );
  },

  handleCast(request, state) {
    const { callbacks } = state.channel;
    if (callbacks.handleCast === undefined) throw new Error(`${state.channel.pattern} has no handleCast`);
    return handleResult("handleCast", callbacks.handleCast(request, state.socket), INFO_RESULTS, state);
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

// ------------------------------------------------------------------ the join

type AcceptedJoin = JoinedResult & {
  readonly socket: ChannelSocketValue;
  readonly intercept: readonly string[];
};

async function join(state: ChannelState): Promise<Next> {
  const { callbacks } = state.channel;
  const startedAt = performance.now();
  let params: unknown;
  let outcome: AcceptedJoin | RefusedResult;
  try {
    const checked = await decodeJoin(state);
    if (!checked.ok) return refuseJoin(invalidPayload(checked.issues), state);
    params = checked.value;
    outcome = joinResult(await callbacks.join(state.socket.topic, params, state.socket), state);
  } catch (error) {
    return error instanceof InvalidFrame ? invalidJoin(state) : crashJoin(error, state);
  }
  const status = outcome.type === "refused" ? "error" : "ok";
  joinAnswered(state.socket, params, status, performance.now() - startedAt, callbacks.logJoin ?? "info");
  return outcome.type === "refused" ? refuseJoin(outcome.reply, state) : subscribeAndReply(outcome, state);
}

const decodeJoin = ({ channel, start }: ChannelState): Checked | Promise<Checked> =>
  validate(channel.callbacks.params, decodePayload((start as ChannelStart).payload));

/** Checks what `join` returned. */
function joinResult(
  result: JoinResult,
  { channel, socket: own }: ChannelState,
): AcceptedJoin | RefusedResult {
  if (!isResult(result, JOIN_RESULTS)) throw badReturn("join", result, JOIN_RESULTS);
  if (result.type === "refused") return result;
  const socket = returnedSocket(result.socket, own);
  if (socket === undefined) throw badReturn("join", result, JOIN_RESULTS);
  const intercept = checkIntercepts(channel, result.intercept ?? channel.callbacks.intercept ?? []);
  return { ...result, socket, intercept };
}

async function subscribeAndReply(
  { reply, socket: accepted, intercept: intercepts }: AcceptedJoin,
  state: ChannelState,
): Promise<Next> {
  const socket = joinedSocket(accepted);
  const { writer, connection, serializer, pubsub, topic } = socket;
  const metadata: FastlaneMetadata = { fastlane: true, writer, connection, serializer, intercepts };
  const frame = joinReply("ok", reply, state);
  const reach = PubSub.ensureInterest(pubsub, topic);
  if (reach !== undefined) await reach;
  // No await when the subscription is synchronous: no broadcast may come between it and the reply.
  const subscribed = PubSub.subscribe(pubsub, topic, { metadata });
  if (subscribed !== "ok") await subscribed;
  report(socket, [frame, ...(state.start as ChannelStart).owedFrames], { type: "joined", ...about(state) });
  state.start = undefined;
  state.socket = socket;
  state.intercepts = intercepts;
  return ["noreply", state];
}

function joinReply(status: string, response: unknown, { serializer, socket, start }: ChannelState): Frame {
  const { wireJoinRef, ref } = start as ChannelStart;
  return serializer.encodeReply(wireJoinRef, ref, socket.topic, status, response);
}

function refuseJoin(response: unknown, state: ChannelState): Next {
  const frames = [joinReply("error", response, state), ...(state.start as ChannelStart).owedFrames];
  report(state.socket, frames, { type: "refused", ...about(state) });
  state.start = undefined;
  state.closed = true;
  return ["stop", "shutdown", state];
}

function crashJoin(error: unknown, state: ChannelState): Next {
  thisNode().report({
    kind: "notice",
    level: "error",
    text: `join of ${state.socket.topic} crashed`,
    pid: self(),
    metadata: { error },
  });
  skipTerminate(state);
  return refuseJoin(CLIENT_ERRORS.joinCrashed, state);
}

/** The connection's process decides what happens to a malformed frame. */
function invalidJoin(state: ChannelState): Next {
  const { ref, owedFrames } = state.start as ChannelStart;
  report(state.socket, owedFrames, { type: "invalid_frame", ...about(state), ref, join: true });
  state.closed = true;
  return ["stop", "shutdown", state];
}

/**
 * `terminate` is not invoked after a crashed join, nor for a channel that a further join replaces.
 */
function skipTerminate(state: ChannelState): void {
  state.channel = { ...state.channel, callbacks: { join: state.channel.callbacks.join } };
}

// ------------------------------------------------------------------ events of the client

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
    ? checked.then((result) => onValidated(event, result, state))
    : onValidated(event, checked, state);
}

function onValidated(event: string, checked: Checked, state: ChannelState): Next | Promise<Next> {
  if (checked.ok) return runHandler(event, checked.value, state);
  replyToPush(state, "error", invalidPayload(checked.issues));
  state.push.ref = null;
  return ["noreply", state];
}

function runHandler(event: string, payload: unknown, state: ChannelState): Next | Promise<Next> {
  const { logHandleIn = "debug" } = state.channel.callbacks;
  if (!isHandledInObserved(logHandleIn))
    return handleResult(`handleIn ${event}`, callHandler(event, payload, state), IN_RESULTS, state);
  const startedAt = performance.now();
  const done = <T>(result: T): T => {
    const { pattern } = state.channel;
    handledIn(state.socket, pattern, event, payload, performance.now() - startedAt, logHandleIn);
    return result;
  };
  const result = callHandler(event, payload, state);
  const measured = result instanceof Promise ? result.then(done) : done(result);
  return handleResult(`handleIn ${event}`, measured, IN_RESULTS, state);
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
function handleResult(
  callback: string,
  result: InResult | InfoResult | Promise<InResult | InfoResult>,
  allowed: AllowedResults,
  state: ChannelState,
  from?: From,
): Next | Promise<Next> {
  if (result instanceof Promise)
    return result.then((value) => handleResult(callback, value, allowed, state, from));
  if (!isResult(result, allowed) || !("socket" in result)) throw badReturn(callback, result, allowed);
  const socket = returnedSocket(result.socket, state.socket);
  if (socket === undefined) throw badReturn(callback, result, allowed);
  if (result.type === "reply") {
    if (typeof result.status !== "string") throw badReturn(callback, result, allowed);
    sendReply(result.status, result.response, state, from);
  } else if (result.type === "stop" && result.reply !== undefined) {
    sendReply(result.reply.status, result.reply.response, state, from);
  }
  // The push has been handled, so its ref is no longer valid.
  state.push.ref = null;
  state.socket = socket;
  if (result.type === "stop") return ["stop", result.reason, state];
  const idle = result.type === "noreply" ? result.idle : undefined;
  return idle === undefined ? ["noreply", state] : ["noreply", state, idle];
}

/** Replies to the caller, or to the client's push. */
function sendReply(status: string, response: unknown, state: ChannelState, from: From | undefined): void {
  if (from === undefined) replyToPush(state, status, response);
  else GenServer.reply(from, response);
}

// ------------------------------------------------------------------ leave and stop

function handleCommand({ command }: ChannelCommand, state: ChannelState): Next {
  switch (command.type) {
    case "leave":
      return leave(command.ref, state);
    case "replaced":
      state.closed = true;
      skipTerminate(state);
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
async function onOwnersChanged(state: ChannelState): Promise<Next> {
  const { pubsub, topic } = state.socket;
  if (PubSub.ownerOf(pubsub, topic) === thisNode().index) return ["noreply", state];
  // The subscription has moved already, and would stay beside that of the next channel.
  await PubSub.unsubscribe(pubsub, topic);
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
