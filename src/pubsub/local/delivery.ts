/**
 * From a broadcast to who hears of it: the subscribers of this thread by its dispatcher, and the
 * other nodes by the adapter.
 */

import { type Pid, telemetry } from "simurgh/runtime";
import { show } from "#runtime";
import type { PublishResult } from "../cluster/adapter.js";
import { type Dispatcher, dispatcherNamed } from "./dispatcher.js";
import { type Dropped, type Instance, notice } from "./pubsub-state.js";

/** Sends to all other nodes. Gives the message as it is dispatched here. */
export function toOthers(
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
    return ["error", ["adapter_failed", error instanceof Error ? error.message : show(error)]];
  }
}

function count(state: Instance, why: keyof Dropped, text: string, metadata: Record<string, unknown>): void {
  state.dropped[why] += 1;
  telemetry.emit("pubsub.dropped", { count: 1 }, { pubsub: state.name, why });
  notice("error", text, metadata);
}

/** A message from another node: nothing in it may end this process. */
export function fromElsewhere(
  state: Instance,
  topic: unknown,
  message: unknown,
  dispatcherName: unknown,
): void {
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

export function deliverHere(
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

export function directFrom(
  running: Instance,
  nodeName: string,
  topic: string,
  message: unknown,
  dispatcherName: string,
): PublishResult {
  // To this node: in the sender's own turn, as a broadcast is, so that the order of both is the
  // sender's.
  if (nodeName !== running.adapter.nodeName()) {
    const packed = dispatcherNamed(dispatcherName)?.pack?.(message);
    const wire = packed === undefined ? message : packed.wire;
    return hand(running, () => running.adapter.directBroadcast(nodeName, topic, wire, dispatcherName));
  }
  deliverHere(running, topic, undefined, message, dispatcherName);
  return "ok";
}
