/**
 * PubSub: processes subscribe to topics, and a message broadcast on a topic reaches every subscriber (Phoenix.PubSub).
 *
 * Delivery is at most once and ordered per sender: two broadcasts by one process reach any one subscriber in order.
 * A subscription ends with its process.
 *
 * Every thread runs a PubSub process of the same name. A topic lives in one thread, the one that owns its slot:
 * subscribers elsewhere are registered there, and broadcasts from elsewhere are forwarded there. In that thread a
 * broadcast is dispatched in the caller's own turn, without a hop.
 */
import {
  BadArg,
  type ChildSpec,
  demonitor,
  type ExitReason,
  type From,
  GenServer,
  type GenServerModule,
  isPid,
  monitor,
  onExit,
  outside,
  type Pid,
  type Ref,
  type RuntimeNode,
  type StartResult,
  self,
  send,
  telemetry,
  thisNode,
  trapExit,
} from "simurgh/runtime";
import type {
  Adapter,
  AdapterEvent,
  AdapterFactory,
  AdapterHealth,
  AdapterStatus,
  PublishResult,
} from "./adapter.js";
import { localAdapter } from "./adapters/local.js";
import { bareDispatcher, type Dispatcher, dispatcherNamed } from "./dispatcher.js";
import {
  type HandoverStep,
  type Mark,
  Marks,
  type MovedSubscription,
  NOT_HELD,
  type ReassignResult,
  reassign,
} from "./handover.js";
import { slot } from "./slot.js";
import { TopicTable } from "./topic-table.js";

export interface PubSubOptions {
  /** Registered name, the same in every thread. Required. */
  readonly name: string;
  /**
   * Index of the thread that owns each of the 256 slots. Default: this thread owns all. Where slots move, say it as `SlotOwners`:
   * a PubSub that is restarted then begins with the owners there are by then.
   */
  readonly owners?: readonly number[] | SlotOwners;
  /** Joins this node to others. Only the thread that owns a slot publishes for it. Default: no other nodes. */
  readonly adapter?: AdapterFactory;
  /** Phoenix's pools do not exist here, where a slot belongs to one thread for ever: ignored with a notice (P-024). */
  readonly poolSize?: number;
  readonly broadcastPoolSize?: number;
}

/** The owners as a thread knows them. Outlives its PubSub, which keeps it up to date. */
export interface SlotOwners {
  current: readonly number[];
}

/**
 * The topic on which each thread tells its adapter's events, as `["adapter", event]`, to processes of this node
 * (P-022, P-036).
 */
const EVENTS = "simurgh:adapter";

/** What this thread got from other nodes and did not deliver, by why. */
export interface Dropped {
  /** Not a topic, a message and a dispatcher. */
  readonly malformed: number;
  /** A dispatcher that is not registered here. */
  readonly dispatcher: number;
  /** A dispatcher that threw. */
  readonly failed: number;
}

export interface Traffic {
  /** Broadcasts of this node on topics of this thread. */
  readonly broadcasts: number;
  /** Messages of other nodes, delivered here. */
  readonly fromOthers: number;
  /** Those that wait to be delivered, and their bytes. */
  readonly waiting: number;
  readonly waitingBytes: number;
}

/** A broadcast failed: what the bang forms throw. */
export class BroadcastError extends Error {
  override readonly name = "BroadcastError";
}

/** The part of a running PubSub that other processes of its thread use directly (OTP: a named ETS table). */
interface Instance {
  readonly name: string;
  readonly table: TopicTable;
  /** Its `current` is undefined when this thread owns all. */
  readonly owners: { current: readonly number[] | undefined };
  /** While topics move: what is published to them waits here. */
  holding: Holding | undefined;
  readonly marks: Marks;
  /** Who is told when topics have moved. */
  readonly ownersWatchers: Map<number, Pid>;
  readonly adapter: Adapter;
  readonly dropped: { malformed: number; dispatcher: number; failed: number };
  /** Messages of other nodes in this process's mailbox. */
  readonly inbox: { messages: number; bytes: number };
  readonly counts: { broadcasts: number; fromOthers: number };
  readonly interest: (slot: number, wanted: boolean) => void;
  /** Slots in which what others send does not arrive yet. */
  readonly pending: Map<number, Promise<void>>;
  /** Processes whose end is watched already. */
  readonly watched: Set<number>;
  /** It was joined to others before. */
  joinedOnce: boolean;
}

interface Holding {
  readonly move: number;
  readonly slots: ReadonlySet<number>;
  readonly conductor: Ref;
  readonly kept: Kept[];
  /** The subscriptions that are on their way: nobody is here any more who could be told. */
  exported: readonly MovedSubscription[] | undefined;
  readonly over: Promise<void>;
  readonly release: () => void;
}

/** What waits for the end of a move, and who is to be answered then. */
interface Kept {
  readonly request: Forwarded;
  readonly from?: From;
  /** Another thread sent it. */
  readonly isForeign?: boolean;
}

/** What one thread keeps back while topics move; beyond it publishing is refused. */
const MOST_KEPT = 100_000;

/** Told to who watches the owners of slots: topics have moved. */
const OWNERS_CHANGED = Symbol("simurgh.owners changed");

const instances = new WeakMap<RuntimeNode, Map<string, Instance>>();

function instance(name: string): Instance {
  const found = instances.get(thisNode())?.get(name);
  if (found === undefined)
    throw new BadArg(`badarg: the PubSub ${name} is not running in this thread; start it before it is used`);
  return found;
}

/** Requests between the PubSub processes of a node's threads. */
type Forwarded = Subscribing | Published;

type Subscribing =
  | readonly ["subscribe", topic: string, pid: Pid, metadata: unknown]
  | readonly ["unsubscribe", topic: string, pid: Pid];

type Published =
  | readonly [
      "broadcast",
      topic: string,
      from: Pid | undefined,
      message: unknown,
      dispatcher: string,
      local: boolean,
    ]
  | readonly ["direct", nodeName: string, topic: string, message: unknown, dispatcher: string];

interface StartArg {
  readonly options: PubSubOptions;
  /** Its supervisor stops it in good order. */
  readonly supervised: boolean;
}

const server: GenServerModule<
  Instance,
  StartArg,
  Subscribing | HandoverStep | readonly ["health"],
  Forwarded | Mark
> = {
  name: "PubSub",

  async init({ options, supervised }) {
    const node = thisNode();
    const me = self();
    // To wait for what is still to be sent it must hear of its end before it ends. Who starts it by hand may end before it.
    if (supervised) trapExit(true);
    // Adapters call from anywhere, even from what a process that has ended left behind; dispatchers run in this process, one
    // message after the other.
    const inbox = { messages: 0, bytes: 0 };
    const deliver = (topic: unknown, message: unknown, dispatcher: unknown, bytes = 0): void => {
      inbox.messages += 1;
      inbox.bytes += bytes;
      outside(() => send(me, ["remote", topic, message, dispatcher, bytes]));
    };
    const tell = (event: AdapterEvent): void => void outside(() => send(me, ["adapter", event]));
    let adapter: Adapter | undefined;
    let ended = false;
    onExit(me, () => {
      ended = true;
      void adapter?.stop?.();
    });
    adapter = await (options.adapter ?? localAdapter())(deliver, tell, inbox);
    if (ended) void adapter.stop?.();
    const running = instanceOf(options, adapter, inbox);
    if (options.poolSize !== undefined || options.broadcastPoolSize !== undefined)
      notice("info", `${options.name}: pool sizes are ignored, topics are spread over the shard threads`, {});
    let named = instances.get(node);
    if (named === undefined) {
      named = new Map();
      instances.set(node, named);
    }
    named.set(options.name, running);
    onExit(me, () => void named.delete(options.name));
    return ["ok", running];
  },

  handleCall(request, from, state) {
    switch (request[0]) {
      case "health":
        return ["reply", state.adapter.health?.(), state];
      case "hold":
        hold(state, request);
        break;
      case "export":
        if (state.holding?.move !== request[1]) return ["reply", NOT_HELD, state];
        state.marks.expect(request[1], "in", request[2], () =>
          GenServer.reply(from, exported(state, request[1], request[2])),
        );
        return ["noreply", state];
      case "settled":
        if (state.holding?.move !== request[1]) return ["reply", NOT_HELD, state];
        state.marks.expect(request[1], "out", request[2], () => GenServer.reply(from, "ok"));
        return ["noreply", state];
      case "commit":
        commit(state, request[2], request[3]);
        break;
      default: {
        if (keeps(state, request[1])) {
          state.holding.kept.push({ request, from });
          return ["noreply", state];
        }
        subscribing(state, request);
        const pending = request[0] === "subscribe" ? state.pending.get(slot(request[1])) : undefined;
        if (pending === undefined) break;
        void pending.then(() => GenServer.reply(from, "ok"));
        return ["noreply", state];
      }
    }
    return ["reply", "ok", state];
  },

  handleCast(request, state) {
    if (request[0] === "mark") state.marks.add(request);
    // Threads hear of the end of a move one after the other: what one sends on by then, another keeps for a moment yet.
    else if (keeps(state, topicOf(request))) state.holding.kept.push({ request, isForeign: true });
    else fromThread(state, request);
    return ["noreply", state];
  },

  handleInfo(message: readonly unknown[], state) {
    switch (message[0]) {
      case "DOWN":
        // Who conducted a move has ended half-way.
        if (state.holding?.conductor.equals(message[1])) commit(state, state.owners.current, []);
        else state.table.removeProcess(message[3] as Pid);
        break;
      case "remote":
        state.inbox.messages -= 1;
        state.inbox.bytes -= message[4] as number;
        state.counts.fromOthers += 1;
        fromElsewhere(state, message[1], message[2], message[3]);
        break;
      case "adapter":
        adapterEvent(state, message[1] as AdapterEvent);
        break;
    }
    return ["noreply", state];
  },

  async terminate(_reason, { adapter }) {
    await adapter.stop?.();
  },

  formatStatus: ({ state }) => ({ topics: state.table.size, processes: state.table.processes }),
};

function instanceOf({ name, owners }: PubSubOptions, adapter: Adapter, inbox: Instance["inbox"]): Instance {
  const pending = new Map<number, Promise<void>>();
  const interest = (number: number, wanted: boolean): void => {
    const effective = adapter.interest?.(number, wanted);
    if (effective === undefined || pending.has(number)) return;
    pending.set(number, effective);
    void effective.then(() => pending.delete(number));
  };
  const node = thisNode();
  const table = new TopicTable((pid) => node.keyOf(pid), interest);
  return {
    name,
    table,
    owners:
      owners === undefined ? { current: undefined } : "current" in owners ? owners : { current: owners },
    holding: undefined,
    marks: new Marks(),
    ownersWatchers: new Map(),
    adapter,
    dropped: { malformed: 0, dispatcher: 0, failed: 0 },
    inbox,
    counts: { broadcasts: 0, fromOthers: 0 },
    interest,
    pending,
    watched: new Set(),
    joinedOnce: false,
  };
}

function subscribing(state: Instance, request: Subscribing): void {
  const owner = elsewhere(state, request[1]);
  if (owner !== undefined) {
    GenServer.cast({ name: state.name, node: owner }, request satisfies Forwarded);
    return;
  }
  if (request[0] === "unsubscribe") state.table.remove(request[1], request[2]);
  else add(state, { topic: request[1], pid: request[2], metadata: request[3] });
}

/** A subscriber of any thread: its end arrives as DOWN. */
function add({ table, watched }: Instance, { topic, pid, metadata }: MovedSubscription): void {
  if (!table.has(pid) && !(isHere(pid) && watched.has(pid.id))) monitor(pid);
  table.add(topic, { pid, metadata });
}

const isHere = (pid: Pid): boolean => pid.node === thisNode().index && pid.creation === thisNode().creation;

const topicOf = (request: Forwarded): string => (request[0] === "direct" ? request[2] : request[1]);

/**
 * Does what another thread asked for. It knew the owner, unless one of the two was restarted while topics moved: then what it
 * published might be overtaken by what it publishes next, if it were sent on.
 */
function fromThread(state: Instance, request: Forwarded): void {
  if (request[0] === "subscribe" || request[0] === "unsubscribe") subscribing(state, request);
  else if (elsewhere(state, topicOf(request)) === undefined) published(state, request);
  else notice("warning", `a broadcast on ${topicOf(request)} came to a thread that does not own it`, {});
}

/** Does here what this thread kept back of its own, or in the thread that owns the topic by now. */
function released(state: Instance, request: Forwarded): void {
  const owner = elsewhere(state, topicOf(request));
  if (owner === undefined) fromThread(state, request);
  else GenServer.cast({ name: state.name, node: owner }, request);
}

/** Does here what was published elsewhere, or kept back. */
function published(state: Instance, request: Published): void {
  if (request[0] === "direct") {
    const [, nodeName, topic, message, dispatcherName] = request;
    directFrom(state, nodeName, topic, message, dispatcherName);
    return;
  }
  const [, topic, from, message, dispatcherName, local] = request;
  state.counts.broadcasts += 1;
  const here = local
    ? { result: "ok" as const, message }
    : toOthers(state, topic, message, dispatcherNamed(dispatcherName), dispatcherName);
  if (here.result === "ok") deliverHere(state, topic, from, here.message, dispatcherName);
  else notice("error", `a broadcast on ${topic} was refused`, { reason: here.result[1] });
}

// ------------------------------------------------------------------ topics move: see handover.ts

const mark = (name: string, to: readonly number[], what: Mark): void => {
  for (const node of to) GenServer.cast({ name, node }, what);
};

function hold(
  state: Instance,
  [, move, conductor, slots, losing]: HandoverStep & readonly ["hold", ...unknown[]],
): void {
  let release!: () => void;
  const over = new Promise<void>((resolve) => {
    release = resolve;
  });
  state.holding = {
    move,
    slots: new Set(slots),
    conductor: monitor(conductor),
    kept: [],
    exported: undefined,
    over,
    release,
  };
  // Every process of this thread has sent before this what it sent to the former owner.
  mark(state.name, losing, ["mark", move, "in", thisNode().index]);
}

function exported(state: Instance, move: number, threads: readonly number[]): readonly MovedSubscription[] {
  const moved: MovedSubscription[] = [];
  const { table, holding } = state;
  for (const topic of [...table.topics()]) {
    if (!holding?.slots.has(slot(topic)) || elsewhere(state, topic) !== undefined) continue;
    for (const { pid, metadata } of [...(table.view(topic)?.subscriptions() ?? [])]) {
      moved.push({ topic, pid, metadata });
      table.remove(topic, pid);
    }
  }
  if (holding !== undefined) holding.exported = moved;
  mark(state.name, threads, ["mark", move, "out", thisNode().index]);
  return moved;
}

function commit(
  state: Instance,
  owners: readonly number[] | undefined,
  subscriptions: readonly MovedSubscription[],
): void {
  const { holding } = state;
  state.owners.current = owners;
  state.holding = undefined;
  state.marks.clear();
  for (const subscription of subscriptions) add(state, subscription);
  // What has not moved after all is taken back.
  for (const subscription of holding?.exported ?? [])
    if (elsewhere(state, subscription.topic) === undefined) add(state, subscription);
  if (holding !== undefined) demonitor(holding.conductor, { flush: true });
  for (const { request, from, isForeign = false } of holding?.kept ?? []) {
    if (isForeign) fromThread(state, request);
    else released(state, request);
    if (from !== undefined) GenServer.reply(from, "ok");
  }
  holding?.release();
  for (const pid of state.ownersWatchers.values()) send(pid, OWNERS_CHANGED);
}

/** Whether what others send for a topic waits here: it moves, and its subscribers have gone, or are not there yet. */
function keeps(state: Instance, topic: string): state is Instance & { holding: Holding } {
  const { holding } = state;
  if (holding?.slots.has(slot(topic)) !== true) return false;
  return holding.exported !== undefined || elsewhere(state, topic) !== undefined;
}

/** True when the topic moves just now: the request waits until it has. */
function kept({ holding }: Instance, topic: string, request: Published): PublishResult | undefined {
  if (holding?.slots.has(slot(topic)) !== true) return undefined;
  if (holding.kept.length >= MOST_KEPT) return ["error", "moving"];
  holding.kept.push({ request });
  return "ok";
}

function notice(
  level: "debug" | "info" | "warning" | "error",
  text: string,
  metadata: Record<string, unknown>,
): void {
  thisNode().report({ kind: "notice", level, text, pid: self(), metadata });
}

/** Sends to all other nodes. Gives the message as it is dispatched here. */
function toOthers(
  running: Instance,
  topic: string,
  message: unknown,
  dispatcher: Dispatcher | undefined,
  dispatcherName: string,
): { readonly result: PublishResult; readonly message: unknown } {
  const { adapter } = running;
  const packed = adapter.alone === true ? undefined : dispatcher?.pack?.(message);
  const wire = packed === undefined ? message : packed.wire;
  const result = hand(running, () => adapter.broadcast(topic, wire, dispatcherName));
  return { result, message: packed === undefined ? message : packed.message };
}

/** Asks the adapter. One that throws must not take the broadcaster down. */
function hand({ name }: Instance, publish: () => PublishResult): PublishResult {
  try {
    return publish();
  } catch (error) {
    notice("error", `the adapter of ${name} failed`, { error });
    return ["error", ["adapter_failed", error instanceof Error ? error.message : String(error)]];
  }
}

function count(state: Instance, why: keyof Dropped, text: string, metadata: Record<string, unknown>): void {
  state.dropped[why] += 1;
  telemetry.emit("pubsub.dropped", { count: 1 }, { pubsub: state.name, why });
  notice("error", text, metadata);
}

/** A message from another node: nothing in it may end this process (P-016, P-019, P-025). */
function fromElsewhere(state: Instance, topic: unknown, message: unknown, dispatcherName: unknown): void {
  if (typeof topic !== "string" || typeof dispatcherName !== "string") {
    count(state, "malformed", "a message from another node has no topic or no dispatcher", {});
    return;
  }
  const unpack = dispatcherNamed(dispatcherName)?.unpack;
  let unpacked = message;
  if (unpack !== undefined) {
    try {
      unpacked = unpack(topic, message);
    } catch (error) {
      count(state, "malformed", `a message from another node is none that ${dispatcherName} made`, {
        topic,
        error,
      });
      return;
    }
  }
  deliverHere(state, topic, undefined, unpacked, dispatcherName);
}

function deliverHere(
  state: Instance,
  topic: string,
  from: Pid | undefined,
  message: unknown,
  dispatcherName: string,
): void {
  const dispatcher = dispatcherNamed(dispatcherName);
  if (dispatcher === undefined) {
    count(
      state,
      "dispatcher",
      `a message names the dispatcher ${dispatcherName}, which is not registered here`,
      {
        topic,
      },
    );
    return;
  }
  try {
    state.table.dispatch(topic, from, message, dispatcher);
  } catch (error) {
    count(state, "failed", `the dispatcher ${dispatcherName} failed for a message from elsewhere`, {
      topic,
      error,
    });
  }
}

/** Tells of what the adapter noticed, once per change. */
function adapterEvent(state: Instance, event: AdapterEvent): void {
  const { name } = state;
  switch (event[0]) {
    case "status":
      // Who is told of the trouble is told of its end as well.
      notice(state.joinedOnce || event[1] !== "up" ? "warning" : "info", STATUS_TEXTS[event[1]](name), {
        status: event[1],
      });
      if (event[1] === "up") state.joinedOnce = true;
      break;
    case "twin":
      notice("error", `another node is named ${event[1]} as well: node names must be unique`, {
        node: event[1],
      });
      break;
    case "node":
      notice(event[2] === "lost" ? "warning" : "info", `node ${event[1]} ${NODE_TEXTS[event[2]]}`, {
        node: event[1],
      });
      break;
    case "trouble":
      notice("error", `${name}: ${event[1]}`, {});
      break;
  }
  telemetry.emit(`pubsub.${event[0]}`, { count: 1 }, { pubsub: name, event });
  publish(name, EVENTS, undefined, ["adapter", event], bareDispatcher, true);
}

const STATUS_TEXTS: Record<AdapterStatus, (name: string) => string> = {
  up: (name) => `${name} is joined to the other nodes`,
  degraded: (name) => `${name} loses some messages to or from other nodes`,
  down: (name) => `${name} is cut off from the other nodes; delivery on this node goes on`,
};

const NODE_TEXTS = { joined: "has joined", left: "has left", lost: "is not heard any more" } as const;

function directFrom(
  running: Instance,
  nodeName: string,
  topic: string,
  message: unknown,
  dispatcherName: string,
): PublishResult {
  // To this node: in the sender's own turn, as a broadcast is, so that the order of both is the sender's (P-020).
  if (nodeName !== running.adapter.nodeName()) {
    const packed = dispatcherNamed(dispatcherName)?.pack?.(message);
    const wire = packed === undefined ? message : packed.wire;
    return hand(running, () => running.adapter.directBroadcast(nodeName, topic, wire, dispatcherName));
  }
  deliverHere(running, topic, undefined, message, dispatcherName);
  return "ok";
}

function checkTopic(topic: unknown): asserts topic is string {
  if (typeof topic !== "string") throw new BadArg(`badarg: a topic must be a string, got ${typeof topic}`);
}

/** Index of the thread that owns the topic, or undefined for this one. */
function elsewhere({ owners: { current } }: Instance, topic: string): number | undefined {
  if (current === undefined) return undefined;
  const owner = current[slot(topic)] as number;
  return owner === thisNode().index ? undefined : owner;
}

function publish(
  name: string,
  topic: string,
  from: Pid | undefined,
  message: unknown,
  dispatcher: Dispatcher,
  local: boolean,
): PublishResult {
  checkTopic(topic);
  const running = instance(name);
  const owner = elsewhere(running, topic);
  if (owner !== undefined || running.holding !== undefined) {
    const request: Published = ["broadcast", topic, from, message, dispatcher.name, local];
    const waits = kept(running, topic, request);
    if (waits !== undefined) return waits;
    if (owner !== undefined) {
      GenServer.cast({ name, node: owner }, request);
      return "ok";
    }
  }
  running.counts.broadcasts += 1;
  if (local) {
    running.table.dispatch(topic, from, message, dispatcher);
    return "ok";
  }
  const here = toOthers(running, topic, message, dispatcher, dispatcher.name);
  if (here.result === "ok") running.table.dispatch(topic, from, here.message, dispatcher);
  return here.result;
}

function orThrow(result: PublishResult): "ok" {
  if (result !== "ok") throw new BroadcastError(`broadcast failed: ${JSON.stringify(result[1])}`);
  return "ok";
}

function checkFrom(from: unknown): asserts from is Pid {
  if (!isPid(from)) throw new BadArg("badarg: broadcastFrom takes the pid of the process to leave out");
}

function start(options: PubSubOptions, supervised: boolean): Promise<StartResult> {
  if (typeof options?.name !== "string")
    throw new BadArg("the name option is required when starting a PubSub");
  return GenServer.startLink(server, { options, supervised }, { name: options.name });
}

export const PubSub = {
  /** The topic of what adapters tell: subscribe to get `["adapter", event]`. */
  EVENTS,

  /** Starts a PubSub for this thread, linked to the caller. */
  startLink: (options: PubSubOptions): Promise<StartResult> => start(options, false),

  childSpec(options: PubSubOptions): ChildSpec {
    return {
      id: options.name,
      start: [start as (...args: never[]) => unknown, [options, true]],
    } as ChildSpec;
  },

  /**
   * Subscribes the calling process. When it has returned (for a topic of another thread, or the first in its slot on a node with
   * others: resolved), every later broadcast reaches the caller. Subscribing twice delivers twice (P-004).
   */
  subscribe(
    name: string,
    topic: string,
    options: { readonly metadata?: unknown } = {},
  ): "ok" | Promise<"ok"> {
    checkTopic(topic);
    const running = instance(name);
    if (running.holding?.slots.has(slot(topic)))
      return running.holding.over.then(() => PubSub.subscribe(name, topic, options));
    const pid = self();
    const owner = elsewhere(running, topic);
    if (owner !== undefined)
      return GenServer.call({ name, node: owner }, [
        "subscribe",
        topic,
        pid,
        options.metadata,
      ] satisfies Forwarded);
    const { table, watched } = running;
    if (table.view(topic)?.subscriptionsOf(pid).length)
      notice("debug", `${pid} subscribes to ${topic} again: it will get every message that often`, {});
    table.add(topic, { pid, metadata: options.metadata });
    if (!watched.has(pid.id)) {
      watched.add(pid.id);
      onExit(pid, (_reason: ExitReason) => {
        watched.delete(pid.id);
        table.removeProcess(pid);
      });
    }
    const pending = running.pending.get(slot(topic));
    return pending === undefined ? "ok" : pending.then(() => "ok");
  },

  /**
   * For who must not be told anything between its subscription and something else it says: sees to it that a subscription made
   * now takes effect at once. Undefined when it does already.
   */
  prepare(name: string, topic: string): Promise<void> | undefined {
    const running = instance(name);
    const number = slot(topic);
    if (running.adapter.alone === true || elsewhere(running, topic) !== undefined) return undefined;
    if (!running.table.hasSlot(number)) {
      running.interest(number, true);
      // Whoever asked may never subscribe.
      running.interest(number, false);
    }
    return running.pending.get(number);
  },

  /** Removes all subscriptions of the calling process to the topic; ok also when there are none. */
  unsubscribe(name: string, topic: string): "ok" | Promise<"ok"> {
    checkTopic(topic);
    const running = instance(name);
    if (running.holding?.slots.has(slot(topic)))
      return running.holding.over.then(() => PubSub.unsubscribe(name, topic));
    const owner = elsewhere(running, topic);
    if (owner !== undefined)
      return GenServer.call({ name, node: owner }, ["unsubscribe", topic, self()] satisfies Forwarded);
    running.table.remove(topic, self());
    return "ok";
  },

  /** Sends `message` to every subscriber of the topic, on all nodes. Ok also when there are none. */
  broadcast: (
    name: string,
    topic: string,
    message: unknown,
    dispatcher: Dispatcher = bareDispatcher,
  ): PublishResult => publish(name, topic, undefined, message, dispatcher, false),

  /** As `broadcast`, but leaves out the subscriptions of the process `from`. */
  broadcastFrom(
    name: string,
    from: Pid,
    topic: string,
    message: unknown,
    dispatcher: Dispatcher = bareDispatcher,
  ): PublishResult {
    checkFrom(from);
    return publish(name, topic, from, message, dispatcher, false);
  },

  /** As `broadcast`, on this node only. */
  localBroadcast: (
    name: string,
    topic: string,
    message: unknown,
    dispatcher: Dispatcher = bareDispatcher,
  ): PublishResult => publish(name, topic, undefined, message, dispatcher, true),

  localBroadcastFrom(
    name: string,
    from: Pid,
    topic: string,
    message: unknown,
    dispatcher: Dispatcher = bareDispatcher,
  ): PublishResult {
    checkFrom(from);
    return publish(name, topic, from, message, dispatcher, true);
  },

  /** To the subscribers on one node, which may be this one. */
  directBroadcast(
    name: string,
    nodeName: string,
    topic: string,
    message: unknown,
    dispatcher: Dispatcher = bareDispatcher,
  ): PublishResult {
    checkTopic(topic);
    const running = instance(name);
    const owner = elsewhere(running, topic);
    const request: Published = ["direct", nodeName, topic, message, dispatcher.name];
    const waits = kept(running, topic, request);
    if (waits !== undefined) return waits;
    if (owner !== undefined) {
      GenServer.cast({ name, node: owner }, request);
      return "ok";
    }
    return directFrom(running, nodeName, topic, message, dispatcher.name);
  },

  /**
   * To all other nodes by this thread's own link, whichever thread the topic lives in, and to nobody here: for what must get out
   * while that thread is gone. Its order beside what else is broadcast on the topic is not kept.
   */
  broadcastAside(
    name: string,
    topic: string,
    message: unknown,
    dispatcher: Dispatcher = bareDispatcher,
  ): PublishResult {
    checkTopic(topic);
    return toOthers(instance(name), topic, message, dispatcher, dispatcher.name).result;
  },

  /** As `broadcast`; throws `BroadcastError` instead of returning an error. */
  "broadcast!": (name: string, topic: string, message: unknown, dispatcher?: Dispatcher): "ok" =>
    orThrow(PubSub.broadcast(name, topic, message, dispatcher)),

  "broadcastFrom!": (
    name: string,
    from: Pid,
    topic: string,
    message: unknown,
    dispatcher?: Dispatcher,
  ): "ok" => orThrow(PubSub.broadcastFrom(name, from, topic, message, dispatcher)),

  /** This node's name in the cluster. */
  nodeName: (name: string): string => instance(name).adapter.nodeName(),

  /** The thread that owns the topic: its node index. */
  ownerOf: (name: string, topic: string): number => elsewhere(instance(name), topic) ?? thisNode().index,

  /** The same for all topics of a slot. */
  ownerOfSlot: (name: string, slotNumber: number): number =>
    instance(name).owners.current?.[slotNumber] ?? thisNode().index,

  /** The threads that own topics: their node indexes. */
  threads: (name: string): readonly number[] => [
    ...new Set(instance(name).owners.current ?? [thisNode().index]),
  ],

  /** The owner of each slot as this thread knows it; undefined when it owns all. */
  owners: (name: string): readonly number[] | undefined => instance(name).owners.current,

  /**
   * Gives slots to other threads, at run time; see handover.ts. `threads`: all in which this PubSub runs. Only subscriptions move:
   * what else lives in the thread of its topic must watch for it (`watchOwners`). `onCommit`: threads that start from then on must
   * begin with the new owners.
   */
  reassign(
    name: string,
    to: readonly number[],
    threads: readonly number[],
    onCommit: () => void = () => {},
  ): Promise<ReassignResult> {
    const from = instance(name).owners.current as readonly number[];
    return reassign({ name, conductor: self(), threads, from, to, onCommit });
  },

  /** The calling process gets `PubSub.OWNERS_CHANGED` each time after topics have moved to or from any thread. */
  watchOwners(name: string): void {
    const { ownersWatchers } = instance(name);
    const pid = self();
    if (ownersWatchers.has(pid.id)) return;
    ownersWatchers.set(pid.id, pid);
    onExit(pid, () => void ownersWatchers.delete(pid.id));
  },

  OWNERS_CHANGED,

  /** Whether there can be no other nodes. */
  isAlone: (name: string): boolean => instance(name).adapter.alone ?? false,

  /** How the road to other nodes is, as this thread's adapter knows it. */
  status: (name: string): AdapterStatus => instance(name).adapter.status?.() ?? "up",

  /** What a thread's adapter knows of the cluster; undefined where there is no engine. */
  health: (name: string, thread: number = thisNode().index): Promise<AdapterHealth | undefined> =>
    GenServer.call({ name, node: thread }, ["health"] as const),

  /** Subscription counts of this thread, for tests and the observer. */
  stats(name: string): { readonly topics: number; readonly processes: number } {
    const { table } = instance(name);
    return { topics: table.size, processes: table.processes };
  },

  /** What this thread has done, and what waits to be done, as owner of its topics. */
  traffic(name: string): Traffic {
    const { counts, inbox } = instance(name);
    return { ...counts, waiting: inbox.messages, waitingBytes: inbox.bytes };
  },

  /** Number of subscriptions to a topic that this thread owns. */
  subscribers: (name: string, topic: string): number => instance(name).table.view(topic)?.size ?? 0,

  /** What this thread got from elsewhere and did not deliver. */
  dropped: (name: string): Dropped => ({ ...instance(name).dropped }),
};
