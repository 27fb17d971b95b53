/**
 * Siblings are the trackers of this node's other threads. When a thread dies, its siblings know it
 * first: they broadcast its permdown, so that other nodes need not wait for the down period.
 */
import { type ExitReason, isNormalClass, monitor, self, sendAfter } from "simurgh/runtime";
import { type ReplicaRef, refText } from "./clock.js";
import { broadcastOutOfBand, perform } from "./effects.js";
import { nodeOf, type Tracker } from "./tracker-state.js";

export const PERMDOWN_FOR = Symbol("permdown_for");
/** The permdown for a thread that died is repeated, because messages between nodes can be lost. */
const PERMDOWN_AGAIN_MS = [200, 1000];

export function monitorSibling(tracker: Tracker, thread: number): void {
  const { name } = tracker.options;
  tracker.siblings.set(thread, {
    ref: tracker.siblings.get(thread)?.ref,
    monitor: monitor({ name, node: thread }),
  });
}

/**
 * Notes the ref of a sibling, to broadcast its permdown when its thread dies.
 */
export function registerSibling(tracker: Tracker, ref: ReplicaRef): void {
  if (nodeOf(ref) !== nodeOf(tracker.core.ref)) return;
  const thread = Number(ref.name.slice(ref.name.lastIndexOf("#") + 1));
  const sibling = tracker.siblings.get(thread);
  if (sibling === undefined || (sibling.ref !== undefined && refText(sibling.ref) === refText(ref))) return;
  if (sibling.ref === undefined) monitorSibling(tracker, thread);
  (tracker.siblings.get(thread) as { ref: ReplicaRef | undefined }).ref = ref;
}

/** Whether the message says that a sibling has exited. */
export function siblingDown(tracker: Tracker, [, ref, , object, reason]: readonly unknown[]): boolean {
  const thread = (object as { readonly node?: unknown } | null | undefined)?.node;
  const sibling = typeof thread === "number" ? tracker.siblings.get(thread) : undefined;
  if (sibling?.monitor.equals(ref) !== true) return false;
  // One that was stopped has sent its own permdown; one that crashed has not.
  if (sibling.ref !== undefined && !isNormalClass(reason as ExitReason)) {
    const permdown = tracker.core.permdownFor(sibling.ref);
    // The thread may have been the one that owns the replication topic.
    for (const effect of permdown) if (effect[0] === "broadcast") broadcastOutOfBand(tracker, effect[1]);
    perform(tracker, permdown);
    for (const ms of PERMDOWN_AGAIN_MS) sendAfter(self(), [PERMDOWN_FOR, sibling.ref], ms);
  }
  sibling.ref = undefined;
  return true;
}
