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
  type ExitReason,
  GenServer,
  type GenServerModule,
  isPid,
  monitor,
  onExit,
  outside,
  type Pid,
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
import { slot } from "./slot.js";
import { TopicTable } from "./topic-table.js";

export interface PubSubOptions {
  /** Registered name, the same in every thread. Required. */
  readonly name: string;
  /** Index of the thread that owns each of the 256 slots. Default: this thread owns all. */
  readonly owners?: readonly number[];
  /** Joins this node to others. Only the thread that owns a slot publishes for it. Default: no other nodes. */
  readonly adapter?: AdapterFactory;
  /** Phoenix's pools do not exist here, where a slot belongs to one thread for ever: ignored with a notice (P-024). */
  readonly poolSize?: number;
  readonly broadcastPoolSize?: number;
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

/** A broadcast failed: what the bang forms throw. */
export class BroadcastError extends Error {
  override readonly name = "BroadcastError";
}

/** The part of a running PubSub that other processes of its thread use directly (OTP: a named ETS table). */
interface Instance {
  readonly name: string;
  readonly table: TopicTable;
  readonly owners: readonly number[] | undefined;
  readonly adapter: Adapter;
  readonly dropped: { malformed: number; dispatcher: number; failed: number };
  readonly interest: (slot: number, wanted: boolean) => void;
  /** Slots in which what others send does not arrive yet. */
  readonly pending: Map<number, Promise<void>>;
  /** Processes whose end is watched already. */
  readonly watched: Set<number>;
  /** It was joined to others before. */
  joinedOnce: boolean;
}

const instances = new WeakMap<RuntimeNode, Map<string, Instance>>();

function instance(name: string): Instance {
  const found = instances.get(thisNode())?.get(name);
  if (found === undefined)
    throw new BadArg(`badarg: the PubSub ${name} is not running in this thread; start it before it is used`);
  return found;
}

/** Requests between the PubSub processes of a node's threads. */
type Forwarded =
  | readonly ["health"]
  | readonly ["subscribe", topic: string, pid: Pid, metadata: unknown]
  | readonly ["unsubscribe", topic: string, pid: Pid]
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

const server: GenServerModule<Instance, StartArg, Forwarded, Forwarded> = {
  name: "PubSub",

  async init({ options, supervised }) {
    const node = thisNode();
    const me = self();
    // To wait for what is still to be sent it must hear of its end before it ends. Who starts it by hand may end before it.
    if (supervised) trapExit(true);
    // Adapters call from anywhere, even from what a process that has ended left behind; dispatchers run in this process, one
    // message after the other.
    const deliver = (topic: unknown, message: unknown, dispatcher: unknown): void =>
      void outside(() => send(me, ["remote", topic, message, dispatcher]));
    const tell = (event: AdapterEvent): void => void outside(() => send(me, ["adapter", event]));
    let adapter: Adapter | undefined;
    let ended = false;
    onExit(me, () => {
      ended = true;
      void adapter?.stop?.();
    });
    adapter = await (options.adapter ?? localAdapter())(deliver, tell);
    if (ended) void adapter.stop?.();
    const running = instanceOf(options, adapter);
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
    if (request[0] === "health") return ["reply", state.adapter.health?.(), state];
    if (request[0] === "subscribe") {
      const [, topic, pid, metadata] = request;
      // The subscriber lives in another thread: its end arrives as DOWN.
      if (!state.table.has(pid)) monitor(pid);
      state.table.add(topic, { pid, metadata });
      const pending = state.pending.get(slot(topic));
      if (pending !== undefined) {
        void pending.then(() => GenServer.reply(from, "ok"));
        return ["noreply", state];
      }
    } else if (request[0] === "unsubscribe") {
      state.table.remove(request[1], request[2]);
    }
    return ["reply", "ok", state];
  },

  handleCast(request, state) {
    if (request[0] === "broadcast") {
      const [, topic, from, message, dispatcherName, local] = request;
      const result = local
        ? "ok"
        : hand(state, () => state.adapter.broadcast(topic, message, dispatcherName));
      if (result !== "ok") notice("error", `a broadcast on ${topic} was refused`, { reason: result[1] });
      else deliverHere(state, topic, from, message, dispatcherName);
    } else if (request[0] === "direct") {
      const [, nodeName, topic, message, dispatcherName] = request;
      directFrom(state, nodeName, topic, message, dispatcherName);
    }
    return ["noreply", state];
  },

  handleInfo(message: readonly unknown[], state) {
    switch (message[0]) {
      case "DOWN":
        state.table.removeProcess(message[3] as Pid);
        break;
      case "remote":
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

function instanceOf({ name, owners }: PubSubOptions, adapter: Adapter): Instance {
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
    owners,
    adapter,
    dropped: { malformed: 0, dispatcher: 0, failed: 0 },
    interest,
    pending,
    watched: new Set(),
    joinedOnce: false,
  };
}

function notice(
  level: "debug" | "info" | "warning" | "error",
  text: string,
  metadata: Record<string, unknown>,
): void {
  thisNode().report({ kind: "notice", level, text, pid: self(), metadata });
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
  deliverHere(state, topic, undefined, message, dispatcherName);
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
  if (nodeName !== running.adapter.nodeName())
    return hand(running, () => running.adapter.directBroadcast(nodeName, topic, message, dispatcherName));
  deliverHere(running, topic, undefined, message, dispatcherName);
  return "ok";
}

function checkTopic(topic: unknown): asserts topic is string {
  if (typeof topic !== "string") throw new BadArg(`badarg: a topic must be a string, got ${typeof topic}`);
}

/** Index of the thread that owns the topic, or undefined for this one. */
function elsewhere({ owners }: Instance, topic: string): number | undefined {
  if (owners === undefined) return undefined;
  const owner = owners[slot(topic)] as number;
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
  if (owner !== undefined) {
    GenServer.cast({ name, node: owner }, [
      "broadcast",
      topic,
      from,
      message,
      dispatcher.name,
      local,
    ] satisfies Forwarded);
    return "ok";
  }
  if (!local) {
    const result = hand(running, () => running.adapter.broadcast(topic, message, dispatcher.name));
    if (result !== "ok") return result;
  }
  running.table.dispatch(topic, from, message, dispatcher);
  return "ok";
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
    if (owner !== undefined) {
      GenServer.cast({ name, node: owner }, [
        "direct",
        nodeName,
        topic,
        message,
        dispatcher.name,
      ] satisfies Forwarded);
      return "ok";
    }
    return directFrom(running, nodeName, topic, message, dispatcher.name);
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
    instance(name).owners?.[slotNumber] ?? thisNode().index,

  /** The threads that own topics: their node indexes. */
  threads: (name: string): readonly number[] => [...new Set(instance(name).owners ?? [thisNode().index])],

  /** Whether there can be no other nodes. */
  isAlone: (name: string): boolean => instance(name).adapter.alone ?? false,

  /** How the road to other nodes is, as this thread's adapter knows it. */
  status: (name: string): AdapterStatus => instance(name).adapter.status?.() ?? "up",

  /** What a thread's adapter knows of the cluster; undefined where there is no engine. */
  health: (name: string, thread: number = thisNode().index): Promise<AdapterHealth | undefined> =>
    GenServer.call({ name, node: thread }, ["health"] satisfies Forwarded),

  /** Subscription counts of this thread, for tests and the observer. */
  stats(name: string): { readonly topics: number; readonly processes: number } {
    const { table } = instance(name);
    return { topics: table.size, processes: table.processes };
  },

  /** Number of subscriptions to a topic that this thread owns. */
  subscribers: (name: string, topic: string): number => instance(name).table.view(topic)?.size ?? 0,

  /** What this thread got from elsewhere and did not deliver. */
  dropped: (name: string): Dropped => ({ ...instance(name).dropped }),
};
