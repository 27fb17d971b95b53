/**
 * The process of one connection (Phoenix.Socket) reads the routing fields of each frame, forwards
 * it to the channel of its topic, and monitors the channels. It never waits for a channel, so a
 * slow join or a stuck handler of one topic delays neither the heartbeat nor other topics.
 *
 * The pure reducer in topic-subscription.ts decides what happens to a topic; this process performs
 * its effects. The fast path forwards an event to a joined channel with room in its window without
 * consulting the reducer.
 */

import { PubSub } from "simurgh/pubsub";
import {
  backoff,
  cancelTimer,
  ExitSignal,
  exit,
  GenServer,
  type GenServerModule,
  isRef,
  monitor,
  type Ref,
  self,
  send,
  sendAfter,
} from "simurgh/runtime";
import { Backlog, CreditWindow, FULL_CREDIT } from "../channel/credit-window.js";
import { limitHit, transportClosed } from "../channel/instrumentation.js";
import {
  ChannelCommand,
  type ChannelNotification,
  ChannelPush,
  ClientFrame,
  type ConnectionNotification,
  SocketNotification,
} from "../channel/messages.js";
import {
  CLOSE,
  DISCONNECT,
  HEARTBEAT,
  PHOENIX_TOPIC,
  PHX_ERROR,
  PHX_JOIN,
  PHX_LEAVE,
} from "../protocol/constants.js";
import { CLIENT_ERRORS } from "../protocol/errors.js";
import type { ScannedFrame } from "../protocol/frame-scanner.js";
import { isBroadcast } from "../protocol/message.js";
import { routeOf } from "./define-socket.js";
import {
  closeFrame,
  dropStale,
  invalidFrame,
  isValidPayload,
  replyRateLimited,
  replyUnmatched,
} from "./replies.js";
import type { Request } from "./request-queue.js";
import { onShardReply, startChannel } from "./shard-joins.js";
import {
  describe,
  type MonitoredChannel,
  type Next,
  noreply,
  notice,
  noticeOnce,
  type SocketStart,
  SocketState,
  write,
} from "./socket-state.js";
import {
  isStaleRef,
  PROGRESS_CHECK_MS,
  type Subscription,
  type SubscriptionEffect,
  type SubscriptionEvent,
  step,
} from "./topic-subscription.js";

const server: GenServerModule<SocketState, SocketStart> = {
  name: "Socket",

  init(start) {
    const state = new SocketState(start);
    if (start.expiresAt !== undefined) state.expiry = expireAt(start.expiresAt);
    const { id } = start.socket;
    const subscribed = id === null ? "ok" : subscribeToId(id, state);
    if (subscribed === "ok") return ["ok", state];
    // Waiting here would block the supervisor, where other connections start.
    start.isReady = false;
    return ["ok", state, ["continue", subscribed]];
  },

  async handleContinue(subscribed, state) {
    await subscribed;
    return noreply(state);
  },

  handleInfo(message, state): Next | Promise<Next> {
    if (message instanceof ClientFrame) return handleFrame(message, state);
    if (message instanceof SocketNotification) return handleNotification(message.notification, state);
    if (Array.isArray(message) && message[0] === "DOWN" && isRef(message[1]))
      return onDown(message[1], message[4], state);
    if (isBroadcast(message) && message.topic === state.socket.id && message.event === DISCONNECT) {
      state.transport.close(CLOSE.goingAway, "disconnected");
      return ["stop", ["shutdown", "disconnected"], state];
    }
    // Other messages published on its id are ignored.
    return noreply(state);
  },

  /** A transport that acknowledges each frame calls instead of sending. */
  handleCall(request: unknown, _from, state) {
    if (request instanceof ClientFrame) {
      const next = handleFrame(request, state);
      return next[0] === "noreply" ? ["reply", "ok", state] : next;
    }
    const what: unknown = Array.isArray(request) ? request[0] : undefined;
    if (what === "debug") return ["reply", describe(state), state];
    if (what === "ready") return ["reply", "ok", state];
    return ["reply", ["error", "unknown request"], state];
  },

  terminate(reason, state) {
    transportClosed(state.socket.endpoint, state.transport.name, state.socket.id, reason);
    state.kind.writer.close(state.connection);
  },

  formatStatus: ({ state }) => ({
    id: state.socket.id,
    connection: state.connection,
    topics: [...state.topics.keys()],
  }),
};

/** Backoff between attempts to subscribe while a thread restarts. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 5000;

const expireAt = (epochMs: number): Ref =>
  sendAfter(
    self(),
    new SocketNotification({ type: "expired" }),
    Math.max(0, Math.ceil(epochMs - Date.now())),
  );

function handleNotification(message: ChannelNotification | ConnectionNotification, state: SocketState): Next {
  switch (message.type) {
    case "started":
      return onStarted(message, state);
    case "not_started":
      return onStartFailed(message, CLIENT_ERRORS.channelNotStarted, state);
    case "topic_moved":
      return onTopicMoved(message, state);
    case "joined":
      return dispatch(message.topic, { type: "joined", token: message.token, credit: FULL_CREDIT }, state);
    case "refused":
    case "closing":
    case "closed":
      return dispatch(message.topic, { type: message.type, token: message.token }, state);
    case "credits":
      return onCredits(message, state);
    case "invalid_frame":
      return onInvalidPayload(message, state);
    case "timer":
      return onTimer(message, state);
    case "transport_closed":
      return ["stop", message.reason, state];
    case "expired":
      state.transport.close(CLOSE.sessionExpired, "session expired");
      return ["stop", ["shutdown", "expired"], state];
    case "expire_at":
      if (state.expiry !== undefined) cancelTimer(state.expiry);
      state.expiry = message.at === Number.POSITIVE_INFINITY ? undefined : expireAt(message.at);
      return noreply(state);
    case "node_down": {
      const { id } = state.socket;
      // The subscriptions of a thread end with it. Not awaited: the connection keeps working
      // meanwhile.
      if (id !== null && state.kind.shardOf(id) === message.node) void subscribeToId(id, state);
      return noreply(state);
    }
    case "drain":
      state.transport.close(CLOSE.serviceRestart, "server restarting");
      return ["stop", ["shutdown", "draining"], state];
  }
}

/**
 * Subscribes to the client's id, for `Endpoint.disconnect`. While the thread of the id restarts, it
 * retries later; the connection is not refused.
 */
function subscribeToId(id: string, state: SocketState): "ok" | Promise<unknown> {
  const { kind } = state;
  const subscribed = PubSub.subscribe(kind.pubsub, id);
  if (subscribed === "ok") return subscribed;
  const reset = (): void => {
    state.subscribeAttempts = 0;
  };
  return subscribed.then(reset, (error: unknown) => {
    if (!(error instanceof ExitSignal)) throw error;
    const wait = Math.ceil(backoff(state.subscribeAttempts, RETRY_MS, MAX_RETRY_MS));
    state.subscribeAttempts += 1;
    sendAfter(self(), new SocketNotification({ type: "node_down", node: kind.shardOf(id) }), wait);
  });
}

// ------------------------------------------------------------------ frames of the client

function handleFrame({ data }: ClientFrame, state: SocketState): Next {
  state.transport.handled();
  const frame = state.serializer.scan(data);
  return frame === undefined ? invalidFrame(undefined, state) : route(frame, data.length, state);
}

function route(frame: ScannedFrame, size: number, state: SocketState): Next {
  const { topic, event } = frame;
  if (frame.wireTopic !== undefined) return replyUnmatched(frame, state);
  if (event === HEARTBEAT && topic === PHOENIX_TOPIC) {
    if (!isValidPayload(frame)) return invalidFrame(frame, state);
    write(state, state.serializer.encodeReply(null, frame.ref, topic, "ok", {}));
    return noreply(state);
  }
  const wait = (event === PHX_JOIN ? state.joins : state.messages)?.take(performance.now()) ?? 0;
  if (wait > 0) return replyRateLimited(frame, wait, state);
  const subscription = state.topics.get(topic);
  if (event === PHX_JOIN) return join(frame, size, subscription, state);
  if (subscription === undefined) return replyUnmatched(frame, state);
  if (event === PHX_LEAVE && !isValidPayload(frame)) return invalidFrame(frame, state);
  // The fast path, which most frames take.
  if (subscription.type === "joined" && subscription.queue.length === 0 && event !== PHX_LEAVE) {
    const { channel } = subscription;
    if (isStaleRef(subscription, frame)) return dropStale(frame, state);
    if (channel.window.hasCredit) {
      forward(channel, frame, size, state);
      return noreply(state);
    }
  }
  return dispatchRequest({ frame, size, channel: -1 }, subscription, state);
}

/** A channel has received a malformed payload. When it was the join's, the channel has ended. */
function onInvalidPayload(
  { topic, ref, token, join }: Extract<ChannelNotification, { type: "invalid_frame" }>,
  state: SocketState,
): Next {
  const next = invalidFrame({ ref, topic }, state);
  return next[0] === "stop" || !join ? next : dispatch(topic, { type: "refused", token }, state);
}

// ------------------------------------------------------------------ topics

function join(
  frame: ScannedFrame,
  size: number,
  subscription: Subscription<MonitoredChannel> | undefined,
  state: SocketState,
): Next {
  const { topic, joinRef, ref } = frame;
  const channel = routeOf(state.kind.definition, topic);
  if (channel < 0) {
    notice(state, "warning", `Ignoring unmatched topic ${JSON.stringify(topic)}`);
    return replyUnmatched(frame, state);
  }
  if (subscription === undefined && state.topics.size >= state.kind.maxChannels) {
    limitHit(state.socket.endpoint, "topics");
    noticeOnce(
      state,
      "topics",
      "error",
      `a connection may join ${state.kind.maxChannels} topics; the join of ${JSON.stringify(topic)} is refused`,
    );
    write(state, state.serializer.encodeReply(joinRef, ref, topic, "error", CLIENT_ERRORS.tooManyChannels));
    return noreply(state);
  }
  return dispatchRequest({ frame, size, channel }, subscription, state);
}

const dispatchRequest = (
  request: Request,
  subscription: Subscription<MonitoredChannel> | undefined,
  state: SocketState,
): Next => {
  const window = subscription?.channel?.window;
  return dispatch(
    request.frame.topic,
    { type: "request", request, credit: window?.credit ?? FULL_CREDIT },
    state,
  );
};

/** Passes an event to the topic's reducer and performs the effects. */
function dispatch(topic: string, event: SubscriptionEvent<MonitoredChannel>, state: SocketState): Next {
  const before = state.topics.get(topic);
  const [after, effects] = step(before, event, state.nextId);
  state.nextId += 1;
  if (after === undefined) state.topics.delete(topic);
  else if (after !== before) state.topics.set(topic, after);
  const [was, is] = [before?.queue, after?.queue];
  if (was !== is)
    countBacklog((is?.length ?? 0) - (was?.length ?? 0), (is?.bytes ?? 0) - (was?.bytes ?? 0), state);
  for (const effect of effects) {
    const next = performEffect(topic, effect, state);
    if (next[0] === "stop") return next;
  }
  return noreply(state);
}

function performEffect(
  topic: string,
  effect: SubscriptionEffect<MonitoredChannel>,
  state: SocketState,
): Next {
  const { serializer } = state;
  switch (effect.type) {
    case "start":
      startChannel(effect, state);
      return noreply(state);
    case "forward":
      forward(effect.channel, effect.request.frame, effect.request.size, state);
      return noreply(state);
    case "leave":
      send(effect.channel.pid, new ChannelCommand({ type: "leave", ref: effect.leave.ref }));
      return noreply(state);
    case "replace":
      send(effect.channel.pid, new ChannelCommand({ type: "replaced" }));
      return noreply(state);
    case "ended":
      send(effect.channel.pid, new ChannelCommand({ type: "ended" }));
      return noreply(state);
    case "end":
      exit(effect.channel.pid, ["shutdown", "left"]);
      return noreply(state);
    case "kill":
      exit(effect.channel.pid, "kill");
      return noreply(state);
    case "unmatched":
      return replyUnmatched(effect.frame, state);
    case "stale":
      return dropStale(effect.frame, state);
    case "refuse": {
      const { joinRef, ref } = effect.join;
      write(state, serializer.encodeReply(joinRef, ref, topic, "error", effect.response));
      return noreply(state);
    }
    case "left":
      write(state, serializer.encodeReply(effect.joinRef, effect.leave.ref, topic, "ok", {}));
      return noreply(state);
    case "close":
      write(state, closeFrame(topic, effect.joinRef, state));
      return noreply(state);
    case "crash":
      write(state, serializer.encodeControl(effect.joinRef, topic, PHX_ERROR, CLIENT_ERRORS.channelCrash));
      return noreply(state);
    case "timer":
      sendAfter(
        self(),
        new SocketNotification({ type: "timer", topic, timer: effect.timer }),
        PROGRESS_CHECK_MS,
      );
      return noreply(state);
  }
}

function onTimer(
  { topic, timer }: Extract<ConnectionNotification, { type: "timer" }>,
  state: SocketState,
): Next {
  const handled = state.topics.get(topic)?.channel?.window.handled ?? 0;
  return dispatch(topic, { type: "timeout", timer, handled }, state);
}

// ------------------------------------------------------------------ starting channels

function onStarted(
  { topic, token, pid }: Extract<ChannelNotification, { type: "started" }>,
  state: SocketState,
): Next {
  onShardReply(token, state);
  const monitored: MonitoredChannel = {
    topic,
    token,
    pid,
    monitor: monitor(pid),
    window: new CreditWindow(),
  };
  state.channels.set(monitored.monitor.id, monitored);
  return dispatch(topic, { type: "started", token, channel: monitored }, state);
}

function onStartFailed({ topic, token }: ChannelNotification, response: object, state: SocketState): Next {
  onShardReply(token, state);
  return dispatch(topic, { type: "failed", token, response }, state);
}

/** The topic has moved while the join was in flight: sends the join to the new owner. */
function onTopicMoved(message: ChannelNotification, state: SocketState): Next {
  const { topic, token } = message;
  const node = onShardReply(token, state);
  if (state.kind.shardOf(topic) === node) return onStartFailed(message, CLIENT_ERRORS.topicMoving, state);
  return dispatch(topic, { type: "topic_moved", token }, state);
}

// ------------------------------------------------------------------ flow control

function forward(
  channel: MonitoredChannel,
  { event, ref, payload }: ScannedFrame,
  size: number,
  state: SocketState,
): void {
  const { window, pid } = channel;
  window.sent(size);
  if (window.hasSurplus)
    countBacklog(Math.min(1, window.surplusFrames), Math.min(size, window.surplusBytes), state);
  send(pid, new ChannelPush(event, ref, payload, size));
}

function onCredits(
  { topic, token, credits }: Extract<ChannelNotification, { type: "credits" }>,
  state: SocketState,
): Next {
  const subscription = state.topics.get(topic);
  const channel = subscription?.channel;
  if (subscription === undefined || channel === undefined || channel.token !== token) return noreply(state);
  const { window } = channel;
  const { surplusFrames, surplusBytes } = window;
  window.returned(credits);
  countBacklog(window.surplusFrames - surplusFrames, window.surplusBytes - surplusBytes, state);
  if (subscription.queue.length === 0 || !window.isHalfEmpty) return noreply(state);
  return dispatch(topic, { type: "credit", token, credit: window.credit }, state);
}

/** Counts what is queued for channels, and pauses or resumes the transport. */
function countBacklog(frames: number, bytes: number, state: SocketState): void {
  if (frames === 0 && bytes === 0) return;
  state.backlog ??= new Backlog(state.kind.backlogLimits);
  if (!state.backlog.count(frames, bytes)) return;
  if (state.backlog.isFull) state.transport.pause();
  else state.transport.resume();
}

// ------------------------------------------------------------------ the end of channels and shards

function onDown(ref: Ref, reason: unknown, state: SocketState): Next {
  const monitored = state.channels.get(ref.id);
  if (monitored === undefined || !monitored.monitor.equals(ref)) return onShardDown(ref, state);
  state.channels.delete(ref.id);
  const { topic, token, window } = monitored;
  countBacklog(-window.surplusFrames, -window.surplusBytes, state);
  return dispatch(topic, { type: "down", token, connectionLost: reason === "noconnection" }, state);
}

/** A shard is down: its unanswered joins fail, and clients retry. */
function onShardDown(ref: Ref, state: SocketState): Next {
  for (const [node, pending] of state.shards) {
    if (!pending.monitor.equals(ref)) continue;
    state.shards.delete(node);
    for (const [token, topic] of pending.joins) {
      const next = dispatch(topic, { type: "failed", token, response: CLIENT_ERRORS.shardRestarting }, state);
      if (next[0] === "stop") return next;
    }
    break;
  }
  return noreply(state);
}

/** Starts the process of a connection, linked to the caller. */
export const startSocket = (start: SocketStart): ReturnType<typeof GenServer.startLink> =>
  GenServer.startLink(server, start, { label: start.socket.id ?? `connection ${start.connection}` });
