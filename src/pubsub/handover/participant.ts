/** This thread's part in a move of topics; handover.ts tells the steps and conducts them. */
import { demonitor, GenServer, monitor, outside, type Pid, send, thisNode } from "simurgh/runtime";
import type { Position, PublishResult } from "../cluster/adapter.js";
import { elsewhere, type Holding, type Instance, ownsSlot, type Published } from "../local/pubsub-state.js";
import { add, fromThread, released } from "../local/requests.js";
import { slot } from "../local/slot.js";
import type { Exported, HandoverStep, Mark, MovedSubscription } from "./coordinator.js";

/** What one thread keeps back while topics move; beyond it publishing is refused. */
const MOST_KEPT = 100_000;

/** Told to who watches the owners of slots: topics have moved. */
export const OWNERS_CHANGED = Symbol("simurgh.owners changed");

const mark = (name: string, to: readonly number[], what: Mark): void => {
  for (const node of to) GenServer.cast({ name, node }, what);
};

export function hold(
  state: Instance,
  [, move, conductor, slots, losing]: HandoverStep & readonly ["hold", ...unknown[]],
): void {
  let release!: () => void;
  const over = new Promise<void>((resolve) => {
    release = resolve;
  });
  state.holding = {
    move,
    slots: new Set(slots),
    conductor: monitor(conductor),
    kept: [],
    gained: [],
    leaving: undefined,
    exported: undefined,
    over,
    release,
  };
  // Every process of this thread has sent before this what it sent to the former owner.
  mark(state.name, losing, ["mark", move, "in", thisNode().index]);
}

/**
 * Resolves when what other nodes send on slots that come here arrives here, too, and waits for what
 * comes before it.
 */
export async function listen(
  { adapter, holding, interest, pending }: Instance,
  slots: readonly number[],
): Promise<void> {
  (holding as Holding).gained = slots;
  adapter.hold?.(slots);
  for (const number of slots) interest(number, true);
  await Promise.all(slots.map((number) => pending.get(number)));
}

/**
 * What the other threads sent has been delivered here. Sees to it that the engine has it, too, and
 * tells `me`, behind all that the engine had for this thread, how far that is: from there on the
 * next owner goes on.
 */
export async function leaveOff(state: Instance, me: Pid, move: number): Promise<void> {
  const { adapter, holding } = state;
  await adapter.settled?.();
  // The move has been given up meanwhile.
  if (holding === undefined || state.holding !== holding) return;
  const mine = [...holding.slots].filter((number) => ownsSlot(state, number));
  const positions = adapter.hold?.(mine) ?? [];
  outside(() => send(me, ["left off", move, positions]));
}

/** Hands over the subscriptions, once all that was to be delivered to them has been. */
export function exported(state: Instance, move: number, positions: readonly Position[]): void {
  const { table, holding } = state;
  if (holding?.leaving === undefined) return;
  const moved: MovedSubscription[] = [];
  for (const topic of [...table.topics()]) {
    if (!holding.slots.has(slot(topic)) || elsewhere(state, topic) !== undefined) continue;
    for (const { pid, metadata } of [...(table.view(topic)?.subscriptions() ?? [])]) {
      moved.push({ topic, pid, metadata });
      table.remove(topic, pid);
    }
  }
  holding.exported = moved;
  mark(state.name, holding.leaving.threads, ["mark", move, "out", thisNode().index]);
  GenServer.reply(holding.leaving.from, { subscriptions: moved, positions } satisfies Exported);
}

export function commit(
  state: Instance,
  owners: readonly number[] | undefined,
  { subscriptions, positions }: Exported,
): void {
  const { holding } = state;
  state.owners.current = owners;
  state.holding = undefined;
  state.marks.clear();
  for (const subscription of subscriptions) add(state, subscription);
  // What has not moved after all is taken back.
  for (const subscription of holding?.exported ?? [])
    if (elsewhere(state, subscription.topic) === undefined) add(state, subscription);
  if (holding !== undefined) demonitor(holding.conductor, { flush: true });
  for (const { request, from, isForeign = false } of holding?.kept ?? []) {
    if (isForeign) fromThread(state, request);
    else released(state, request);
    if (from !== undefined) GenServer.reply(from, "ok");
  }
  state.adapter.release?.(positions);
  for (const number of holding?.gained ?? []) if (!state.table.hasSlot(number)) state.interest(number, false);
  holding?.release();
  for (const pid of state.ownersWatchers.values()) send(pid, OWNERS_CHANGED);
}

/**
 * Whether what others send for a topic waits here: it moves, and its subscribers have gone, or are
 * not there yet.
 */
export function keeps(state: Instance, topic: string): state is Instance & { holding: Holding } {
  const { holding } = state;
  if (holding?.slots.has(slot(topic)) !== true) return false;
  return holding.exported !== undefined || elsewhere(state, topic) !== undefined;
}

/** True when the topic moves just now: the request waits until it has. */
export function kept({ holding }: Instance, topic: string, request: Published): PublishResult | undefined {
  if (holding?.slots.has(slot(topic)) !== true) return undefined;
  if (holding.kept.length >= MOST_KEPT) return ["error", "moving"];
  holding.kept.push({ request });
  return "ok";
}
