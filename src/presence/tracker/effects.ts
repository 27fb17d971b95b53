/** Performs what the tracker's core decides: messages, diffs, reports and the next wake-up. */
import { inspect } from "node:util";
import { PubSub } from "simurgh/pubsub";
import { cancelTimer, self, send, sendAfter, telemetry, thisNode } from "simurgh/runtime";
import type { ReplicaRef } from "./clock.js";
import { replication } from "./durable-subscription.js";
import { encode, type Message } from "./message.js";
import type { TrackerModule } from "./tracker-callbacks.js";
import type { Effect, ReplicaEvent } from "./tracker-core.js";
import { nodeOf, now, type Tracker } from "./tracker-state.js";
import type { Diff } from "./view.js";

export const SEND_LATER = Symbol("send later");
export const WAKE = Symbol("wake");

export function perform(tracker: Tracker, effects: readonly Effect[]): void {
  const { options, topic } = tracker;
  for (const effect of effects) {
    switch (effect[0]) {
      case "broadcast": {
        tracker.sent += 1;
        const result = PubSub.broadcast(options.pubsub, topic, encode(options.name, effect[1]), replication);
        if (result !== "ok")
          report("error", "what replicas must know could not be sent", { reason: result[1] });
        break;
      }
      case "direct":
        if (effect[3] < 1) sendDirect(tracker, effect[1], effect[2]);
        else sendAfter(self(), [SEND_LATER, effect[1], effect[2]], Math.ceil(effect[3]));
        break;
      case "diff":
        runHandleDiff(tracker, effect[1]);
        break;
      case "replica":
        replicaEvent(tracker, effect[1], effect[2]);
        break;
      case "conflict":
        report(
          "error",
          `another node is named ${nodeOf(effect[1])} and is older: this one replicates nothing`,
          {
            replica: effect[1],
          },
        );
        telemetry.emit("presence.conflict", { count: 1 }, { presence: options.name });
        break;
      case "diverged":
        telemetry.emit(
          "presence.diverged",
          { count: 1 },
          { presence: options.name, replica: effect[1].name },
        );
        break;
      case "transfer":
        telemetry.emit("presence.transfer", { count: 1 }, { presence: options.name, what: effect[1] });
        break;
    }
  }
}

/**
 * Performs the effects of a tracker that exits: the thread that owns the replication topic may have
 * exited already.
 */
export function broadcastLast(tracker: Tracker, effects: readonly Effect[]): void {
  if (PubSub.ownerOf(tracker.options.pubsub, tracker.topic) !== thisNode().index)
    for (const effect of effects) if (effect[0] === "broadcast") broadcastOutOfBand(tracker, effect[1]);
  perform(tracker, effects);
}

/** To other nodes by this thread's own engine connection, whichever thread owns the topic. */
export function broadcastOutOfBand({ options, topic }: Tracker, message: Message): void {
  PubSub.broadcastOutOfBand(options.pubsub, topic, encode(options.name, message), replication);
}

export function sendDirect(tracker: Tracker, to: ReplicaRef, message: Message): void {
  const { options, topic } = tracker;
  tracker.sent += 1;
  PubSub.directBroadcast(options.pubsub, nodeOf(to), topic, encode(options.name, message), replication);
}

function runHandleDiff(tracker: Tracker, diff: Diff): void {
  const { module } = tracker;
  let result: unknown;
  try {
    result = module.handleDiff(diff, tracker.moduleState);
  } catch (error) {
    // A bug in the handler must not end the presence of all clients.
    tracker.failedDiffs += 1;
    report("error", `${module.name ?? "the tracker module"} failed to handle a diff`, { error });
    return;
  }
  if (!isPair(result, "ok")) throw badReturn(module, "handleDiff", '["ok", state]', result);
  tracker.moduleState = result[1];
}

function replicaEvent({ options, core }: Tracker, event: ReplicaEvent, ref: ReplicaRef): void {
  telemetry.emit("presence.replica", { count: 1 }, { presence: options.name, event, replica: ref.name });
  if (options.reportEventsTo !== undefined)
    send(options.reportEventsTo, [[event, ref.name], core.ref.name] as const);
}

/** Starts the timer for the core's next deadline. */
export function arm(tracker: Tracker): void {
  const { deadline } = tracker.core;
  if (tracker.timer !== undefined) {
    if (tracker.timerAt <= deadline) return;
    cancelTimer(tracker.timer);
    tracker.timer = undefined;
  }
  if (deadline === Number.POSITIVE_INFINITY) return;
  tracker.timer = sendAfter(self(), [WAKE], Math.max(0, Math.ceil(deadline - now())));
  tracker.timerAt = deadline;
}

export const isPair = (value: unknown, tag: string): value is readonly [string, unknown] =>
  Array.isArray(value) && value.length === 2 && value[0] === tag;

export function badReturn(module: TrackerModule, callback: string, wanted: string, got: unknown): TypeError {
  return new TypeError(
    `${module.name ?? "the tracker module"}: ${callback} must return ${wanted}, got ${inspect(got)}`,
  );
}

export function report(level: "error" | "info", text: string, metadata: Record<string, unknown>): void {
  thisNode().report({ kind: "notice", level, text, pid: self(), metadata });
}
