/**
 * PubSub: processes subscribe to topics, and a message broadcast on a topic reaches every
 * subscriber (Phoenix.PubSub).
 *
 * Delivery is at most once and ordered per sender: two broadcasts by one process reach any one
 * subscriber in order. A subscription ends with its process.
 *
 * Each thread runs a PubSub process of the same name. One thread owns a topic, by the topic's slot:
 * subscribers of other threads are registered there, and broadcasts of other threads are forwarded
 * there. In that thread a broadcast is dispatched in the caller's own turn, without a process hop.
 *
 * Do not use it for messages that must arrive: nothing is stored, and a subscriber that is not
 * there misses them. To send to one known process, use `send`.
 */

import {
  BadArg,
  type ChildSpec,
  type ExitReason,
  GenServer,
  isPid,
  onExit,
  type Pid,
  type StartResult,
  self,
  thisNode,
} from "simurgh/runtime";
import { showTerm } from "#runtime";
import type { AdapterHealth, AdapterStatus, PublishResult } from "./adapter.js";
import { EVENTS } from "./cluster/adapter-events.js";
import { type ReassignResult, reassign } from "./handover/coordinator.js";
import { OWNERS_CHANGED } from "./handover/participant.js";
import { broadcastRemote, checkTopic, publish, publishDirect } from "./local/broadcast.js";
import { bareDispatcher, type Dispatcher } from "./local/dispatcher.js";
import {
  type Dropped,
  type Forwarded,
  notice,
  type PubSubOptions,
  remoteOwner,
  stateOf,
  states,
  type Traffic,
} from "./local/pubsub-state.js";
import { slot } from "./local/slot.js";
import { start } from "./pubsub-server.js";

/** Thrown by `broadcastOrThrow` and `broadcastFromOrThrow`: the broadcast was refused. */
export class BroadcastError extends Error {
  override readonly name = "BroadcastError";
}

function orThrow(result: PublishResult): "ok" {
  if (result !== "ok") throw new BroadcastError(`broadcast failed: ${showTerm(result[1])}`);
  return "ok";
}

function checkFrom(from: unknown): asserts from is Pid {
  if (!isPid(from)) throw new BadArg("badarg: broadcastFrom takes the pid of the process to leave out");
}

export const PubSub = {
  /** The topic on which adapters report: subscribers get `["adapter", event]`. */
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
   * Subscribes the calling process: every broadcast after the return reaches it. Returns a promise
   * for a topic of another thread, and for the first topic of its slot on a node with others.
   * Subscribing twice delivers twice.
   */
  subscribe(
    name: string,
    topic: string,
    options: { readonly metadata?: unknown } = {},
  ): "ok" | Promise<"ok"> {
    checkTopic(topic);
    const state = stateOf(name);
    if (state.frozen?.slots.has(slot(topic)))
      return state.frozen.finished.then(() => PubSub.subscribe(name, topic, options));
    const pid = self();
    const owner = remoteOwner(state, topic);
    if (owner !== undefined)
      return GenServer.call({ name, node: owner }, [
        "subscribe",
        topic,
        pid,
        options.metadata,
      ] satisfies Forwarded);
    const { table, watched } = state;
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
    const pending = state.pending.get(slot(topic));
    return pending === undefined ? "ok" : pending.then(() => "ok");
  },

  /**
   * Makes a later `subscribe` of this thread take effect at once, without a promise. For a caller
   * that must not receive anything between its subscription and something it sends itself. Returns
   * undefined when that is so already.
   */
  ensureInterest(name: string, topic: string): Promise<void> | undefined {
    const state = stateOf(name);
    const number = slot(topic);
    if (state.adapter.isSingleNode === true || remoteOwner(state, topic) !== undefined) return undefined;
    if (!state.table.hasSlot(number)) {
      state.interest(number, true);
      // The caller may never subscribe.
      state.interest(number, false);
    }
    return state.pending.get(number);
  },

  /** Removes all subscriptions of the calling process to the topic; ok also when there are none. */
  unsubscribe(name: string, topic: string): "ok" | Promise<"ok"> {
    checkTopic(topic);
    const state = stateOf(name);
    if (state.frozen?.slots.has(slot(topic)))
      return state.frozen.finished.then(() => PubSub.unsubscribe(name, topic));
    const owner = remoteOwner(state, topic);
    if (owner !== undefined)
      return GenServer.call({ name, node: owner }, ["unsubscribe", topic, self()] satisfies Forwarded);
    state.table.remove(topic, self());
    return "ok";
  },

  /**
   * Sends `message` to every subscriber of the topic, on all nodes. Ok also when there are none.
   */
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

  /** Sends to the subscribers on one node, which may be this one. */
  directBroadcast: (
    name: string,
    nodeName: string,
    topic: string,
    message: unknown,
    dispatcher: Dispatcher = bareDispatcher,
  ): PublishResult => publishDirect(name, nodeName, topic, message, dispatcher),

  /**
   * Sends to all other nodes by this thread's own engine connection, whichever thread owns the
   * topic, and not to this node: for what must get out while the owner is down. Not ordered with
   * other broadcasts on the topic.
   */
  broadcastOutOfBand(
    name: string,
    topic: string,
    message: unknown,
    dispatcher: Dispatcher = bareDispatcher,
  ): PublishResult {
    checkTopic(topic);
    return broadcastRemote(stateOf(name), topic, message, dispatcher, dispatcher.name).result;
  },

  /** As `broadcast`, but throws `BroadcastError` instead of returning an error. */
  broadcastOrThrow: (name: string, topic: string, message: unknown, dispatcher?: Dispatcher): "ok" =>
    orThrow(PubSub.broadcast(name, topic, message, dispatcher)),

  broadcastFromOrThrow: (
    name: string,
    from: Pid,
    topic: string,
    message: unknown,
    dispatcher?: Dispatcher,
  ): "ok" => orThrow(PubSub.broadcastFrom(name, from, topic, message, dispatcher)),

  /** This node's name in the cluster. */
  nodeName: (name: string): string => stateOf(name).adapter.nodeName(),

  /** The thread that owns the topic: its node index. */
  ownerOf: (name: string, topic: string): number => remoteOwner(stateOf(name), topic) ?? thisNode().index,

  /** The thread that owns all topics of a slot. */
  ownerOfSlot: (name: string, slotNumber: number): number =>
    stateOf(name).owners.current?.[slotNumber] ?? thisNode().index,

  /** The threads that own topics: their node indexes. */
  threads: (name: string): readonly number[] => [
    ...new Set(stateOf(name).owners.current ?? [thisNode().index]),
  ],

  /** The owner of each slot as this thread knows it; undefined when it owns all. */
  owners: (name: string): readonly number[] | undefined => stateOf(name).owners.current,

  /**
   * Moves slots to other threads at run time; see handover/coordinator.ts. `threads`: all in which
   * this PubSub runs. Only subscriptions move: other processes that belong in the thread of their
   * topic must call `watchOwners`. `onCommit`: threads that start later must begin with the new
   * owners.
   */
  reassign(
    name: string,
    to: readonly number[],
    threads: readonly number[],
    onCommit: () => void = () => {},
  ): Promise<ReassignResult> {
    const from = stateOf(name).owners.current as readonly number[];
    return reassign({ name, coordinator: self(), threads, from, to, onCommit });
  },

  /**
   * The calling process gets `PubSub.OWNERS_CHANGED` each time after topics have moved to or from
   * any thread.
   */
  watchOwners(name: string): void {
    const { ownersWatchers } = stateOf(name);
    const pid = self();
    if (ownersWatchers.has(pid.id)) return;
    ownersWatchers.set(pid.id, pid);
    onExit(pid, () => void ownersWatchers.delete(pid.id));
  },

  OWNERS_CHANGED,

  /** Whether the PubSub runs in this thread. */
  isRunning: (name: string): boolean => states.get(name) !== undefined,

  /** Whether there can be no other nodes. */
  isSingleNode: (name: string): boolean => stateOf(name).adapter.isSingleNode ?? false,

  /** The connection to other nodes, as this thread's adapter knows it. */
  status: (name: string): AdapterStatus => stateOf(name).adapter.status?.() ?? "up",

  /** What a thread's adapter knows of the cluster; undefined without an engine. */
  health: (name: string, thread: number = thisNode().index): Promise<AdapterHealth | undefined> =>
    GenServer.call({ name, node: thread }, ["health"] as const),

  /** Subscription counts of this thread, for tests and the observer. */
  stats(name: string): { readonly topics: number; readonly processes: number } {
    const { table } = stateOf(name);
    return { topics: table.size, processes: table.processes };
  },

  /** What this thread has delivered, and what waits, as owner of its topics. */
  traffic(name: string): Traffic {
    const { counts, inbox } = stateOf(name);
    return { ...counts, waiting: inbox.messages, waitingBytes: inbox.bytes };
  },

  /** Number of subscriptions to a topic that this thread owns. */
  subscribers: (name: string, topic: string): number => stateOf(name).table.view(topic)?.size ?? 0,

  /** What this thread received from other threads and nodes and did not deliver. */
  dropped: (name: string): Dropped => ({ ...stateOf(name).dropped }),
};
