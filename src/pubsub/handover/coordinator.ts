/**
 * Coordinates a handover: topics move to other threads while messages flow, and none is lost,
 * duplicated or overtaken.
 *
 * Each thread has its own copy of the slot owners, so a change takes five steps. The coordinator
 * asks all threads concerned for a step, and begins the next one when all have answered. Topics of
 * slots that stay are not affected.
 *
 *   1 freeze     Each thread buffers what it publishes to the moving slots, and sends a barrier to
 *                each losing thread.
 *   2 subscribe  Gaining threads subscribe to the slots on the engine, and buffer what arrives.
 *   3 export     Once a losing thread has all barriers, everything that was sent to it is delivered
 *                and published. It exports its subscriptions and its read positions of other nodes,
 *                and sends a barrier to all threads.
 *   4 settle     Each thread waits for these barriers: nothing that was delivered before can be
 *                overtaken by what comes after.
 *   5 commit     Gaining threads first: they add the subscriptions. Each thread publishes what it
 *                buffered, and reads other nodes from the exported positions on.
 *
 * Threads monitor the coordinator: when it exits half-way, or a thread does not answer in time, all
 * threads continue with the owners they had. A handover costs each thread a few turns; it is not
 * for frequent use.
 */

import { ExitSignal, GenServer, type Pid, sleep, thisNode } from "simurgh/runtime";
import { show } from "#runtime";
import type { Position } from "../adapter.js";
import type { MovedSubscription } from "../local/pubsub-state.js";
import { slot } from "../local/slot.js";

export type HandoverStep =
  | readonly ["freeze", move: number, coordinator: Pid, slots: readonly number[], losing: readonly number[]]
  | readonly ["subscribe_slots", move: number, slots: readonly number[]]
  | readonly ["export", move: number, threads: readonly number[]]
  | readonly ["settle", move: number, losing: readonly number[]]
  | readonly ["commit", move: number, owners: readonly number[] | undefined, exported: Exported];

/** What a losing thread hands over with its slots. */
export interface Exported {
  readonly subscriptions: readonly MovedSubscription[];
  /** How far it has delivered what other nodes sent. */
  readonly positions: readonly Position[];
}

export const NOTHING: Exported = { subscriptions: [], positions: [] };

/** The answer of a thread that has not taken part in the steps before: it has been restarted. */
export const NOT_FROZEN = "not_frozen";

/**
 * How long a busy thread may take for one step. Publications to moving slots are delayed by that
 * long at most.
 */
const STEP_MS = 5000;

/** How long a thread that has exited may take to restart and receive the commit. */
const RESTART_MS = 10_000;
const RETRY_MS = 20;

let nextMove = 1;

export interface Reassignment {
  readonly name: string;
  readonly coordinator: Pid;
  /** Every thread where this PubSub runs, owner or not. */
  readonly threads: readonly number[];
  readonly from: readonly number[];
  readonly to: readonly number[];
  /** From here on the move is final: threads that start now must begin with the new owners. */
  readonly onCommit: () => void;
}

export type ReassignResult = "ok" | readonly ["error", unknown];

/** Carries out one change of owners. One at a time: see `Endpoint.reshard`. */
export async function reassign({
  name,
  coordinator,
  threads,
  from,
  to,
  onCommit,
}: Reassignment): Promise<ReassignResult> {
  const move = nextMove;
  nextMove += 1;
  const slots = [...from.keys()].filter((number) => from[number] !== to[number]);
  if (slots.length === 0) return "ok";
  const losing = distinct(slots.map((number) => from[number] as number)).filter((thread) =>
    threads.includes(thread),
  );
  const gaining = distinct(slots.map((number) => to[number] as number));
  const ask = async <R>(thread: number, step: HandoverStep): Promise<R> => {
    const answer = await GenServer.call<R | typeof NOT_FROZEN>({ name, node: thread }, step, STEP_MS);
    if (answer === NOT_FROZEN) throw new ExitSignal(["restarted", thread]);
    return answer;
  };
  const slotsOf = (thread: number): number[] => slots.filter((number) => to[number] === thread);
  const exported = new Map<number, Exported>();
  try {
    await Promise.all(threads.map((thread) => ask(thread, ["freeze", move, coordinator, slots, losing])));
    await Promise.all(gaining.map((thread) => ask(thread, ["subscribe_slots", move, slotsOf(thread)])));
    await Promise.all(
      losing.map(async (thread) => exported.set(thread, await ask(thread, ["export", move, threads]))),
    );
    await Promise.all(threads.map((thread) => ask(thread, ["settle", move, losing])));
  } catch (error) {
    // Rollback: a thread that has exported subscriptions takes them back, one that has died begins
    // with the old owners anyway.
    await Promise.allSettled(threads.map((thread) => ask(thread, ["commit", move, from, NOTHING])));
    return ["error", error instanceof ExitSignal ? error.reason : show(error)];
  }
  onCommit();
  const all = [...exported.values()];
  const commit = (some: readonly number[], exportedFor: (thread: number) => Exported) =>
    Promise.all(
      some.map((thread) => untilCommitted(() => ask(thread, ["commit", move, to, exportedFor(thread)]))),
    );
  await commit(gaining, (thread) => ({
    subscriptions: all.flatMap(({ subscriptions }) =>
      subscriptions.filter(({ topic }) => to[slot(topic)] === thread),
    ),
    positions: all.flatMap(({ positions }) => positions.filter((at) => to[at.slot] === thread)),
  }));
  await commit(
    threads.filter((thread) => !gaining.includes(thread)),
    () => NOTHING,
  );
  return "ok";
}

/**
 * Repeats the commit of a thread that exits just now: it may have restarted with the old owners. A
 * thread that is only slow has the commit in its mailbox.
 */
async function untilCommitted(commit: () => Promise<unknown>): Promise<void> {
  const until = thisNode().clock.now() + RESTART_MS;
  for (;;) {
    try {
      await commit();
      return;
    } catch (error) {
      const isSlow =
        error instanceof ExitSignal && Array.isArray(error.reason) && error.reason[0] === "timeout";
      if (isSlow || thisNode().clock.now() > until) return;
      await sleep(RETRY_MS);
    }
  }
}

const distinct = (numbers: readonly number[]): number[] => [...new Set(numbers)];
