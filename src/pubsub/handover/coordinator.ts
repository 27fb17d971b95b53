/**
 * Topics move to other threads while messages flow, without one lost, doubled or overtaken.
 *
 * Every thread has its own copy of who owns which slot, so a change passes through four steps, each
 * asked of all threads concerned and finished by all before the next. Topics of slots that stay
 * notice nothing.
 *
 *   1 hold     each thread keeps back what it publishes to the moving slots, and marks its roads to the losing threads
 *   2 listen   gaining threads listen to what other nodes send on them, and keep it back
 *   3 export   a losing thread has seen every mark: all that was sent is delivered, and is with the engine. It hands over its
 *              subscriptions and how far it has heard the other nodes, and marks its roads to all threads
 *   4 settled  each thread has seen those marks: nothing delivered before can be overtaken by what comes after
 *   5 commit   gaining threads first: they take up the subscriptions; each thread publishes what it kept back, and goes on
 *              hearing the other nodes where the one before has left off
 *
 * Whoever conducts (`reassign`) is watched: when it ends half-way, or a thread does not answer in
 * time, all go on with the owners they had. Not for frequent use: each time costs a few turns of
 * every thread.
 */

import { ExitSignal, GenServer, type Pid, sleep, thisNode } from "simurgh/runtime";
import { show } from "#runtime";
import type { Position } from "../cluster/adapter.js";
import { slot } from "../local/slot.js";

export interface MovedSubscription {
  readonly topic: string;
  readonly pid: Pid;
  readonly metadata: unknown;
}

export type HandoverStep =
  | readonly ["hold", move: number, conductor: Pid, slots: readonly number[], losing: readonly number[]]
  | readonly ["listen", move: number, slots: readonly number[]]
  | readonly ["export", move: number, threads: readonly number[]]
  | readonly ["settled", move: number, losing: readonly number[]]
  | readonly ["commit", move: number, owners: readonly number[] | undefined, exported: Exported];

/** What a thread hands over with its slots. */
export interface Exported {
  readonly subscriptions: readonly MovedSubscription[];
  /** Of what other nodes sent: what it has delivered. */
  readonly positions: readonly Position[];
}

export const NOTHING: Exported = { subscriptions: [], positions: [] };

/** The answer of one that has not taken the step before: it has been restarted meanwhile. */
export const NOT_HELD = "not held";

/** Sent behind everything that went the same road before. */
export type Mark = readonly ["mark", move: number, phase: "in" | "out", from: number];

/** Marks that have arrived, and who waits for which. */
export class Marks {
  readonly #arrived = new Set<string>();
  #waiting: { readonly missing: Set<string>; readonly done: () => void } | undefined;

  add([, move, phase, from]: Mark): void {
    const mark = `${move} ${phase} ${from}`;
    this.#arrived.add(mark);
    const waiting = this.#waiting;
    if (waiting?.missing.delete(mark) && waiting.missing.size === 0) {
      this.#waiting = undefined;
      waiting.done();
    }
  }

  /** Calls `done` once all of them are here. */
  expect(move: number, phase: "in" | "out", from: readonly number[], done: () => void): void {
    const missing = new Set(from.map((thread) => `${move} ${phase} ${thread}`));
    for (const mark of missing) if (this.#arrived.has(mark)) missing.delete(mark);
    if (missing.size === 0) done();
    else this.#waiting = { missing, done };
  }

  clear(): void {
    this.#arrived.clear();
    this.#waiting = undefined;
  }
}

/**
 * How long a thread may take for one step: it may be busy. Publishing to what moves waits for that
 * long at most.
 */
const STEP_MS = 5000;

/** How long a thread that has ended may take to be there again, to be told of what it missed. */
const RESTART_MS = 10_000;
const RETRY_MS = 20;

let nextMove = 1;

export interface Reassignment {
  readonly name: string;
  readonly conductor: Pid;
  /** Every thread where this PubSub runs, owner or not. */
  readonly threads: readonly number[];
  readonly from: readonly number[];
  readonly to: readonly number[];
  /** From here on there is no way back: threads that start now must begin with the new owners. */
  readonly onCommit: () => void;
}

export type ReassignResult = "ok" | readonly ["error", unknown];

/** Carries out one change of owners. One at a time: see `Endpoint.reshard`. */
export async function reassign({
  name,
  conductor,
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
    const answer = await GenServer.call<R | typeof NOT_HELD>({ name, node: thread }, step, STEP_MS);
    if (answer === NOT_HELD) throw new ExitSignal(["restarted", thread]);
    return answer;
  };
  const exported = new Map<number, Exported>();
  try {
    await Promise.all(threads.map((thread) => ask(thread, ["hold", move, conductor, slots, losing])));
    await Promise.all(
      gaining.map((thread) => ask(thread, ["listen", move, slots.filter((number) => to[number] === thread)])),
    );
    await Promise.all(
      losing.map(async (thread) => exported.set(thread, await ask(thread, ["export", move, threads]))),
    );
    await Promise.all(threads.map((thread) => ask(thread, ["settled", move, losing])));
  } catch (error) {
    // Back to where everything was: who has handed something over takes it back, who has died
    // begins with that anyway.
    await Promise.allSettled(threads.map((thread) => ask(thread, ["commit", move, from, NOTHING])));
    return ["error", error instanceof ExitSignal ? error.reason : show(error)];
  }
  onCommit();
  const all = [...exported.values()];
  const commit = (some: readonly number[], mine: (thread: number) => Exported) =>
    Promise.all(some.map((thread) => tell(() => ask(thread, ["commit", move, to, mine(thread)]))));
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
 * One that ends now and is there again in a moment may have begun with the owners there were
 * before: it is told once more. One that is only late has it in its mailbox.
 */
async function tell(commit: () => Promise<unknown>): Promise<void> {
  const until = thisNode().clock.now() + RESTART_MS;
  for (;;) {
    try {
      await commit();
      return;
    } catch (error) {
      const late =
        error instanceof ExitSignal && Array.isArray(error.reason) && error.reason[0] === "timeout";
      if (late || thisNode().clock.now() > until) return;
      await sleep(RETRY_MS);
    }
  }
}

const distinct = (numbers: readonly number[]): number[] => [...new Set(numbers)];
