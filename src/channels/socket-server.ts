/**
 * The process of one connection (Phoenix.Socket): it reads the routing fields of each frame, knows which channel serves
 * which topic, and watches those channels. It never waits for a channel, so a slow join or a stuck handler of one topic
 * holds up neither the heartbeat nor the other topics (C-104).
 *
 * Per topic:
 *
 *   (none) ──phx_join──▶ starting ──channel joined──▶ joined ──phx_leave──▶ leaving ──DOWN──▶ (none)
 *                           │ refused, crashed              │ DOWN without a close: phx_error
 *                           └──▶ (none)                     └──▶ (none)
 *   joined, leaving ──phx_join──▶ replacing ──DOWN of the old one──▶ starting
 *
 * Messages for a topic whose channel is starting wait here, in order, and go to it once it has joined; when it has not,
 * they are answered as for a topic nobody joined.
 */

import { PubSub } from "simurgh/pubsub";
import {
  cancelTimer,
  demonitor,
  ExitSignal,
  exit,
  type From,
  GenServer,
  type GenServerModule,
  monitor,
  type Pid,
  type Ref,
  SmallMap,
  self,
  send,
  sendAfter,
  thisNode,
} from "simurgh/runtime";
import type { ChannelNews, ChannelStart, Incoming, Leave } from "./channel-server.js";
import { decodePayload, type RawPayload, type ScannedFrame } from "./frame-scanner.js";
import { MOST_QUEUED, type Taken, Waiting } from "./inflow.js";
import { limitHit, transportClosed } from "./logging.js";
import { type Frame, isBroadcast, sameRef, type WireRef } from "./message.js";
import type { InvalidFrames } from "./mount.js";
import { type Serializer, serializerFor } from "./serializers/index.js";
import { type ChannelElsewhere, type ChannelNotStarted, type StartChannel, shardName } from "./shard.js";
import type { ConnectSocket } from "./socket.js";
import { routeOf, type SocketDefinition } from "./socket-definition.js";
import { type Rate, TokenBucket } from "./token-bucket.js";
import type { Writer } from "./writer.js";

/** What a transport offers its socket process. */
export interface Transport {
  readonly name: "websocket" | "longpoll";
  /** A frame that was handed over has been taken. */
  handled(): void;
  /** Reads no more from the client, or does again. */
  hold(on: boolean): void;
  close(code: number, reason?: string): void;
}

/** What the connections of one mount have in common. */
export interface SocketKind {
  readonly definition: SocketDefinition;
  readonly mount: string;
  readonly pubsub: string;
  readonly writer: Writer;
  /** Topics one connection may join. */
  readonly maxChannels: number;
  readonly messageRate: Rate | false;
  readonly joinRate: Rate | false;
  readonly invalidFrames: InvalidFrames;
  /** The node index of the shard that owns a topic. */
  readonly shardOf: (topic: string) => number;
}

export interface SocketStart {
  readonly kind: SocketKind;
  readonly socket: ConnectSocket;
  /** Name of the serializer. */
  readonly serializerName: string;
  /** When the connection must end, in ms since the epoch. */
  readonly expiresAt: number | undefined;
  readonly connection: number;
  readonly transport: Transport;
  /** False from the start of the process on when it must still be waited for: ask it `["ready"]`. */
  isReady?: boolean;
}

interface Joining {
  readonly joinRef: WireRef;
  readonly ref: WireRef;
  readonly payload: RawPayload;
  readonly channel: number;
}

interface Joined {
  /** As sent, which is what the end of the channel is told with (C-040, C-045). */
  readonly joinRef: WireRef;
  /** What the channel's own frames carry: the join's ref when there was no join_ref. */
  readonly channelRef: WireRef;
  readonly pid: Pid;
  readonly watched: Watched;
}

/** A channel process whose end is watched. */
interface Watched {
  readonly topic: string;
  readonly pid: Pid;
  /** What waits for it. */
  readonly waiting: Waiting;
  /** So much waits that the connection is not read. */
  full: boolean;
}

type Entry =
  | {
      readonly state: "starting";
      readonly joining: Joining;
      readonly token: number;
      readonly node: number;
      pid: Pid | undefined;
      watched: Watched | undefined;
      readonly queue: ScannedFrame[];
      /** The client has left already: which of its leaves ends the join if it takes too long. */
      givingUp?: number;
    }
  | ({ readonly state: "joined" } & Joined)
  | ({ readonly state: "leaving"; readonly leave: ScannedFrame } & Joined)
  | {
      readonly state: "replacing";
      readonly old: Pid;
      readonly joining: Joining;
      after: readonly Frame[];
      readonly queue: ScannedFrame[];
      givingUp?: number;
    };

/** One per connection: what is rare is made when it is needed. */
class SocketState {
  readonly kind: SocketKind;
  readonly socket: ConnectSocket;
  readonly serializer: Serializer;
  readonly connection: number;
  readonly transport: Transport;
  readonly messages: TokenBucket | undefined;
  readonly joins: TokenBucket | undefined;
  readonly topics = new SmallMap<string, Entry>();
  /** Which topic a watched channel serves. */
  readonly monitors = new SmallMap<number, Watched>();
  /** Channels that are behind so much that the client is held back. */
  full = 0;
  /** Transports that ask are answered when it goes on. */
  heldBack: From[] | undefined;
  /** Monitors of the shards that have not answered yet, and how many joins they owe an answer. */
  readonly shards = new SmallMap<number, { readonly ref: Ref; joins: number }>();
  /** What the log has been told of this connection; each once. */
  told: Set<"rate" | "topics" | "invalid frame"> | undefined;
  /** The timer of its end, when it has one. */
  expiry: Ref | undefined;
  nextToken = 1;

  constructor({ kind, socket, serializerName, connection, transport }: SocketStart) {
    this.kind = kind;
    this.socket = socket;
    this.serializer = serializerFor(serializerName);
    this.connection = connection;
    this.transport = transport;
    this.messages = bucket(kind.messageRate);
    this.joins = bucket(kind.joinRate);
  }
}

/** When to try again what does not fit before a join. */
const QUEUE_RETRY_MS = 1000;

/** How long a join may go on after its client has left. */
const LEAVE_GRACE_MS = 500;

type GiveUp = readonly ["give up", topic: string, token: number];

/** How long a channel that is being replaced may take to end before it is killed. */
const REPLACE_GRACE_MS = 5000;

type Step = readonly ["noreply", SocketState] | readonly ["stop", unknown, SocketState];
const go = (state: SocketState): Step => ["noreply", state];

const server: GenServerModule<SocketState, SocketStart> = {
  name: "Socket",

  init(start) {
    const state = new SocketState(start);
    if (start.expiresAt !== undefined) state.expiry = expireAt(start.expiresAt);
    const { id } = start.socket;
    const listening = id === null ? "ok" : listenFor(id, state);
    if (listening === "ok") return ["ok", state];
    // Other connections start at the same supervisor: only this one waits, and its handshake.
    start.isReady = false;
    return ["ok", state, ["continue", listening]];
  },

  async handleContinue(listening, state) {
    await listening;
    return go(state);
  },

  handleInfo(message, state): Step | Promise<Step> {
    if (typeof message === "string" || message instanceof Uint8Array)
      return inbound(state.serializer.scan(message), state);
    if (Array.isArray(message)) return news(message as never, state);
    if (isBroadcast(message) && message.topic === state.socket.id && message.event === "disconnect") {
      state.transport.close(1001, "disconnected");
      return ["stop", ["shutdown", "disconnected"], state];
    }
    return go(state);
  },

  /** A transport that acknowledges each frame asks instead of sending. */
  handleCall(
    [what, data]: readonly ["frame", string | Uint8Array] | readonly ["debug"] | readonly ["ready"],
    from,
    state,
  ) {
    if (what === "debug") return ["reply", describe(state), state];
    if (what === "ready") return ["reply", "ok", state];
    if (what !== "frame") return ["reply", ["error", "unknown request"], state];
    const step = inbound(state.serializer.scan(data), state);
    if (step[0] !== "noreply") return step;
    if (state.full === 0) GenServer.reply(from, "ok");
    else state.heldBack = [...(state.heldBack ?? []), from];
    return step;
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

type News =
  | ChannelNews
  | ChannelNotStarted
  | ChannelElsewhere
  | readonly ["DOWN", Ref, "process", unknown, unknown]
  | readonly ["kill", Pid]
  | readonly ["transport closed", reason: unknown]
  | GiveUp
  | readonly ["expired"]
  | ExpireAt
  | ThreadGone
  | readonly ["drain"];

/** Sent by the gateway when another thread has ended. */
export type ThreadGone = readonly ["thread gone", node: number];

/** How often a thread that is to come back is looked for. */
const AGAIN_MS = 100;

/** Sent by a channel whose client has shown a fresh token; see `expireAt` in socket.ts. */
export type ExpireAt = readonly ["expire at", epochMs: number];

/** What a client is told whose right to be here has ended. */
const EXPIRED = 4401;

const expireAt = (epochMs: number): Ref =>
  sendAfter(self(), ["expired"], Math.max(0, Math.ceil(epochMs - Date.now())));

function news(message: News, state: SocketState): Step | Promise<Step> {
  switch (message[0]) {
    case "channel started":
      return channelStarted(message[1], message[2], message[3], state);
    case "channel not started":
      return channelNotStarted(message, state);
    case "channel elsewhere":
      return channelElsewhere(message, state);
    case "channel joined":
      return channelJoined(message[1], message[2], state);
    case "taken":
      return channelTook(message[1], message[2], message[3], state);
    case "channel refused":
      return channelRefused(message[1], message[2], state);
    case "channel closes":
      return channelCloses(message[1], message[2], state);
    case "invalid frame":
      return invalidFromChannel(message, state);
    case "DOWN":
      return down(message[1], message[3], message[4], state);
    case "kill":
      exit(message[1], "kill");
      return go(state);
    case "transport closed":
      return ["stop", message[1], state];
    case "give up":
      return giveUp(message, state);
    case "expired":
      state.transport.close(EXPIRED, "session expired");
      return ["stop", ["shutdown", "expired"], state];
    case "expire at":
      if (state.expiry !== undefined) cancelTimer(state.expiry);
      state.expiry = message[1] === Number.POSITIVE_INFINITY ? undefined : expireAt(message[1]);
      return go(state);
    case "thread gone": {
      const { id } = state.socket;
      // The subscriptions of a thread end with it. Nobody waits for this: what else the client is told and asks for goes on.
      if (id !== null && state.kind.shardOf(id) === message[1]) void listenFor(id, state);
      return go(state);
    }
    case "drain":
      state.transport.close(1012, "server restarting");
      return ["stop", ["shutdown", "draining"], state];
  }
}

/**
 * Whoever disconnects this client by its id must find it (C-138). While the thread of its id is being restarted, it is tried again
 * later: that is no reason to refuse a connection.
 */
function listenFor(id: string, { kind }: SocketState): "ok" | Promise<unknown> {
  const subscribed = PubSub.subscribe(kind.pubsub, id);
  if (subscribed === "ok") return subscribed;
  return subscribed.catch((error: unknown) => {
    if (!(error instanceof ExitSignal)) throw error;
    sendAfter(self(), ["thread gone", kind.shardOf(id)] satisfies ThreadGone, AGAIN_MS);
  });
}

// ------------------------------------------------------------------ frames of the client

function inbound(frame: ScannedFrame | undefined, state: SocketState): Step {
  state.transport.handled();
  if (frame === undefined) return invalidFrame(undefined, state);
  return route(frame, state);
}

function route(frame: ScannedFrame, state: SocketState): Step {
  const { topic, event } = frame;
  if (frame.wireTopic !== undefined) return unjoined(frame, state);
  if (event === "heartbeat" && topic === "phoenix") {
    if (!isSound(frame)) return invalidFrame(frame, state);
    write(state, state.serializer.encodeReply(null, frame.ref, topic, "ok", {}));
    return go(state);
  }
  const wait = (event === "phx_join" ? state.joins : state.messages)?.take(performance.now()) ?? 0;
  if (wait > 0) return limited(frame, wait, state);
  const entry = state.topics.get(topic);
  if (event === "phx_join") return join(frame, entry, state);
  if (entry === undefined) return unjoined(frame, state);
  switch (entry.state) {
    case "starting":
    case "replacing":
      if (isStale(frame, entry.joining.joinRef, entry.joining.ref)) return stale(frame, state);
      if (event === "phx_leave") return leaveEarly(frame, entry, state);
      if (entry.queue.length >= MOST_QUEUED) return limited(frame, QUEUE_RETRY_MS, state);
      entry.queue.push(frame);
      return go(state);
    case "joined":
      if (isStale(frame, entry.joinRef, entry.channelRef)) return stale(frame, state);
      if (event === "phx_leave") {
        if (!isSound(frame)) return invalidFrame(frame, state);
        state.topics.set(topic, { ...entry, state: "leaving", leave: frame });
        send(entry.pid, ["leave", frame.ref, entry.channelRef] satisfies Leave);
      } else {
        hand(entry.watched, frame.payload, state);
        send(entry.pid, ["in", event, frame.ref, frame.payload] satisfies Incoming);
      }
      return go(state);
    case "leaving":
      if (isStale(frame, entry.joinRef, entry.channelRef)) return stale(frame, state);
      return unjoined(frame, state);
  }
}

const bucket = (rate: Rate | false): TokenBucket | undefined =>
  rate === false ? undefined : new TokenBucket(rate, performance.now());

/** The client sends more than it may: this frame is refused, and the client told when to try again. */
function limited({ joinRef, ref, topic, event }: ScannedFrame, wait: number, state: SocketState): Step {
  limitHit(state.socket.endpoint, event === "phx_join" ? "joins" : "messages");
  noticeOnce(
    state,
    "rate",
    "warning",
    "a client sends faster than its mount allows; what is too much is refused",
  );
  const response = { reason: "rate_limited", code: "rate_limited", retry_after_ms: wait };
  write(state, state.serializer.encodeReply(joinRef, ref, topic, "error", response));
  return go(state);
}

/** A message of another join than the one that counts (C-041 to C-043). */
const isStale = (frame: ScannedFrame, joinRef: WireRef, alsoRef: WireRef): boolean =>
  frame.joinRef !== null && !sameRef(frame.joinRef, joinRef) && !sameRef(frame.joinRef, alsoRef);

const stale = (frame: ScannedFrame, state: SocketState): Step =>
  isSound(frame) ? go(state) : invalidFrame(frame, state);

/** Whether the payload, which nobody needs, is one. */
function isSound({ payload }: ScannedFrame): boolean {
  try {
    decodePayload(payload);
    return true;
  } catch {
    return false;
  }
}

/** A message for a topic that this connection has not joined (C-037, C-039). */
function unjoined(frame: ScannedFrame, state: SocketState): Step {
  if (!isSound(frame)) return invalidFrame(frame, state);
  const { joinRef, ref, event, wireTopic } = frame;
  const topic = wireTopic === undefined ? frame.topic : (wireTopic as string);
  write(
    state,
    event === "phx_leave"
      ? state.serializer.encodeReply(joinRef, ref, topic, "ok", {})
      : state.serializer.encodeReply(null, ref, topic, "error", { reason: "unmatched topic" }),
  );
  return go(state);
}

/** A frame that is none, as far as it can be read: the connection ends, unless its mount is patient (C-036). */
function invalidFrame(
  frame: { readonly ref: WireRef; readonly topic: string } | undefined,
  state: SocketState,
): Step {
  noticeOnce(
    state,
    "invalid frame",
    "info",
    `a client sent a frame that is not one of ${state.serializer.name}`,
  );
  switch (state.kind.invalidFrames) {
    case "close":
      state.transport.close(1011, "invalid frame");
      return ["stop", ["shutdown", "invalid_frame"], state];
    case "reply": {
      const { ref, topic } = frame ?? { ref: null, topic: "phoenix" };
      write(state, state.serializer.encodeReply(null, ref, topic, "error", { reason: "invalid frame" }));
      return go(state);
    }
    case "ignore":
      return go(state);
  }
}

/** A channel could not read a payload that was meant for it; if it was the join's, there is no channel. */
function invalidFromChannel(
  [, topic, ref, pid]: Extract<ChannelNews, readonly ["invalid frame", ...unknown[]]>,
  state: SocketState,
): Step {
  const step = invalidFrame({ ref, topic }, state);
  return step[0] === "stop" ? step : channelRefused(topic, pid, state);
}

// ------------------------------------------------------------------ joining

function join(frame: ScannedFrame, entry: Entry | undefined, state: SocketState): Step {
  const { topic, joinRef, ref, payload } = frame;
  const channel = routeOf(state.kind.definition, topic);
  if (channel < 0) {
    notice(state, "warning", `Ignoring unmatched topic ${JSON.stringify(topic)}`);
    return unjoined(frame, state);
  }
  if (entry === undefined && state.topics.size >= state.kind.maxChannels) {
    limitHit(state.socket.endpoint, "topics");
    noticeOnce(
      state,
      "topics",
      "error",
      `a connection may join ${state.kind.maxChannels} topics; the join of ${JSON.stringify(topic)} is refused`,
    );
    write(
      state,
      state.serializer.encodeReply(joinRef, ref, topic, "error", { reason: "too many channels joined" }),
    );
    return go(state);
  }
  const joining: Joining = { joinRef, ref, payload, channel };
  const queue: ScannedFrame[] = [];
  if (entry === undefined) {
    startChannel(topic, joining, queue, [], state);
    return go(state);
  }
  switch (entry.state) {
    case "starting":
      // The former join has not been answered; a client that joins again no longer waits for that answer.
      if (entry.pid === undefined) {
        startChannel(topic, joining, queue, [], state);
        return go(state);
      }
      return replace(topic, entry.pid, joining, [], state);
    case "joined":
      return replace(topic, entry.pid, joining, [closeFrame(state, topic, entry.joinRef)], state);
    case "leaving": {
      const { leave, joinRef: oldJoinRef, channelRef } = entry;
      // Sent only if the old channel is ended before it comes to say so itself; see channelCloses.
      const owed = [
        state.serializer.encodeReply(channelRef, leave.ref, topic, "ok", {}),
        closeFrame(state, topic, oldJoinRef),
      ];
      return replace(topic, entry.pid, joining, owed, state);
    }
    case "replacing":
      state.topics.set(topic, { state: "replacing", old: entry.old, joining, after: entry.after, queue });
      return go(state);
  }
}

const closeFrame = (state: SocketState, topic: string, joinRef: WireRef): Frame =>
  state.serializer.encodeControl(joinRef, topic, "phx_close", {});

/** Ends the channel that serves the topic; the new one starts once it is gone (C-109). */
function replace(
  topic: string,
  old: Pid,
  joining: Joining,
  after: readonly Frame[],
  state: SocketState,
): Step {
  state.topics.set(topic, { state: "replacing", old, joining, after, queue: [] });
  exit(old, ["shutdown", "duplicate_join"]);
  sendAfter(self(), ["kill", old], REPLACE_GRACE_MS);
  return go(state);
}

function startChannel(
  topic: string,
  joining: Joining,
  queue: ScannedFrame[],
  after: readonly Frame[],
  state: SocketState,
): void {
  const node = state.kind.shardOf(topic);
  const token = state.nextToken;
  state.nextToken += 1;
  state.topics.set(topic, {
    state: "starting",
    joining,
    token,
    node,
    pid: undefined,
    watched: undefined,
    queue,
  });
  // A shard that goes away before it has answered takes this join with it.
  const asked = state.shards.get(node);
  if (asked !== undefined) asked.joins += 1;
  else state.shards.set(node, { ref: monitor({ name: shardName(state.socket.endpoint), node }), joins: 1 });
  const { assigns, endpoint, id } = state.socket;
  const start: ChannelStart = {
    token,
    // Named one by one: a spread makes an object that grows, which costs ten times as much.
    socket: {
      assigns,
      endpoint,
      id,
      topic,
      joined: false,
      joinRef: joining.joinRef ?? joining.ref,
      ref: null,
      channelPid: self(),
      transportPid: self(),
      transport: state.transport.name,
      serializer: state.serializer.name,
      pubsub: state.kind.pubsub,
      writer: state.kind.writer.pid,
      connection: state.connection,
    },
    ref: joining.ref,
    wireJoinRef: joining.joinRef,
    payload: joining.payload,
    after,
  };
  GenServer.cast({ name: shardName(state.socket.endpoint), node }, [
    "start channel",
    state.kind.mount,
    joining.channel,
    start,
  ] satisfies StartChannel);
}

/** A shard has answered one of the joins it was asked for; when that was the last, it need not be watched. */
function shardAnswered(node: number, state: SocketState): void {
  const asked = state.shards.get(node);
  if (asked === undefined) return;
  asked.joins -= 1;
  if (asked.joins > 0) return;
  state.shards.delete(node);
  demonitor(asked.ref, { flush: true });
}

function channelStarted(topic: string, token: number, pid: Pid, state: SocketState): Step {
  shardAnswered(pid.node, state);
  const entry = state.topics.get(topic);
  if (entry?.state !== "starting" || entry.token !== token) {
    // Nobody waits for it any more: the client left or joined anew.
    exit(pid, ["shutdown", "left"]);
    return go(state);
  }
  entry.pid = pid;
  entry.watched = watch(topic, pid, state);
  return go(state);
}

/** The topic has moved while the join was on its way: once more, where it is now. */
function channelElsewhere([, topic, token, after]: ChannelElsewhere, state: SocketState): Step {
  const entry = state.topics.get(topic);
  if (entry?.state !== "starting" || entry.token !== token) return go(state);
  const { joining, queue, node } = entry;
  shardAnswered(node, state);
  if (state.kind.shardOf(topic) === node) {
    for (const frame of after) write(state, frame);
    joinFailed(topic, joining, queue, { reason: "unavailable", code: "topic_moving" }, state);
  } else startChannel(topic, joining, queue, after, state);
  return go(state);
}

function channelNotStarted([, topic, token]: ChannelNotStarted, state: SocketState): Step {
  const entry = state.topics.get(topic);
  if (entry?.state === "starting" && entry.token === token) {
    shardAnswered(entry.node, state);
    joinFailed(topic, entry.joining, entry.queue, { reason: "unavailable" }, state);
  }
  return go(state);
}

function watch(topic: string, pid: Pid, state: SocketState): Watched {
  const ref = monitor(pid);
  const watched: Watched = { topic, pid, waiting: new Waiting(), full: false };
  state.monitors.set(ref.id, watched);
  return watched;
}

// ------------------------------------------------------------------ channels that are slower than their client

function hand(watched: Watched, payload: RawPayload, state: SocketState): void {
  watched.waiting.handed(payload);
  if (watched.full || !watched.waiting.isMuch) return;
  watched.full = true;
  state.full += 1;
  if (state.full === 1) state.transport.hold(true);
}

function channelTook(topic: string, pid: Pid, taken: Taken, state: SocketState): Step {
  const entry = state.topics.get(topic);
  // What waits for a channel that is ending counts until it has.
  if (entry?.state !== "joined" || !pid.equals(entry.pid)) return go(state);
  entry.watched.waiting.taken(taken);
  if (entry.watched.waiting.isLittle) caughtUp(entry.watched, state);
  return go(state);
}

function caughtUp(watched: Watched, state: SocketState): void {
  if (!watched.full) return;
  watched.full = false;
  state.full -= 1;
  if (state.full > 0) return;
  state.transport.hold(false);
  for (const from of state.heldBack ?? []) GenServer.reply(from, "ok");
  state.heldBack = undefined;
}

function joinFailed(
  topic: string,
  joining: Joining,
  queue: readonly ScannedFrame[],
  response: unknown,
  state: SocketState,
): void {
  state.topics.delete(topic);
  write(state, state.serializer.encodeReply(joining.joinRef, joining.ref, topic, "error", response));
  for (const frame of queue) route(frame, state);
}

function channelJoined(topic: string, pid: Pid, state: SocketState): Step {
  const entry = state.topics.get(topic);
  if (entry?.state !== "starting" || !pid.equals(entry.pid) || entry.watched === undefined) return go(state);
  const { watched } = entry;
  const { joinRef, ref } = entry.joining;
  // Joined without a join_ref, a client may go on to use the ref its frames from us carry (C-043).
  state.topics.set(topic, { state: "joined", joinRef, channelRef: joinRef ?? ref, pid, watched });
  for (const frame of entry.queue) route(frame, state);
  return go(state);
}

function channelRefused(topic: string, pid: Pid, state: SocketState): Step {
  const entry = state.topics.get(topic);
  if (entry?.state !== "starting" || !pid.equals(entry.pid)) return go(state);
  state.topics.delete(topic);
  for (const frame of entry.queue) route(frame, state);
  return go(state);
}

/**
 * The client leaves before its join has been answered: it is answered first, then left, as everything is in order. A join that
 * takes long is given up instead (C-105).
 */
function leaveEarly(
  frame: ScannedFrame,
  entry: Extract<Entry, { state: "starting" | "replacing" }>,
  state: SocketState,
): Step {
  entry.queue.push(frame);
  entry.givingUp = state.nextToken;
  state.nextToken += 1;
  sendAfter(self(), ["give up", frame.topic, entry.givingUp] satisfies GiveUp, LEAVE_GRACE_MS);
  return go(state);
}

function giveUp([, topic, token]: GiveUp, state: SocketState): Step {
  const entry = state.topics.get(topic);
  if ((entry?.state !== "starting" && entry?.state !== "replacing") || entry.givingUp !== token)
    return go(state);
  if (entry.state === "starting" && entry.pid !== undefined) exit(entry.pid, ["shutdown", "left"]);
  if (entry.state === "replacing") for (const owed of entry.after) write(state, owed);
  state.topics.delete(topic);
  for (const frame of entry.queue) route(frame, state);
  return go(state);
}

// ------------------------------------------------------------------ the end of channels

/** The channel has told its client that it closes, and will end. */
function channelCloses(topic: string, pid: Pid, state: SocketState): Step {
  const entry = state.topics.get(topic);
  if (entry?.state === "replacing" && pid.equals(entry.old)) entry.after = [];
  else if ((entry?.state === "joined" || entry?.state === "leaving") && pid.equals(entry.pid))
    state.topics.delete(topic);
  return go(state);
}

function down(ref: Ref, object: unknown, reason: unknown, state: SocketState): Step {
  const watched = state.monitors.get(ref.id);
  if (watched === undefined) return shardDown(ref, object, state);
  state.monitors.delete(ref.id);
  caughtUp(watched, state);
  const { topic, pid } = watched;
  const entry = state.topics.get(topic);
  if (entry === undefined) return go(state);
  switch (entry.state) {
    case "starting":
      if (!pid.equals(entry.pid)) break;
      if (reason !== "noconnection") {
        joinFailed(topic, entry.joining, entry.queue, { reason: "join crashed" }, state);
        break;
      }
      // The thread may have answered the join just before it died: an error for it might not be looked at.
      state.topics.delete(topic);
      crashed(topic, entry.joining.joinRef, state);
      for (const frame of entry.queue) route(frame, state);
      break;
    case "joined":
    case "leaving":
      if (pid.equals(entry.pid)) {
        state.topics.delete(topic);
        crashed(topic, entry.joinRef, state);
      }
      break;
    case "replacing":
      if (pid.equals(entry.old)) startChannel(topic, entry.joining, entry.queue, entry.after, state);
      break;
  }
  return go(state);
}

/** A shard is gone: joins it had not answered fail, and their clients try again. */
function shardDown(ref: Ref, object: unknown, state: SocketState): Step {
  for (const [node, asked] of state.shards) {
    if (!asked.ref.equals(ref)) continue;
    state.shards.delete(node);
    for (const [topic, entry] of [...state.topics]) {
      if (entry.state === "starting" && entry.node === node && entry.pid === undefined) {
        joinFailed(
          topic,
          entry.joining,
          entry.queue,
          { reason: "unavailable", code: "shard_restarting" },
          state,
        );
      }
    }
    return go(state);
  }
  notice(state, "debug", `a monitor nobody knows fired for ${String(object)}`);
  return go(state);
}

function crashed(topic: string, joinRef: WireRef, state: SocketState): void {
  write(state, state.serializer.encodeControl(joinRef, topic, "phx_error", { reason: "channel_crash" }));
}

// ------------------------------------------------------------------ helpers

/** What `Debug` shows. */
export interface SocketDescription {
  readonly module: string;
  readonly id: string | null;
  readonly transport: string;
  readonly channels: readonly {
    readonly topic: string;
    readonly status: "joined" | "leaving";
    readonly pid: Pid;
  }[];
}

function describe({ kind, socket, transport, topics }: SocketState): SocketDescription {
  const channels: { topic: string; status: "joined" | "leaving"; pid: Pid }[] = [];
  for (const [topic, entry] of topics) {
    if (entry.state === "joined" || entry.state === "leaving")
      channels.push({ topic, status: entry.state, pid: entry.pid });
  }
  return { module: kind.mount, id: socket.id, transport: transport.name, channels };
}

function write(state: SocketState, frame: Frame): void {
  state.kind.writer.send(state.connection, frame);
}

/** Says it the first time it happens on this connection: a client can make it happen as often as it likes. */
function noticeOnce(
  state: SocketState,
  what: "rate" | "topics" | "invalid frame",
  level: "info" | "warning" | "error",
  text: string,
): void {
  if (state.told?.has(what)) return;
  state.told ??= new Set();
  state.told.add(what);
  notice(state, level, text);
}

function notice(state: SocketState, level: "debug" | "info" | "warning" | "error", text: string): void {
  thisNode().report({
    kind: "notice",
    level,
    text,
    pid: self(),
    metadata: { endpoint: state.socket.endpoint, id: state.socket.id },
  });
}

/** Starts the process of a connection, linked to the caller. */
export const startSocket = (start: SocketStart): ReturnType<typeof GenServer.startLink> =>
  GenServer.startLink(server, start, { label: start.socket.id ?? `connection ${start.connection}` });
