/**
 * Carries out the steps of a handover in one thread; coordinator.ts describes them and asks for
 * them.
 */
import { demonitor, GenServer, monitor, outside, type Pid, send, thisNode } from "simurgh/runtime";
import type { Position } from "../adapter.js";
import type { Barrier } from "../local/barriers.js";
import { addSubscription, handleForwarded, replayBuffered } from "../local/broadcast.js";
import {
  type Frozen,
  type MovedSubscription,
  ownsSlot,
  type PubSubState,
  remoteOwner,
} from "../local/pubsub-state.js";
import { slot } from "../local/slot.js";
import type { Exported, HandoverStep } from "./coordinator.js";

/** Sent to the processes that watch the owners of slots, once topics have moved. */
export const OWNERS_CHANGED = Symbol("simurgh.owners changed");

const sendBarriers = (name: string, to: readonly number[], barrier: Barrier): void => {
  for (const node of to) GenServer.cast({ name, node }, barrier);
};

export function freeze(
  state: PubSubState,
  [, move, coordinator, slots, losing]: HandoverStep & readonly ["freeze", ...unknown[]],
): void {
  let release!: () => void;
  const finished = new Promise<void>((resolve) => {
    release = resolve;
  });
  state.frozen = {
    move,
    slots: new Set(slots),
    coordinator: monitor(coordinator),
    buffered: [],
    gained: [],
    leaving: undefined,
    exported: undefined,
    finished,
    release,
  };
  // Behind everything that the processes of this thread have sent to the former owner.
  sendBarriers(state.name, losing, ["barrier", move, "in", thisNode().index]);
}

/**
 * Subscribes to slots that this thread gains. Resolves when messages from other nodes arrive here,
 * too; they are buffered until the commit.
 */
export async function subscribeSlots(
  { adapter, frozen, interest, pending }: PubSubState,
  slots: readonly number[],
): Promise<void> {
  (frozen as Frozen).gained = slots;
  adapter.freeze?.(slots);
  for (const number of slots) interest(number, true);
  await Promise.all(slots.map((number) => pending.get(number)));
}

/**
 * Waits until the engine has everything that this thread published. Then sends the read positions
 * to `me`, behind everything that the engine had for this thread: from there on the next owner
 * reads.
 */
export async function drain(state: PubSubState, me: Pid, move: number): Promise<void> {
  const { adapter, frozen } = state;
  await adapter.flush?.();
  // The move has been rolled back meanwhile.
  if (frozen === undefined || state.frozen !== frozen) return;
  const lost = [...frozen.slots].filter((number) => ownsSlot(state, number));
  const positions = adapter.freeze?.(lost) ?? [];
  outside(() => send(me, ["drained", move, positions]));
}

/** Exports the subscriptions, once everything before has been delivered to them. */
export function exportSubscriptions(state: PubSubState, move: number, positions: readonly Position[]): void {
  const { table, frozen } = state;
  if (frozen?.leaving === undefined) return;
  const moved: MovedSubscription[] = [];
  for (const topic of [...table.topics()]) {
    if (!frozen.slots.has(slot(topic)) || remoteOwner(state, topic) !== undefined) continue;
    for (const { pid, metadata } of [...(table.view(topic)?.subscriptions() ?? [])]) {
      moved.push({ topic, pid, metadata });
      table.remove(topic, pid);
    }
  }
  frozen.exported = moved;
  sendBarriers(state.name, frozen.leaving.threads, ["barrier", move, "out", thisNode().index]);
  GenServer.reply(frozen.leaving.from, { subscriptions: moved, positions } satisfies Exported);
}

/** Ends a move, with the new owners or, as a rollback, with the old ones. */
export function commit(
  state: PubSubState,
  owners: readonly number[] | undefined,
  { subscriptions, positions }: Exported,
): void {
  const { frozen } = state;
  state.owners.current = owners;
  state.frozen = undefined;
  state.barriers.clear();
  for (const subscription of subscriptions) addSubscription(state, subscription);
  // After a rollback: what this thread has exported is its own again.
  for (const subscription of frozen?.exported ?? [])
    if (remoteOwner(state, subscription.topic) === undefined) addSubscription(state, subscription);
  if (frozen !== undefined) demonitor(frozen.coordinator, { flush: true });
  for (const { request, from, isForeign = false } of frozen?.buffered ?? []) {
    if (isForeign) handleForwarded(state, request);
    else replayBuffered(state, request);
    if (from !== undefined) GenServer.reply(from, "ok");
  }
  state.adapter.release?.(positions);
  for (const number of frozen?.gained ?? []) if (!state.table.hasSlot(number)) state.interest(number, false);
  frozen?.release();
  for (const pid of state.ownersWatchers.values()) send(pid, OWNERS_CHANGED);
}
