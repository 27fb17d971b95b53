/**
 * A broadcast, from any process of the thread: done here, sent on to the topic's thread, or kept
 * back while the topic moves.
 */
import { BadArg, GenServer, type Pid } from "simurgh/runtime";
import type { PublishResult } from "../cluster/adapter.js";
import { kept } from "../handover/participant.js";
import { toOthers } from "./delivery.js";
import type { Dispatcher } from "./dispatcher.js";
import { elsewhere, instance, type Published } from "./pubsub-state.js";

export function checkTopic(topic: unknown): asserts topic is string {
  if (typeof topic !== "string") throw new BadArg(`badarg: a topic must be a string, got ${typeof topic}`);
}

export function publish(
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
