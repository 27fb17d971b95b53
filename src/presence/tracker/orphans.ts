/**
 * Orphans are processes of this thread whose tracker on another thread has died with that thread.
 * This tracker exits them, or has them tracked again by the next owner of their topic.
 */
import { PubSub } from "simurgh/pubsub";
import { backoff, GenServer, isAlive, monitor, self, sendAfter, thisNode } from "simurgh/runtime";
import { track } from "./entries.js";
import { withRef } from "./meta.js";
import type { TrackerCast, TrackRequest } from "./tracker-callbacks.js";
import type { Tracker } from "./tracker-state.js";

export const ADOPT = Symbol("adopt");
/** Between two requests to the next owner. */
const ADOPT_MS = 100;
const LONGEST_ADOPT_MS = 2000;

export function monitorOwner({ ownerMonitors, options: { name } }: Tracker, thread: number): void {
  if (!ownerMonitors.has(thread)) ownerMonitors.set(thread, monitor({ name, node: thread }));
}

/**
 * Whether the message says that a tracker with processes of this thread has exited. A tracker that
 * was not killed with its thread has exited its processes itself.
 */
export function ownerDown(tracker: Tracker, [, ref, , object, reason]: readonly unknown[]): boolean {
  const { remote, ownerMonitors, options } = tracker;
  const thread = (object as { readonly node?: unknown } | null | undefined)?.node as number;
  if (ownerMonitors.get(thread)?.equals(ref) !== true) return false;
  ownerMonitors.delete(thread);
  const isGone = reason === "noconnection";
  const kept = remote.lose(thread, ({ retrack }) => isGone && retrack);
  for (const { pid, retrack } of kept)
    if (isGone && !retrack) thisNode().exit(pid, ["tracker_down", options.name]);
  adoptOrphans(tracker);
  return true;
}

/**
 * Has orphans tracked by the owners of their topics; repeated until an owner has done it.
 */
export function adoptOrphans(tracker: Tracker): void {
  const { remote, options } = tracker;
  for (const process of remote.orphaned) {
    const { pid, topic, key, meta } = process;
    const request: TrackRequest = ["track", pid, topic, key, withRef(meta), "retrack"];
    const node = PubSub.ownerOf(options.pubsub, topic);
    if (node === thisNode().index) track(tracker, request);
    else if (isAlive(pid)) {
      GenServer.cast({ name: options.name, node }, request satisfies TrackerCast);
      continue;
    }
    remote.settle(process);
  }
  if (remote.orphaned.length === 0) tracker.adoptTries = 0;
  if (remote.orphaned.length === 0 || tracker.adopting) return;
  tracker.adopting = true;
  const wait = backoff(tracker.adoptTries, ADOPT_MS, LONGEST_ADOPT_MS);
  sendAfter(self(), [ADOPT], Math.ceil(wait));
  tracker.adoptTries += 1;
}
