/**
 * The tracker process holds the entries of the topics of its thread, monitors their processes,
 * replicates with trackers of other threads and nodes, and passes each change to a module
 * (Phoenix.Tracker.Shard).
 *
 * tracker-core.ts decides, this process carries out. It changes the state first, then calls the
 * module with the diff, then replies: a caller that has its reply finds the change in a list. Reads
 * do not go through the process: in its thread they use the state directly.
 *
 * When the tracker crashes, its state is lost. The processes it tracked exit with it, so that their
 * clients re-join and are tracked again. A process tracked with `onTrackerRestart: "retrack"`
 * survives, and the next tracker begins with its entries.
 */
import { PubSub } from "simurgh/pubsub";
import {
  type ExitReason,
  GenServer,
  type GenServerModule,
  isAlive,
  isNormalClass,
  isPid,
  type StartResult,
  self,
  telemetry,
  thisNode,
  trapExit,
} from "simurgh/runtime";
import type { ReplicaRef } from "./clock.js";
import type { Entry } from "./delta.js";
import { subscribeDurably } from "./durable-subscription.js";
import {
  arm,
  badReturn,
  broadcastLast,
  isPair,
  perform,
  report,
  SEND_LATER,
  sendDirect,
  WAKE,
} from "./effects.js";
import { handleRequest, notifyHome, releaseHome, track, untrack } from "./entries.js";
import { HAND_OVER, HANDED_OVER, handedOver, handOver, ownersChanged } from "./handover.js";
import { decode, type Message, MessageError } from "./message.js";
import { withRef } from "./meta.js";
import { type Settings, settingsOf } from "./options.js";
import { ADOPT, adoptOrphans, monitorOwner, ownerDown } from "./orphans.js";
import { monitorSibling, PERMDOWN_FOR, registerSibling, siblingDown } from "./siblings.js";
import type { TrackerCast, TrackerModule, TrackerOptions, TrackerRequest } from "./tracker-callbacks.js";
import { make, nodeOf, now, orphans, register, type Tracker } from "./tracker-state.js";

const MISMATCH_REPORT_MS = 60_000;

interface StartArg {
  readonly module: TrackerModule;
  readonly arg: unknown;
  readonly options: TrackerOptions;
}

const server: GenServerModule<Tracker, StartArg, TrackerRequest, TrackerCast> = {
  name: "Tracker",

  init({ module, arg, options }) {
    const settings = settingsOf(options);
    if (Array.isArray(settings)) return ["error", settings[1] as string];
    const tracker = make(module, options, settings as Settings);
    const began = module.init(arg, tracker.core.view);
    if (Array.isArray(began) && began[0] === "error") return ["error", began[1] as ExitReason];
    if (!isPair(began, "ok")) throw badReturn(module, "init", '["ok", state]', began);
    tracker.moduleState = began[1];
    register(tracker);
    // `terminate` broadcasts the last messages.
    trapExit(true);
    startReplication(tracker);
    return ["ok", tracker];
  },

  handleCall(request, _from, tracker) {
    if (request[0] === "permdown") {
      broadcastLast(tracker, tracker.core.permdown(now()));
      return ["stop", "normal", "ok", tracker];
    }
    const answer = handleRequest(request, tracker);
    arm(tracker);
    return ["reply", answer, tracker];
  },

  handleCast(request, tracker) {
    switch (request[0]) {
      case "track":
        // A repeated request was not notified.
        if (track(tracker, request)[0] === "error") notifyHome(tracker, request[1], request[2], request[3]);
        break;
      case "cancel": {
        const [, pid, topic, key, phxRef] = request;
        if (tracker.core.own.get(topic, String(pid), key)?.meta.phx_ref === phxRef)
          untrack(tracker, pid, topic, key);
        break;
      }
      case "tracked_remotely":
        tracker.remote.put(request[1], request[2]);
        monitorOwner(tracker, request[1]);
        break;
      case "untracked_remotely":
        tracker.remote.remove(request[1], request[2], request[3], request[4]);
        break;
    }
    arm(tracker);
    return ["noreply", tracker];
  },

  handleInfo(received, tracker) {
    if (received === PubSub.OWNERS_CHANGED) {
      ownersChanged(tracker);
      arm(tracker);
      return ["noreply", tracker];
    }
    const message: readonly unknown[] = Array.isArray(received) ? received : [];
    switch (message[0]) {
      case WAKE:
        tracker.timer = undefined;
        perform(tracker, tracker.core.wake(now()));
        break;
      case "replication":
        receive(tracker, message[1]);
        break;
      case SEND_LATER:
        sendDirect(tracker, message[1] as ReplicaRef, message[2] as Message);
        break;
      case PERMDOWN_FOR:
        perform(tracker, tracker.core.permdownFor(message[1] as ReplicaRef));
        break;
      case ADOPT:
        tracker.adopting = false;
        adoptOrphans(tracker);
        break;
      case HAND_OVER:
        handOver(tracker, () => true);
        break;
      case HANDED_OVER:
        handedOver(tracker, message[1] as Entry);
        break;
      case "adapter":
        if (Array.isArray(message[1])) adapterEvent(tracker, message[1]);
        break;
      case "DOWN":
        down(tracker, message);
        break;
      case "EXIT":
        // A linked process: without it nothing of other nodes would be received.
        if (isPid(message[1]) && !isNormalClass(message[2] as ExitReason))
          return ["stop", message[2] as ExitReason, tracker];
        break;
      default:
        info(tracker, received);
    }
    arm(tracker);
    return ["noreply", tracker];
  },

  terminate(reason, tracker) {
    const { core, options, settings } = tracker;
    // After a crash the next tracker corrects the others; without a PubSub nothing can be sent.
    if (!isNormalClass(reason) || !PubSub.isRunning(options.pubsub)) return;
    // A thread whose topics have all moved does not come back.
    const isOver = !PubSub.threads(options.pubsub).includes(thisNode().index);
    broadcastLast(tracker, settings.permdownOnShutdown || isOver ? core.permdown(now()) : core.flush(now()));
  },

  formatStatus: ({ state: { options, core } }) => ({ name: options.name, ...core.stats(0) }),
};

function startReplication(tracker: Tracker): void {
  const { core, options, settings, topic } = tracker;
  const { name, pubsub } = options;
  PubSub.watchOwners(pubsub);
  if (!PubSub.isSingleNode(pubsub)) {
    subscribeDurably(pubsub, topic, self());
    subscribeDurably(pubsub, PubSub.EVENTS, self());
    for (const thread of PubSub.threads(pubsub))
      if (thread !== thisNode().index) monitorSibling(tracker, thread);
    // The first tick comes within a quarter of a period, at random, so that nodes that start
    // together do not send together.
    const wait = (0.1 + 0.15 * Math.random()) * settings.broadcastPeriod;
    perform(tracker, core.start(now(), wait));
  }
  for (const { pid, entry } of orphans.take(name) ?? [])
    if (isAlive(pid)) track(tracker, ["track", pid, entry.topic, entry.key, withRef(entry.meta), "retrack"]);
  for (const thread of tracker.remote.threads) monitorOwner(tracker, thread);
  adoptOrphans(tracker);
  arm(tracker);
}

function down(tracker: Tracker, message: readonly unknown[]): void {
  const [, ref, , object] = message;
  if (isPid(object)) {
    const text = String(object);
    if (tracker.tracked.get(text)?.ref.equals(ref) !== true) {
      info(tracker, message);
      return;
    }
    tracker.tracked.delete(text);
    releaseHome(tracker, object);
    perform(tracker, tracker.core.leaveAll(text, now()));
    return;
  }
  if (!ownerDown(tracker, message) && !siblingDown(tracker, message)) info(tracker, message);
}

function receive(tracker: Tracker, wire: unknown): void {
  const { core, options, refused } = tracker;
  tracker.received += 1;
  let message: Message;
  try {
    message = decode(options.name, wire);
  } catch (error) {
    if (!(error instanceof MessageError)) throw error;
    refused[error.code] += 1;
    telemetry.emit("presence.refused", { count: 1 }, { presence: options.name, why: error.code });
    if (error.code === "slots" && now() - tracker.mismatchReportedAt >= MISMATCH_REPORT_MS) {
      tracker.mismatchReportedAt = now();
      report("error", error.message, {});
    }
    return;
  }
  // A tracker that exits need not be monitored.
  if (message.kind !== "permdown") registerSibling(tracker, message.ref);
  perform(tracker, core.receive(message, now()));
}

function adapterEvent(tracker: Tracker, event: readonly unknown[]): void {
  if (event[0] === "gap") tracker.core.gap((ref) => nodeOf(ref) === event[1], now());
  if (event[0] === "status" && event[1] === "up") perform(tracker, tracker.core.connected(now()));
}

function info(tracker: Tracker, message: unknown): void {
  const { module } = tracker;
  const result = module.handleInfo?.(message, tracker.moduleState);
  if (result === undefined && module.handleInfo === undefined) return;
  if (!isPair(result, "noreply")) throw badReturn(module, "handleInfo", '["noreply", state]', result);
  tracker.moduleState = result[1];
}

/** Starts the tracker of this thread, linked to the caller. */
export function startTracker<State, Arg>(
  module: TrackerModule<State, Arg>,
  arg: Arg,
  options: TrackerOptions,
): Promise<StartResult> {
  return GenServer.startLink(
    server,
    { module: module as unknown as TrackerModule, arg, options },
    { name: options.name },
  );
}
