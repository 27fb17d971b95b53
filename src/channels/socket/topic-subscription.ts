/**
 * The life of one topic on one connection, as a pure function: the state and an event give the next
 * state and what is to be done. It sends nothing, knows no clock and no serializer;
 * socket-server.ts does what it says.
 *
 *   (none) ──join──▶ starting ──joined──▶ joined ──leave──▶ ending ──closed, down──▶ (none)
 *                       │ refused, failed    │ join: replaced    ▲          │ a join waits
 *                       │ down               │ closing ──────────┘          ▼
 *                       ▼                    │ closed, down              starting
 *                    (none), or starting     ▼
 *                    when a join waits    (none), or starting
 *
 * What comes for the topic is handled in order. Everything waits while its channel starts; what is
 * more than the channel may be given waits while it is joined; and what comes after a join waits
 * until that join's channel has started. So
 *
 * - every join is answered once: by its channel, or when that ends without having answered, here;
 * - every channel that has joined ends with one `phx_close` or `phx_error`, sent by it, or when it
 *   ends without having sent one, here. That of a channel which a further join replaces follows the
 *   answer to that join;
 * - what was accepted before a leave or a further join is handled before the channel ends, and what
 *   finds no channel any more is answered as for a topic that is not joined.
 *
 * A join behind a channel, or a leave behind a join, waits for two periods in which the channel
 * handles nothing; then the channel is ended.
 *
 * `Channel` is what the caller knows a channel's process by. `fresh` is a number that no token and
 * no timer of the connection has had.
 */
import type { ScannedFrame } from "../protocol/frame-scanner.js";
import { sameRef, type WireRef } from "../protocol/message.js";
import { type Request, RequestQueue } from "./request-queue.js";

/** How often progress is looked for while a join or a leave waits. */
export const PATIENCE_MS = 2500;

/** A timer that runs, and how much the channel had handled when it was last looked at. */
interface Timer {
  readonly id: number;
  readonly handled: number;
}

interface Waits {
  /** Distinguishes the joins of a connection. */
  readonly token: number;
  readonly waiting: RequestQueue;
  readonly timer: Timer | undefined;
}

interface Starting<Channel> extends Waits {
  readonly type: "starting";
  readonly join: Request;
  /** Undefined until its process has started. */
  readonly channel: Channel | undefined;
  /** The join_ref of the channel this one replaces, whose close is still to be sent. */
  readonly owed: { readonly joinRef: WireRef } | undefined;
  /** It took too long, and is being ended. */
  readonly givenUp: boolean;
}

interface Live<Channel> extends Waits {
  readonly channel: Channel;
  /** As sent, which its close or error carries. */
  readonly joinRef: WireRef;
  /** What the channel's own frames carry: the join's ref when there was no join_ref. */
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

/**
 * Why a channel ends, which decides what its client is still to be sent when its process has ended.
 */
type EndReason =
  /** It has been sent the leave, and answers it. */
  | { readonly type: "left"; readonly leave: ScannedFrame }
  /** It has been sent that a further join replaces it. */
  | { readonly type: "replaced" }
  /** It joined just when it was given up. */
  | { readonly type: "given_up" }
  /** It ends by itself, and sends the close unless it crashes. */
  | { readonly type: "closing" }
  /** Its client has been sent the close, or an error. */
  | { readonly type: "announced" };

export type Subscription<Channel> = Starting<Channel> | Joined<Channel> | Ending<Channel>;

/** What a channel may be given at once. */
export interface Room {
  readonly frames: number;
  readonly bytes: number;
}

export type SubscriptionEvent<Channel> =
  /** From the client. `room` is what its channel may be given now. */
  | { readonly type: "request"; readonly request: Request; readonly room: Room }
  | { readonly type: "started"; readonly token: number; readonly channel: Channel }
  /** There is no channel for the join, and its client has not been answered. */
  | { readonly type: "failed"; readonly token: number; readonly response: object }
  /** The topic has moved to another thread: the join goes there. */
  | { readonly type: "elsewhere"; readonly token: number }
  /** The join has been answered, and `owed` sent. */
  | { readonly type: "joined"; readonly token: number; readonly room: Room }
  | { readonly type: "refused"; readonly token: number }
  /** The channel has handled some of what it was given. */
  | { readonly type: "room"; readonly token: number; readonly room: Room }
  /** The channel ends by itself. */
  | { readonly type: "closing"; readonly token: number }
  /** The client has been sent the close, or an error. */
  | { readonly type: "closed"; readonly token: number }
  | { readonly type: "down"; readonly token: number; readonly connectionLost: boolean }
  /** `handled` is how much the channel has handled so far. */
  | { readonly type: "timeout"; readonly timer: number; readonly handled: number };

export type SubscriptionEffect<Channel> =
  /** The close of `owed` follows the answer. */
  | {
      readonly type: "start";
      readonly join: Request;
      readonly token: number;
      readonly owed: Owed | undefined;
    }
  | { readonly type: "forward"; readonly channel: Channel; readonly request: Request }
  | { readonly type: "leave"; readonly channel: Channel; readonly leave: ScannedFrame }
  | { readonly type: "replace" | "ended" | "end" | "kill"; readonly channel: Channel }
  /** Answers a frame for a topic that is not joined. */
  | { readonly type: "unmatched"; readonly frame: ScannedFrame }
  /** Nothing is answered: the frame is of another join. */
  | { readonly type: "stale"; readonly frame: ScannedFrame }
  | { readonly type: "refuse"; readonly join: ScannedFrame; readonly response: object }
  | { readonly type: "left"; readonly leave: ScannedFrame; readonly joinRef: WireRef }
  | { readonly type: "close" | "crash"; readonly joinRef: WireRef }
  | { readonly type: "timer"; readonly timer: number };

interface Owed {
  readonly joinRef: WireRef;
}

type State<Channel> = Subscription<Channel> | undefined;

/** What is put together during one step. */
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
      // The join it was for has been answered: its shard was taken for dead.
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
      // What is said of another join is said of one that is over.
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
          // It answers a leave that it has been sent.
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

/** Gives a channel what waits for it, in order, as far as there is room. */
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

/** A message of another join than the one that counts. */
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
  // Joined without a join_ref, a client may go on to use the ref its frames from us carry.
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

/** There is no channel, and the join has not been answered. */
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
 * A channel that will end is given no more. What waits is answered, as far as no join is before it.
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
  // Nothing is owed to a client that knows, and nothing waits for the process to end.
  if (why.type === "announced" && rest.length === 0) return undefined;
  return watched({ type: "ending", ...live, why, killed: false, waiting: rest }, turn);
}

/** The process of a channel that was to end has ended. */
function ended<Channel>(state: Ending<Channel>, turn: Turn<Channel>): State<Channel> {
  const { why, joinRef, channelRef, killed, waiting } = state;
  switch (why.type) {
    case "left":
      // It did not come to the leave.
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

/** There is no channel any more: what waits is answered, until a join starts the next one. */
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

// ------------------------------------------------------------------ patience

/** Begins to look for progress when something waits that must not wait without end. */
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
