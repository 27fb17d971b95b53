/** What the PubSub processes of a node's threads ask of each other. */
import { GenServer, monitor, type Pid, thisNode } from "simurgh/runtime";
import type { MovedSubscription } from "../handover/coordinator.js";
import { deliverHere, directFrom, toOthers } from "./delivery.js";
import { dispatcherNamed } from "./dispatcher.js";
import {
  elsewhere,
  type Forwarded,
  type Instance,
  notice,
  type Published,
  type Subscribing,
  topicOf,
} from "./pubsub-state.js";

export function subscribing(state: Instance, request: Subscribing): void {
  const owner = elsewhere(state, request[1]);
  if (owner !== undefined) {
    GenServer.cast({ name: state.name, node: owner }, request satisfies Forwarded);
    return;
  }
  if (request[0] === "unsubscribe") state.table.remove(request[1], request[2]);
  else add(state, { topic: request[1], pid: request[2], metadata: request[3] });
}

/** A subscriber of any thread: its end arrives as DOWN. */
export function add({ table, watched }: Instance, { topic, pid, metadata }: MovedSubscription): void {
  if (!table.has(pid) && !(isHere(pid) && watched.has(pid.id))) monitor(pid);
  table.add(topic, { pid, metadata });
}

const isHere = (pid: Pid): boolean => pid.node === thisNode().index && pid.creation === thisNode().creation;

/**
 * Does what another thread asked for. It knew the owner, unless one of the two was restarted while
 * topics moved: then what it published might be overtaken by what it publishes next, if it were
 * sent on.
 */
export function fromThread(state: Instance, request: Forwarded): void {
  if (request[0] === "subscribe" || request[0] === "unsubscribe") subscribing(state, request);
  else if (elsewhere(state, topicOf(request)) === undefined) published(state, request);
  else notice("warning", `a broadcast on ${topicOf(request)} came to a thread that does not own it`, {});
}

/** Does here what this thread kept back of its own, or in the thread that owns the topic by now. */
export function released(state: Instance, request: Forwarded): void {
  const owner = elsewhere(state, topicOf(request));
  if (owner === undefined) fromThread(state, request);
  else GenServer.cast({ name: state.name, node: owner }, request);
}

/** Does here what was published elsewhere, or kept back. */
export function published(state: Instance, request: Published): void {
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
