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
import type { ScannedFrame } from "../protocol/frame-scanner.js";
import { sameRef, type WireRef } from "../protocol/message.js";
import { type Request, RequestQueue } from "./request-queue.js";

/** The period after which progress is checked while a join or a leave is queued. */
export const PATIENCE_MS = 2500;

/** A running timer, and how many frames the channel had handled at the last check. */
interface Timer {
  readonly id: number;
  readonly handled: number;
}

interface Waits {
  /** Identifies the join among those of the connection. */
  readonly token: number;
  readonly waiting: RequestQueue;
  readonly timer: Timer | undefined;
}

interface Starting<Channel> extends Waits {
  readonly type: "starting";
  readonly join: Request;
  /** Undefined until its process has started. */
  readonly channel: Channel | undefined;
  /** The join_ref of the channel that this one replaces, whose close is still owed. */
  readonly owed: { readonly joinRef: WireRef } | undefined;
  /** It has timed out and is being stopped. */
  readonly givenUp: boolean;
}

interface Live<Channel> extends Waits {
  readonly channel: Channel;
  /** As the client sent it; its close or error carries it. */
  readonly joinRef: WireRef;
  /** The join_ref of the channel's own frames: the join's ref when there was no join_ref. */
  readonly channelRef: WireRef;
}

interface Joined<Channel> extends Live<Channel> {
  readonly type: "joined";
}

interface Ending<Channel> extends Live<Channel> {
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
  | { readonly type: "given_up" }
  /** It stops by itself, and sends the close unless it crashes. */
  | { readonly type: "closing" }
  /** The close or error has been sent. */
  | { readonly type: "announced" };

export type Subscription<Channel> = Starting<Channel> | Joined<Channel> | Ending<Channel>;

/** How much may be forwarded to a channel now. */
export interface Room {
  readonly frames: number;
  readonly bytes: number;
}

export type SubscriptionEvent<Channel> =
  /** A frame of the client. `room` is the credit of its channel. */
  | { readonly type: "request"; readonly request: Request; readonly room: Room }
  | { readonly type: "started"; readonly token: number; readonly channel: Channel }
  /** No channel started for the join, and it has not been answered. */
  | { readonly type: "failed"; readonly token: number; readonly response: object }
  /** Another thread owns the topic: the join is sent there. */
  | { readonly type: "elsewhere"; readonly token: number }
  /** The channel has answered the join and sent what was owed. */
  | { readonly type: "joined"; readonly token: number; readonly room: Room }
  | { readonly type: "refused"; readonly token: number }
  /** The channel has returned credits. */
  | { readonly type: "room"; readonly token: number; readonly room: Room }
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
interface Turn<Channel> {
  readonly fresh: number;
  readonly effects: SubscriptionEffect<Channel>[];
}

export function step<Channel>(
  state: State<Channel>,
  event: SubscriptionEvent<Channel>,
  fresh: number,
): readonly [State<Channel>, readonly SubscriptionEffect<Channel>[]] {
  const turn: Turn<Channel> = { fresh, effects: [] };
  return [next(state, event, turn), turn.effects];
}

function next<Channel>(
  state: State<Channel>,
  event: SubscriptionEvent<Channel>,
  turn: Turn<Channel>,
): State<Channel> {
  switch (event.type) {
    case "request":
      return requested(state, event.request, event.room, turn);
    case "timeout":
      return state?.timer?.id === event.timer ? timedOut(state, event.handled, turn) : state;
    case "started":
      if (state?.type === "starting" && state.token === event.token)
        return started(state, event.channel, turn);
      // Its join has been answered already: the shard was considered down.
      turn.effects.push({ type: "end", channel: event.channel });
      return state;
    case "failed":
    case "elsewhere":
    case "joined":
    case "refused":
    case "room":
    case "closing":
    case "closed":
    case "down":
      // An event with another token is about a join that is over.
      return state?.token === event.token ? reported(state, event, turn) : state;
    default:
      return assertNever(event);
  }
}

function reported<Channel>(
  state: Subscription<Channel>,
  event: Exclude<SubscriptionEvent<Channel>, { type: "request" | "timeout" | "started" }>,
  turn: Turn<Channel>,
): State<Channel> {
  switch (state.type) {
    case "starting":
      switch (event.type) {
        case "failed":
          return notJoined(state, event.response, turn);
        case "elsewhere":
          if (state.givenUp) return notJoined(state, GIVEN_UP, turn);
          turn.effects.push({ type: "start", join: state.join, token: state.token, owed: state.owed });
          return state;
        case "joined":
          return joined(state, event.room, turn);
        case "refused":
          return afterEnd(state.waiting, undefined, turn);
        case "down":
          return notJoined(state, whyDown(state, event.connectionLost), turn);
        default:
          return state;
      }
    case "joined":
      switch (event.type) {
        case "room":
          return give(state, event.room, turn);
        case "closing":
          turn.effects.push({ type: "ended", channel: state.channel });
          return ending(state, { type: "closing" }, state.waiting, turn);
        case "closed":
          return ending(state, { type: "announced" }, state.waiting, turn);
        case "down":
          turn.effects.push({ type: "crash", joinRef: state.joinRef });
          return afterEnd(state.waiting, undefined, turn);
        default:
          return state;
      }
    case "ending":
      switch (event.type) {
        case "closing":
          turn.effects.push({ type: "ended", channel: state.channel });
          // It replies to a leave that it has been sent.
          return state.why.type === "left" ? { ...state, why: { type: "closing" } } : state;
        case "closed":
          return state.waiting.length === 0 ? undefined : { ...state, why: { type: "announced" } };
        case "down":
          return ended(state, turn);
        default:
          return state;
      }
    default:
      return assertNever(state);
  }
}

// ------------------------------------------------------------------ frames of the client

function requested<Channel>(
  state: State<Channel>,
  request: Request,
  room: Room,
  turn: Turn<Channel>,
): State<Channel> {
  const { frame } = request;
  if (state === undefined) {
    if (frame.event === "phx_join") return start(request, undefined, RequestQueue.EMPTY, turn);
    turn.effects.push({ type: "unmatched", frame });
    return undefined;
  }
  switch (state.type) {
    case "starting":
      return watched({ ...state, waiting: state.waiting.add(request) }, turn);
    case "joined": {
      const waits = state.waiting.length > 0;
      const behind = { ...state, waiting: state.waiting.add(request) };
      return waits ? watched(behind, turn) : give(behind, room, turn);
    }
    case "ending":
      if (state.waiting.length > 0 || frame.event === "phx_join")
        return watched({ ...state, waiting: state.waiting.add(request) }, turn);
      turn.effects.push({ type: "unmatched", frame });
      return state;
    default:
      return assertNever(state);
  }
}

/** Forwards queued requests to the channel, in order, as far as its credit allows. */
function give<Channel>(state: Joined<Channel>, room: Room, turn: Turn<Channel>): State<Channel> {
  const { channel } = state;
  let { waiting } = state;
  let { frames, bytes } = room;
  for (let taken = waiting.take(); taken !== undefined; taken = waiting.take()) {
    const [request, rest] = taken;
    const { frame, size } = request;
    if (frame.event === "phx_join") {
      turn.effects.push({ type: "replace", channel });
      return ending(state, { type: "replaced" }, waiting, turn);
    }
    if (isStale(state, frame)) {
      turn.effects.push({ type: "stale", frame });
    } else if (frame.event === "phx_leave") {
      turn.effects.push({ type: "leave", channel, leave: frame });
      return ending(state, { type: "left", leave: frame }, rest, turn);
    } else {
      if (frames <= 0 || bytes <= 0) break;
      turn.effects.push({ type: "forward", channel, request });
      frames -= 1;
      bytes -= size;
    }
    waiting = rest;
  }
  return watched({ ...state, waiting, timer: waiting.joins === 0 ? undefined : state.timer }, turn);
}

/** Whether a frame belongs to an earlier join of the topic. */
export const isStale = (
  { joinRef, channelRef }: { readonly joinRef: WireRef; readonly channelRef: WireRef },
  { joinRef: sent }: ScannedFrame,
): boolean => sent !== null && !sameRef(sent, joinRef) && !sameRef(sent, channelRef);

// ------------------------------------------------------------------ joining

function start<Channel>(
  join: Request,
  owed: Owed | undefined,
  waiting: RequestQueue,
  turn: Turn<Channel>,
): State<Channel> {
  const token = turn.fresh;
  turn.effects.push({ type: "start", join, token, owed });
  const timer = undefined;
  return watched(
    { type: "starting", join, token, channel: undefined, owed, givenUp: false, waiting, timer },
    turn,
  );
}

function started<Channel>(state: Starting<Channel>, channel: Channel, turn: Turn<Channel>): State<Channel> {
  if (state.givenUp) turn.effects.push({ type: "end", channel });
  return { ...state, channel };
}

function joined<Channel>(state: Starting<Channel>, room: Room, turn: Turn<Channel>): State<Channel> {
  const { token, channel, join, waiting } = state;
  if (channel === undefined) return state;
  const { joinRef, ref } = join.frame;
  // A client that joined without a join_ref may use the one that the channel's frames carry.
  const live = { token, channel, joinRef, channelRef: joinRef ?? ref, waiting, timer: undefined };
  if (state.givenUp)
    return { type: "ending", ...live, why: { type: "given_up" }, killed: false, timer: state.timer };
  return give({ type: "joined", ...live }, room, turn);
}

const GIVEN_UP = { reason: "join timeout" };

function whyDown({ givenUp }: Starting<unknown>, connectionLost: boolean): object {
  if (givenUp) return GIVEN_UP;
  return connectionLost ? { reason: "unavailable", code: "shard_restarting" } : { reason: "join crashed" };
}

/** The channel does not exist, and the join has not been answered. */
function notJoined<Channel>(
  { join, owed, waiting }: Starting<Channel>,
  response: object,
  turn: Turn<Channel>,
): State<Channel> {
  turn.effects.push({ type: "refuse", join: join.frame, response });
  if (owed !== undefined) turn.effects.push({ type: "close", joinRef: owed.joinRef });
  return afterEnd(waiting, undefined, turn);
}

// ------------------------------------------------------------------ the end of channels

/**
 * Nothing more is forwarded to a channel that will end. Queued requests up to the next join are
 * answered.
 */
function ending<Channel>(
  { token, channel, joinRef, channelRef, timer }: Joined<Channel>,
  why: EndReason,
  waiting: RequestQueue,
  turn: Turn<Channel>,
): State<Channel> {
  const live = { token, channel, joinRef, channelRef, timer };
  let rest = waiting;
  for (let taken = rest.take(); taken !== undefined; taken = rest.take()) {
    if (taken[0].frame.event === "phx_join") break;
    turn.effects.push({ type: "unmatched", frame: taken[0].frame });
    rest = taken[1];
  }
  // The client has the close, and no request depends on the end of the process.
  if (why.type === "announced" && rest.length === 0) return undefined;
  return watched({ type: "ending", ...live, why, killed: false, waiting: rest }, turn);
}

/** The process of an ending channel is down. */
function ended<Channel>(state: Ending<Channel>, turn: Turn<Channel>): State<Channel> {
  const { why, joinRef, channelRef, killed, waiting } = state;
  switch (why.type) {
    case "left":
      // A killed channel has not handled the leave.
      if (killed) {
        turn.effects.push(
          { type: "left", leave: why.leave, joinRef: channelRef },
          { type: "close", joinRef },
        );
      } else {
        turn.effects.push(
          { type: "crash", joinRef },
          { type: "left", leave: why.leave, joinRef: channelRef },
        );
      }
      return afterEnd(waiting, undefined, turn);
    case "replaced":
      return afterEnd(waiting, { joinRef }, turn);
    case "given_up":
      turn.effects.push({ type: "close", joinRef });
      return afterEnd(waiting, undefined, turn);
    case "closing":
      turn.effects.push({ type: "crash", joinRef });
      return afterEnd(waiting, undefined, turn);
    case "announced":
      return afterEnd(waiting, undefined, turn);
    default:
      return assertNever(why);
  }
}

/** The channel is gone: queued requests are answered, until a join starts the next channel. */
function afterEnd<Channel>(
  waiting: RequestQueue,
  owed: Owed | undefined,
  turn: Turn<Channel>,
): State<Channel> {
  let rest = waiting;
  for (let taken = rest.take(); taken !== undefined; taken = rest.take()) {
    const [request] = taken;
    rest = taken[1];
    if (request.frame.event === "phx_join") return start(request, owed, rest, turn);
    turn.effects.push({ type: "unmatched", frame: request.frame });
  }
  if (owed !== undefined) turn.effects.push({ type: "close", joinRef: owed.joinRef });
  return undefined;
}

// ------------------------------------------------------------------ timeouts

/** Starts the timer when a request is queued that must not wait indefinitely. */
function watched<Channel, S extends Subscription<Channel>>(state: S, turn: Turn<Channel>): S {
  const { joins, leaves } = state.waiting;
  const isUrgent = joins > 0 || (state.type === "starting" && leaves > 0);
  if (!isUrgent || state.timer !== undefined || (state.type === "ending" && state.killed)) return state;
  turn.effects.push({ type: "timer", timer: turn.fresh });
  return { ...state, timer: { id: turn.fresh, handled: -1 } };
}

function timedOut<Channel>(
  state: Subscription<Channel>,
  handled: number,
  turn: Turn<Channel>,
): State<Channel> {
  const again = (): Timer => {
    turn.effects.push({ type: "timer", timer: turn.fresh });
    return { id: turn.fresh, handled };
  };
  if (handled > (state.timer as Timer).handled) return { ...state, timer: again() };
  const { channel } = state;
  switch (state.type) {
    case "starting":
      if (!state.givenUp) {
        if (channel !== undefined) turn.effects.push({ type: "end", channel });
        return { ...state, givenUp: true, timer: again() };
      }
      if (channel === undefined) return { ...state, timer: again() };
      turn.effects.push({ type: "kill", channel });
      return { ...state, timer: undefined };
    case "joined":
      turn.effects.push({ type: "kill", channel: state.channel });
      return { ...state, type: "ending", why: { type: "replaced" }, killed: true, timer: undefined };
    case "ending":
      turn.effects.push({ type: "kill", channel: state.channel });
      return { ...state, killed: true, timer: undefined };
    default:
      return assertNever(state);
  }
}

function assertNever(value: never): never {
  throw new TypeError(`this must not be: ${JSON.stringify(value)}`);
}
