/**
 * Carries a broadcast from the process that publishes to the subscribers: dispatched in this thread
 * when it owns the topic, otherwise forwarded to the thread that does, and given to the adapter for
 * the other nodes. While the topic moves, it is buffered.
 */
import { BadArg, GenServer, monitor, type Pid, telemetry, thisNode } from "simurgh/runtime";
import { show } from "#runtime";
import type { PublishResult } from "../adapter.js";
import { type Dispatcher, dispatcherNamed } from "./dispatcher.js";
import {
  buffer,
  type Dropped,
  type Forwarded,
  type MovedSubscription,
  notice,
  type Publication,
  type PubSubState,
  remoteOwner,
  type Subscribing,
  stateOf,
  topicOf,
} from "./pubsub-state.js";

export function checkTopic(topic: unknown): asserts topic is string {
  if (typeof topic !== "string") throw new BadArg(`badarg: a topic must be a string, got ${typeof topic}`);
}

// ------------------------------------------------------------------ from a process of this thread

export function publish(
  name: string,
  topic: string,
  from: Pid | undefined,
  message: unknown,
  dispatcher: Dispatcher,
  local: boolean,
): PublishResult {
  checkTopic(topic);
  const state = stateOf(name);
  const owner = remoteOwner(state, topic);
  if (owner !== undefined || state.frozen !== undefined) {
    const request: Publication = ["broadcast", topic, from, message, dispatcher.name, local];
    const buffered = buffer(state, topic, request);
    if (buffered !== undefined) return buffered;
    if (owner !== undefined) {
      GenServer.cast({ name, node: owner }, request);
      return "ok";
    }
  }
  state.counts.broadcasts += 1;
  if (local) {
    state.table.dispatch(topic, from, message, dispatcher);
    return "ok";
  }
  const here = broadcastRemote(state, topic, message, dispatcher, dispatcher.name);
  if (here.result === "ok") state.table.dispatch(topic, from, here.message, dispatcher);
  return here.result;
}

/** Publishes to one node, which may be this one. */
export function publishDirect(
  name: string,
  nodeName: string,
  topic: string,
  message: unknown,
  dispatcher: Dispatcher,
): PublishResult {
  checkTopic(topic);
  const state = stateOf(name);
  const owner = remoteOwner(state, topic);
  const request: Publication = ["direct", nodeName, topic, message, dispatcher.name];
  const buffered = buffer(state, topic, request);
  if (buffered !== undefined) return buffered;
  if (owner !== undefined) {
    GenServer.cast({ name, node: owner }, request);
    return "ok";
  }
  return sendDirect(state, nodeName, topic, message, dispatcher.name);
}

// ------------------------------------------------------------------ from other threads

/**
 * Handles a request of another thread. That thread knew the owner, unless one of the two was
 * restarted while topics moved. Forwarding such a publication once more could let the next one
 * overtake it, so it is reported and dropped.
 */
export function handleForwarded(state: PubSubState, request: Forwarded): void {
  if (request[0] === "subscribe" || request[0] === "unsubscribe") handleSubscribing(state, request);
  else if (remoteOwner(state, topicOf(request)) === undefined) publishForwarded(state, request);
  else notice("warning", `a broadcast on ${topicOf(request)} came to a thread that does not own it`, {});
}

/** Handles what this thread buffered, here or in the thread that owns the topic by now. */
export function replayBuffered(state: PubSubState, request: Forwarded): void {
  const owner = remoteOwner(state, topicOf(request));
  if (owner === undefined) handleForwarded(state, request);
  else GenServer.cast({ name: state.name, node: owner }, request);
}

export function handleSubscribing(state: PubSubState, request: Subscribing): void {
  const owner = remoteOwner(state, request[1]);
  if (owner !== undefined) {
    GenServer.cast({ name: state.name, node: owner }, request satisfies Forwarded);
    return;
  }
  if (request[0] === "unsubscribe") state.table.remove(request[1], request[2]);
  else addSubscription(state, { topic: request[1], pid: request[2], metadata: request[3] });
}

/** Adds a subscription of a process of any thread, and monitors the process. */
export function addSubscription(
  { table, watched }: PubSubState,
  { topic, pid, metadata }: MovedSubscription,
): void {
  if (!table.has(pid) && !(isLocal(pid) && watched.has(pid.id))) monitor(pid);
  table.add(topic, { pid, metadata });
}

const isLocal = (pid: Pid): boolean => pid.node === thisNode().index && pid.creation === thisNode().creation;

function publishForwarded(state: PubSubState, request: Publication): void {
  if (request[0] === "direct") {
    const [, nodeName, topic, message, dispatcherName] = request;
    sendDirect(state, nodeName, topic, message, dispatcherName);
    return;
  }
  const [, topic, from, message, dispatcherName, local] = request;
  state.counts.broadcasts += 1;
  const here = local
    ? { result: "ok" as const, message }
    : broadcastRemote(state, topic, message, dispatcherNamed(dispatcherName), dispatcherName);
  if (here.result === "ok") dispatchLocally(state, topic, from, here.message, dispatcherName);
  else notice("error", `a broadcast on ${topic} was refused`, { reason: here.result[1] });
}

// ------------------------------------------------------------------ to and from other nodes

/** Sends to all other nodes. Returns the message in the form in which it is dispatched here. */
export function broadcastRemote(
  state: PubSubState,
  topic: string,
  message: unknown,
  dispatcher: Dispatcher | undefined,
  dispatcherName: string,
): { readonly result: PublishResult; readonly message: unknown } {
  const { adapter } = state;
  const packed = adapter.isSingleNode === true ? undefined : dispatcher?.pack?.(message);
  const wire = packed === undefined ? message : packed.wire;
  const result = sendToAdapter(state, () => adapter.broadcast(topic, wire, dispatcherName));
  return { result, message: packed === undefined ? message : packed.message };
}

function sendDirect(
  state: PubSubState,
  nodeName: string,
  topic: string,
  message: unknown,
  dispatcherName: string,
): PublishResult {
  // To this node: in the sender's own turn, like a broadcast, so that the order of both is the
  // sender's.
  if (nodeName !== state.adapter.nodeName()) {
    const packed = dispatcherNamed(dispatcherName)?.pack?.(message);
    const wire = packed === undefined ? message : packed.wire;
    return sendToAdapter(state, () => state.adapter.directBroadcast(nodeName, topic, wire, dispatcherName));
  }
  dispatchLocally(state, topic, undefined, message, dispatcherName);
  return "ok";
}

/** An adapter that throws must not end the process that publishes. */
function sendToAdapter({ name }: PubSubState, send: () => PublishResult): PublishResult {
  try {
    return send();
  } catch (error) {
    notice("error", `the adapter of ${name} failed`, { error });
    return ["error", ["adapter_failed", error instanceof Error ? error.message : show(error)]];
  }
}

/** Delivers a message from another node. Nothing in it may end this process. */
export function deliverRemote(
  state: PubSubState,
  topic: unknown,
  message: unknown,
  dispatcherName: unknown,
): void {
  if (typeof topic !== "string" || typeof dispatcherName !== "string") {
    drop(state, "malformed", "a message from another node has no topic or no dispatcher", {});
    return;
  }
  const unpack = dispatcherNamed(dispatcherName)?.unpack;
  let unpacked = message;
  if (unpack !== undefined) {
    try {
      unpacked = unpack(topic, message);
    } catch (error) {
      drop(state, "malformed", `a message from another node is not one that ${dispatcherName} makes`, {
        topic,
        error,
      });
      return;
    }
  }
  dispatchLocally(state, topic, undefined, unpacked, dispatcherName);
}

/** Delivers to the subscribers in this thread, by a dispatcher that is known by name only. */
function dispatchLocally(
  state: PubSubState,
  topic: string,
  from: Pid | undefined,
  message: unknown,
  dispatcherName: string,
): void {
  const dispatcher = dispatcherNamed(dispatcherName);
  if (dispatcher === undefined) {
    drop(
      state,
      "dispatcher",
      `a message names the dispatcher ${dispatcherName}, which is not registered here`,
      { topic },
    );
    return;
  }
  try {
    state.table.dispatch(topic, from, message, dispatcher);
  } catch (error) {
    drop(
      state,
      "failed",
      `the dispatcher ${dispatcherName} failed for a message from another thread or node`,
      {
        topic,
        error,
      },
    );
  }
}

function drop(state: PubSubState, why: keyof Dropped, text: string, metadata: Record<string, unknown>): void {
  state.dropped[why] += 1;
  telemetry.emit("pubsub.dropped", { count: 1 }, { pubsub: state.name, why });
  notice("error", text, metadata);
}
