/**
 * The subscription of one connection to one topic, as a pure reducer: `step` takes the state and an
 * event and returns the next state and effects. It sends nothing and has no clock and no
 * serializer; socket-server.ts performs the effects.
 *
 *   (none) ──join──▶ starting ──joined──▶ joined ──leave──▶ ending ──closed, down──▶ (none)
 *                       │ refused, failed    │ join: replaced    ▲          │ a join is queued
 *                       │ down               │ closing ──────────┘          ▼
 *                       ▼                    │ closed, down              starting
 *                    (none), or starting     ▼
 *                    if a join is queued  (none), or starting
 *
 * Requests for the topic are handled in order. They are queued while the channel starts, while the
 * window of a joined channel is full, and behind a join until the channel of that join has started.
 * So
 *
 * - every join gets exactly one reply: from its channel, or from the reducer when the channel ended
 *   without one;
 * - every joined channel ends with exactly one `phx_close` or `phx_error`: from the channel, or
 *   from the reducer when the channel ended without one. The close of a channel that a further join
 *   replaces follows the reply to that join;
 * - requests before a leave or a further join are handled before the channel ends; requests that
 *   find no channel get the reply for a topic that is not joined.
 *
 * A join queued behind a channel, or a leave behind a join, waits for two periods without progress
 * of the channel; then the channel is stopped.
 *
 * `Channel` is the caller's handle of a channel process. `fresh` is a number that no token and no
 * timer of the connection has used.
 */
import { PHX_JOIN, PHX_LEAVE } from "../protocol/constants.js";
import { CLIENT_ERRORS } from "../protocol/errors.js";
import type { ScannedFrame } from "../protocol/frame-scanner.js";
import { sameRef, type WireRef } from "../protocol/message.js";
import { type Request, RequestQueue } from "./request-queue.js";

/** The period after which progress is checked while a join or a leave is queued. */
export const PROGRESS_CHECK_MS = 2500;

/** A running timer, and how many frames the channel had handled at the last check. */
interface Timer {
  readonly id: number;
  readonly handled: number;
}

interface Queued {
  /** Identifies the join among those of the connection. */
  readonly token: number;
  readonly queue: RequestQueue;
  readonly timer: Timer | undefined;
}

interface Starting<Channel> extends Queued {
  readonly type: "starting";
  readonly join: Request;
  /** Undefined until its process has started. */
  readonly channel: Channel | undefined;
  /** The join_ref of the channel that this one replaces, whose close is still owed. */
  readonly owed: { readonly joinRef: WireRef } | undefined;
  /** It has timed out and is being stopped. */
  readonly hasTimedOut: boolean;
}

interface WithChannel<Channel> extends Queued {
  readonly channel: Channel;
  /** As the client sent it; its close or error carries it. */
  readonly joinRef: WireRef;
  /** The join_ref of the channel's own frames: the join's ref when there was no join_ref. */
  readonly channelRef: WireRef;
}

interface Joined<Channel> extends WithChannel<Channel> {
  readonly type: "joined";
}

interface Ending<Channel> extends WithChannel<Channel> {
  readonly type: "ending";
  readonly why: EndReason;
  readonly killed: boolean;
}

/** Why a channel ends, which decides what the client is still sent when its process is down. */
type EndReason =
  /** It has been sent the leave and replies to it. */
  | { readonly type: "left"; readonly leave: ScannedFrame }
  /** A further join replaces it. */
  | { readonly type: "replaced" }
  /** It joined after its join had timed out. */
  | { readonly type: "join_timeout" }
  /** It stops by itself, and sends the close unless it crashes. */
  | { readonly type: "closing" }
  /** The close or error has been sent. */
  | { readonly type: "announced" };

export type Subscription<Channel> = Starting<Channel> | Joined<Channel> | Ending<Channel>;

/** How much may be forwarded to a channel now. */
export interface Credit {
  readonly frames: number;
  readonly bytes: number;
}

export type SubscriptionEvent<Channel> =
  /** A frame of the client. `credit` is the credit of its channel. */
  | { readonly type: "request"; readonly request: Request; readonly credit: Credit }
  | { readonly type: "started"; readonly token: number; readonly channel: Channel }
  /** No channel started for the join, and it has not been answered. */
  | { readonly type: "failed"; readonly token: number; readonly response: object }
  /** Another thread owns the topic: the join is sent there. */
  | { readonly type: "topic_moved"; readonly token: number }
  /** The channel has answered the join and sent what was owed. */
  | { readonly type: "joined"; readonly token: number; readonly credit: Credit }
  | { readonly type: "refused"; readonly token: number }
  /** The channel has returned credits. */
  | { readonly type: "credit"; readonly token: number; readonly credit: Credit }
  /** The channel stops by itself. */
  | { readonly type: "closing"; readonly token: number }
  /** The channel has sent the close or error. */
  | { readonly type: "closed"; readonly token: number }
  | { readonly type: "down"; readonly token: number; readonly connectionLost: boolean }
  /** `handled` is how many frames the channel has handled so far. */
  | { readonly type: "timeout"; readonly timer: number; readonly handled: number };

export type SubscriptionEffect<Channel> =
  /** The channel sends the close of `owed` after the join reply. */
  | {
      readonly type: "start";
      readonly join: Request;
      readonly token: number;
      readonly owed: Owed | undefined;
    }
  | { readonly type: "forward"; readonly channel: Channel; readonly request: Request }
  | { readonly type: "leave"; readonly channel: Channel; readonly leave: ScannedFrame }
  | { readonly type: "replace" | "ended" | "end" | "kill"; readonly channel: Channel }
  /** Replies as for a topic that is not joined. */
  | { readonly type: "unmatched"; readonly frame: ScannedFrame }
  /** Drops the frame: it belongs to another join. */
  | { readonly type: "stale"; readonly frame: ScannedFrame }
  | { readonly type: "refuse"; readonly join: ScannedFrame; readonly response: object }
  | { readonly type: "left"; readonly leave: ScannedFrame; readonly joinRef: WireRef }
  | { readonly type: "close" | "crash"; readonly joinRef: WireRef }
  | { readonly type: "timer"; readonly timer: number };

interface Owed {
  readonly joinRef: WireRef;
}

type State<Channel> = Subscription<Channel> | undefined;

/** The effects collected during one step. */
interface StepContext<Channel> {
  readonly fresh: number;
  readonly effects: SubscriptionEffect<Channel>[];
}

export function step<Channel>(
  state: State<Channel>,
  event: SubscriptionEvent<Channel>,
  fresh: number,
): readonly [State<Channel>, readonly SubscriptionEffect<Channel>[]] {
  const ctx: StepContext<Channel> = { fresh, effects: [] };
  return [next(state, event, ctx), ctx.effects];
}

function next<Channel>(
  state: State<Channel>,
  event: SubscriptionEvent<Channel>,
  ctx: StepContext<Channel>,
): State<Channel> {
  switch (event.type) {
    case "request":
      return onRequest(state, event.request, event.credit, ctx);
    case "timeout":
      return state?.timer?.id === event.timer ? onTimeout(state, event.handled, ctx) : state;
    case "started":
      if (state?.type === "starting" && state.token === event.token)
        return onStarted(state, event.channel, ctx);
      // Its join has been answered already: the shard was considered down.
      ctx.effects.push({ type: "end", channel: event.channel });
      return state;
    case "failed":
    case "topic_moved":
    case "joined":
    case "refused":
    case "credit":
    case "closing":
    case "closed":
    case "down":
      // An event with another token is about a join that is over.
      return state?.token === event.token ? onChannelEvent(state, event, ctx) : state;
    default:
      return assertNever(event);
  }
}

function onChannelEvent<Channel>(
  state: Subscription<Channel>,
  event: Exclude<SubscriptionEvent<Channel>, { type: "request" | "timeout" | "started" }>,
  ctx: StepContext<Channel>,
): State<Channel> {
  switch (state.type) {
    case "starting":
      switch (event.type) {
        case "failed":
          return failJoin(state, event.response, ctx);
        case "topic_moved":
          if (state.hasTimedOut) return failJoin(state, CLIENT_ERRORS.joinTimeout, ctx);
          ctx.effects.push({ type: "start", join: state.join, token: state.token, owed: state.owed });
          return state;
        case "joined":
          return onJoined(state, event.credit, ctx);
        case "refused":
          return afterEnd(state.queue, undefined, ctx);
        case "down":
          return failJoin(state, downResponse(state, event.connectionLost), ctx);
        default:
          return state;
      }
    case "joined":
      switch (event.type) {
        case "credit":
          return forwardQueued(state, event.credit, ctx);
        case "closing":
          ctx.effects.push({ type: "ended", channel: state.channel });
          return toEnding(state, { type: "closing" }, state.queue, ctx);
        case "closed":
          return toEnding(state, { type: "announced" }, state.queue, ctx);
        case "down":
          ctx.effects.push({ type: "crash", joinRef: state.joinRef });
          return afterEnd(state.queue, undefined, ctx);
        default:
          return state;
      }
    case "ending":
      switch (event.type) {
        case "closing":
          ctx.effects.push({ type: "ended", channel: state.channel });
          // It replies to a leave that it has been sent.
          return state.why.type === "left" ? { ...state, why: { type: "closing" } } : state;
        case "closed":
          return state.queue.length === 0 ? undefined : { ...state, why: { type: "announced" } };
        case "down":
          return onDown(state, ctx);
        default:
          return state;
      }
    default:
      return assertNever(state);
  }
}

// ------------------------------------------------------------------ frames of the client

function onRequest<Channel>(
  state: State<Channel>,
  request: Request,
  credit: Credit,
  ctx: StepContext<Channel>,
): State<Channel> {
  const { frame } = request;
  if (state === undefined) {
    if (frame.event === PHX_JOIN) return start(request, undefined, RequestQueue.EMPTY, ctx);
    ctx.effects.push({ type: "unmatched", frame });
    return undefined;
  }
  switch (state.type) {
    case "starting":
      return withTimer({ ...state, queue: state.queue.add(request) }, ctx);
    case "joined": {
      const waits = state.queue.length > 0;
      const behind = { ...state, queue: state.queue.add(request) };
      return waits ? withTimer(behind, ctx) : forwardQueued(behind, credit, ctx);
    }
    case "ending":
      if (state.queue.length > 0 || frame.event === PHX_JOIN)
        return withTimer({ ...state, queue: state.queue.add(request) }, ctx);
      ctx.effects.push({ type: "unmatched", frame });
      return state;
    default:
      return assertNever(state);
  }
}

/** Forwards queued requests to the channel, in order, as far as its credit allows. */
function forwardQueued<Channel>(
  state: Joined<Channel>,
  credit: Credit,
  ctx: StepContext<Channel>,
): State<Channel> {
  const { channel } = state;
  let { queue } = state;
  let { frames, bytes } = credit;
  for (let taken = queue.take(); taken !== undefined; taken = queue.take()) {
    const [request, rest] = taken;
    const { frame, size } = request;
    if (frame.event === PHX_JOIN) {
      ctx.effects.push({ type: "replace", channel });
      return toEnding(state, { type: "replaced" }, queue, ctx);
    }
    if (isStaleRef(state, frame)) {
      ctx.effects.push({ type: "stale", frame });
    } else if (frame.event === PHX_LEAVE) {
      ctx.effects.push({ type: "leave", channel, leave: frame });
      return toEnding(state, { type: "left", leave: frame }, rest, ctx);
    } else {
      if (frames <= 0 || bytes <= 0) break;
      ctx.effects.push({ type: "forward", channel, request });
      frames -= 1;
      bytes -= size;
    }
    queue = rest;
  }
  return withTimer({ ...state, queue, timer: queue.joins === 0 ? undefined : state.timer }, ctx);
}

/** Whether a frame belongs to an earlier join of the topic. */
export const isStaleRef = (
  { joinRef, channelRef }: { readonly joinRef: WireRef; readonly channelRef: WireRef },
  { joinRef: sent }: ScannedFrame,
): boolean => sent !== null && !sameRef(sent, joinRef) && !sameRef(sent, channelRef);

// ------------------------------------------------------------------ joining

function start<Channel>(
  join: Request,
  owed: Owed | undefined,
  queue: RequestQueue,
  ctx: StepContext<Channel>,
): State<Channel> {
  const token = ctx.fresh;
  ctx.effects.push({ type: "start", join, token, owed });
  const timer = undefined;
  return withTimer(
    { type: "starting", join, token, channel: undefined, owed, hasTimedOut: false, queue, timer },
    ctx,
  );
}

function onStarted<Channel>(
  state: Starting<Channel>,
  channel: Channel,
  ctx: StepContext<Channel>,
): State<Channel> {
  if (state.hasTimedOut) ctx.effects.push({ type: "end", channel });
  return { ...state, channel };
}

function onJoined<Channel>(
  state: Starting<Channel>,
  credit: Credit,
  ctx: StepContext<Channel>,
): State<Channel> {
  const { token, channel, join, queue } = state;
  if (channel === undefined) return state;
  const { joinRef, ref } = join.frame;
  // A client that joined without a join_ref may use the one that the channel's frames carry.
  const live = { token, channel, joinRef, channelRef: joinRef ?? ref, queue, timer: undefined };
  if (state.hasTimedOut)
    return { type: "ending", ...live, why: { type: "join_timeout" }, killed: false, timer: state.timer };
  return forwardQueued({ type: "joined", ...live }, credit, ctx);
}

function downResponse({ hasTimedOut }: Starting<unknown>, connectionLost: boolean): object {
  if (hasTimedOut) return CLIENT_ERRORS.joinTimeout;
  return connectionLost ? CLIENT_ERRORS.shardRestarting : CLIENT_ERRORS.joinCrashed;
}

/** The channel does not exist, and the join has not been answered. */
function failJoin<Channel>(
  { join, owed, queue }: Starting<Channel>,
  response: object,
  ctx: StepContext<Channel>,
): State<Channel> {
  ctx.effects.push({ type: "refuse", join: join.frame, response });
  if (owed !== undefined) ctx.effects.push({ type: "close", joinRef: owed.joinRef });
  return afterEnd(queue, undefined, ctx);
}

// ------------------------------------------------------------------ the end of channels

/**
 * Nothing more is forwarded to a channel that will end. Queued requests up to the next join are
 * answered.
 */
function toEnding<Channel>(
  { token, channel, joinRef, channelRef, timer }: Joined<Channel>,
  why: EndReason,
  queue: RequestQueue,
  ctx: StepContext<Channel>,
): State<Channel> {
  const live = { token, channel, joinRef, channelRef, timer };
  let rest = queue;
  for (let taken = rest.take(); taken !== undefined; taken = rest.take()) {
    if (taken[0].frame.event === PHX_JOIN) break;
    ctx.effects.push({ type: "unmatched", frame: taken[0].frame });
    rest = taken[1];
  }
  // The client has the close, and no request depends on the end of the process.
  if (why.type === "announced" && rest.length === 0) return undefined;
  return withTimer({ type: "ending", ...live, why, killed: false, queue: rest }, ctx);
}

/** The process of an ending channel is down. */
function onDown<Channel>(state: Ending<Channel>, ctx: StepContext<Channel>): State<Channel> {
  const { why, joinRef, channelRef, killed, queue } = state;
  switch (why.type) {
    case "left":
      // A killed channel has not handled the leave.
      if (killed) {
        ctx.effects.push({ type: "left", leave: why.leave, joinRef: channelRef }, { type: "close", joinRef });
      } else {
        ctx.effects.push({ type: "crash", joinRef }, { type: "left", leave: why.leave, joinRef: channelRef });
      }
      return afterEnd(queue, undefined, ctx);
    case "replaced":
      return afterEnd(queue, { joinRef }, ctx);
    case "join_timeout":
      ctx.effects.push({ type: "close", joinRef });
      return afterEnd(queue, undefined, ctx);
    case "closing":
      ctx.effects.push({ type: "crash", joinRef });
      return afterEnd(queue, undefined, ctx);
    case "announced":
      return afterEnd(queue, undefined, ctx);
    default:
      return assertNever(why);
  }
}

/** The channel is gone: queued requests are answered, until a join starts the next channel. */
function afterEnd<Channel>(
  queue: RequestQueue,
  owed: Owed | undefined,
  ctx: StepContext<Channel>,
): State<Channel> {
  let rest = queue;
  for (let taken = rest.take(); taken !== undefined; taken = rest.take()) {
    const [request] = taken;
    rest = taken[1];
    if (request.frame.event === PHX_JOIN) return start(request, owed, rest, ctx);
    ctx.effects.push({ type: "unmatched", frame: request.frame });
  }
  if (owed !== undefined) ctx.effects.push({ type: "close", joinRef: owed.joinRef });
  return undefined;
}

// ------------------------------------------------------------------ timeouts

/** Starts the timer when a request is queued that must not wait indefinitely. */
function withTimer<Channel, S extends Subscription<Channel>>(state: S, ctx: StepContext<Channel>): S {
  const { joins, leaves } = state.queue;
  const isUrgent = joins > 0 || (state.type === "starting" && leaves > 0);
  if (!isUrgent || state.timer !== undefined || (state.type === "ending" && state.killed)) return state;
  ctx.effects.push({ type: "timer", timer: ctx.fresh });
  return { ...state, timer: { id: ctx.fresh, handled: -1 } };
}

function onTimeout<Channel>(
  state: Subscription<Channel>,
  handled: number,
  ctx: StepContext<Channel>,
): State<Channel> {
  const again = (): Timer => {
    ctx.effects.push({ type: "timer", timer: ctx.fresh });
    return { id: ctx.fresh, handled };
  };
  if (handled > (state.timer as Timer).handled) return { ...state, timer: again() };
  const { channel } = state;
  switch (state.type) {
    case "starting":
      if (!state.hasTimedOut) {
        if (channel !== undefined) ctx.effects.push({ type: "end", channel });
        return { ...state, hasTimedOut: true, timer: again() };
      }
      if (channel === undefined) return { ...state, timer: again() };
      ctx.effects.push({ type: "kill", channel });
      return { ...state, timer: undefined };
    case "joined":
      ctx.effects.push({ type: "kill", channel: state.channel });
      return { ...state, type: "ending", why: { type: "replaced" }, killed: true, timer: undefined };
    case "ending":
      ctx.effects.push({ type: "kill", channel: state.channel });
      return { ...state, killed: true, timer: undefined };
    default:
      return assertNever(state);
  }
}

function assertNever(value: never): never {
  throw new TypeError(`unexpected value: ${JSON.stringify(value)}`);
}
