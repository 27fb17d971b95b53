/**
 * Moves entries between the trackers of a node's threads, when topics have moved (see pubsub's
 * handover).
 */
import { PubSub } from "simurgh/pubsub";
import { GenServer, type Pid, self, sendAfter, thisNode } from "simurgh/runtime";
import type { Entry } from "./delta.js";
import { perform } from "./effects.js";
import { untrack } from "./entries.js";
import { withRef } from "./meta.js";
import { monitorSibling } from "./siblings.js";
import type { TrackRequest } from "./tracker-callbacks.js";
import { now, type Tracker } from "./tracker-state.js";

export const HAND_OVER = Symbol("hand over");
export const HANDED_OVER = Symbol("handed over");
/**
 * Channels whose topic has moved exit, and their entries with them. Entries that are left after
 * that time move.
 */
const CHANNELS_END_MS = 1000;
/**
 * The new owner broadcasts an entry before the old one removes it, so that its key never leaves.
 */
const HANDED_OVER_MS = 100;

export function ownersChanged(tracker: Tracker): void {
  const { core, options } = tracker;
  const here = thisNode().index;
  const before = tracker.owners ?? [];
  const after = PubSub.owners(options.pubsub) ?? [];
  tracker.owners = after;
  const gained = after.some((owner, number) => owner === here && before[number] !== here);
  const lost = before.some((owner, number) => owner === here && after[number] !== here);
  if (!PubSub.isSingleNode(options.pubsub)) {
    for (const thread of PubSub.threads(options.pubsub))
      if (thread !== here && !tracker.siblings.has(thread)) monitorSibling(tracker, thread);
  }
  if (gained || lost) perform(tracker, core.reassigned(gained, now()));
  if (!lost) return;
  // Channels run in the thread of their topic: who runs in another one is none.
  handOver(tracker, (pid) => pid.node !== here);
  sendAfter(self(), [HAND_OVER], CHANNELS_END_MS);
}

/** Gives the entries of topics that have moved to the trackers that keep them now. */
export function handOver(
  { core, tracked, options: { name, pubsub } }: Tracker,
  which: (pid: Pid) => boolean,
): void {
  for (const entry of core.own.entries()) {
    const node = PubSub.ownerOf(pubsub, entry.topic);
    const process = tracked.get(entry.pid);
    if (node === thisNode().index || process === undefined || !which(process.pid)) continue;
    const restart = process.retrack ? "retrack" : "exit";
    GenServer.cast({ name, node }, [
      "track",
      process.pid,
      entry.topic,
      entry.key,
      withRef(entry.meta),
      restart,
    ] satisfies TrackRequest);
    sendAfter(self(), [HANDED_OVER, entry], HANDED_OVER_MS);
  }
}

export function handedOver(tracker: Tracker, { topic, pid, key }: Entry): void {
  const process = tracker.tracked.get(pid);
  // It has ended, or the topic is back already.
  if (process === undefined || PubSub.ownerOf(tracker.options.pubsub, topic) === thisNode().index) return;
  untrack(tracker, process.pid, topic, key);
}
