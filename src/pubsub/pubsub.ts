/**
 * PubSub: processes subscribe to topics, and a message broadcast on a topic reaches every
 * subscriber (Phoenix.PubSub).
 *
 * Delivery is at most once and ordered per sender: two broadcasts by one process reach any one
 * subscriber in order. A subscription ends with its process.
 *
 * Every thread runs a PubSub process of the same name. A topic lives in one thread, the one that
 * owns its slot: subscribers elsewhere are registered there, and broadcasts from elsewhere are
 * forwarded there. In that thread a broadcast is dispatched in the caller's own turn, without a
 * hop.
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
import type { AdapterHealth, AdapterStatus, PublishResult } from "./cluster/adapter.js";
import { EVENTS } from "./cluster/adapter-events.js";
import { type ReassignResult, reassign } from "./handover/coordinator.js";
import { kept, OWNERS_CHANGED } from "./handover/participant.js";
import { directFrom, toOthers } from "./local/delivery.js";
import { bareDispatcher, type Dispatcher } from "./local/dispatcher.js";
import { checkTopic, publish } from "./local/publish.js";
import {
  type Dropped,
  elsewhere,
  type Forwarded,
  instance,
  instances,
  notice,
  type Published,
  type PubSubOptions,
  type Traffic,
} from "./local/pubsub-state.js";
import { slot } from "./local/slot.js";
import { start } from "./pubsub-server.js";

/** A broadcast failed: what the bang forms throw. */
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
   * Subscribes the calling process. When it has returned (for a topic of another thread, or the
   * first in its slot on a node with others: resolved), every later broadcast reaches the caller.
   * Subscribing twice delivers twice.
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
   * For who must not be told anything between its subscription and something else it says: sees to
   * it that a subscription made now takes effect at once. Undefined when it does already.
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
   * To all other nodes by this thread's own link, whichever thread the topic lives in, and to
   * nobody here: for what must get out while that thread is gone. Its order beside what else is
   * broadcast on the topic is not kept.
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
   * Gives slots to other threads, at run time; see handover.ts. `threads`: all in which this PubSub
   * runs. Only subscriptions move: what else lives in the thread of its topic must watch for it
   * (`watchOwners`). `onCommit`: threads that start from then on must begin with the new owners.
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

  /**
   * The calling process gets `PubSub.OWNERS_CHANGED` each time after topics have moved to or from
   * any thread.
   */
  watchOwners(name: string): void {
    const { ownersWatchers } = instance(name);
    const pid = self();
    if (ownersWatchers.has(pid.id)) return;
    ownersWatchers.set(pid.id, pid);
    onExit(pid, () => void ownersWatchers.delete(pid.id));
  },

  OWNERS_CHANGED,

  /** Whether the PubSub runs in this thread. */
  isRunning: (name: string): boolean => instances.get(name) !== undefined,

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
