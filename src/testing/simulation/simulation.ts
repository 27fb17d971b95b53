/**
 * A whole runtime in one place, run step by step: which process goes next, how long a posting
 * between threads is on its way, and when the clock moves on are all decided by one seed. The same
 * seed gives the same run, to the last step.
 */

import { createNode, type Report, type RuntimeNode } from "simurgh/runtime";
import { context, type Process, type RunQueue, ThreadConnection } from "#runtime";
import { Lane, SimulatedPort } from "./network.js";
import { Random } from "./random.js";
import { VirtualClock } from "./virtual-clock.js";

export interface WorldOptions {
  /** Threads beside the main one. Default 0. */
  readonly threads?: number;
  /** Virtual ms a posting between threads may take. Default 5. */
  readonly maxDelayMs?: number;
  /** Steps after which a run counts as endless. Default 100,000. */
  readonly maxSteps?: number;
}

/** Something that can happen next. */
interface Choice {
  readonly what: string;
  run(): void;
}

interface Thread {
  node: RuntimeNode;
  creation: number;
  alive: boolean;
  frozen: boolean;
  readonly runnable: Process[];
  readonly deferred: (() => void)[];
}

const pairKey = (a: number, b: number): string => (a < b ? `${a}-${b}` : `${b}-${a}`);

export class Simulation {
  readonly seed: number;
  /** For the scenario's own decisions: they are then part of the seed. */
  readonly random: Random;
  readonly clock = new VirtualClock();
  /** What happened, a line a step. */
  readonly trace: string[] = [];
  readonly reports: Report[] = [];
  readonly #threads: Thread[] = [];
  readonly #lanes: Lane[] = [];
  readonly #cut = new Set<string>();
  readonly #quiet: (() => void)[] = [];
  readonly #maxDelay: number;
  readonly #maxSteps: number;
  #steps = 0;

  constructor(seed: number, options: WorldOptions) {
    this.seed = seed;
    this.random = new Random(seed);
    this.#maxDelay = options.maxDelayMs ?? 5;
    this.#maxSteps = options.maxSteps ?? 100_000;
    for (let index = 0; index <= (options.threads ?? 0); index += 1) this.#start(index, 0);
  }

  // ---------------------------------------------------------------- for scenarios

  /** The node of a thread; 0 is the main one. */
  node(index = 0): RuntimeNode {
    const thread = this.#threads[index];
    if (thread === undefined) throw new RangeError(`this simulation has no thread ${index}`);
    return thread.node;
  }

  /** Runs `fn` as a process of that thread. */
  on<T>(index: number, fn: () => T | Promise<T>): Promise<T> {
    return this.node(index).run(fn);
  }

  /**
   * Holds back everything between two threads until `heal`. Nothing is lost: ports lose nothing.
   */
  cut(a: number, b: number): void {
    this.#note(`cut ${a} ${b}`);
    this.#cut.add(pairKey(a, b));
  }

  heal(a: number, b: number): void {
    this.#note(`heal ${a} ${b}`);
    this.#cut.delete(pairKey(a, b));
  }

  /** A thread that does nothing for a while: a long computation, a stopped machine. */
  freeze(index: number): void {
    this.#note(`freeze ${index}`);
    this.#thread(index).frozen = true;
  }

  thaw(index: number): void {
    this.#note(`thaw ${index}`);
    this.#thread(index).frozen = false;
  }

  /**
   * Ends a thread at once. What it had posted still arrives; the others learn of its end after
   * that.
   */
  async kill(index: number): Promise<void> {
    if (index === 0) throw new RangeError("the main thread cannot be killed: the scenario runs there");
    const thread = this.#thread(index);
    this.#note(`kill ${index}`);
    thread.alive = false;
    thread.runnable.length = 0;
    thread.deferred.length = 0;
    for (const lane of this.#lanes) {
      if (lane.from === index) lane.put("close");
      if (lane.to === index) lane.drop();
    }
    await thread.node.stop();
  }

  /** A new thread in the place of a killed one, with the next creation. Gives its node. */
  restart(index: number): RuntimeNode {
    const thread = this.#thread(index);
    if (thread.alive) throw new RangeError(`thread ${index} is alive; kill it first`);
    this.#note(`restart ${index}`);
    return this.#start(index, thread.creation + 1);
  }

  /**
   * Resolves once no process can run and no message is on its way: only time can change anything.
   */
  quiet(): Promise<void> {
    return new Promise((resolve) => this.#quiet.push(resolve));
  }

  // ---------------------------------------------------------------- the run

  /** @internal Takes steps until `done` settles. */
  async drive<T>(done: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    done.then(mark, mark);
    await microtasks();
    while (!settled) {
      this.#steps += 1;
      if (this.#steps > this.#maxSteps)
        throw new Error(`the run has not ended after ${this.#maxSteps} steps`);
      this.#step();
      await microtasks();
    }
    return done;
  }

  /** @internal */
  async end(): Promise<void> {
    for (const { node } of this.#threads) await node.stop();
  }

  #step(): void {
    const choices = this.#choices();
    if (choices.length > 0) {
      const choice = this.random.pick(choices);
      this.#note(choice.what);
      choice.run();
      return;
    }
    if (this.#quiet.length > 0) {
      this.#note("quiet");
      for (const resolve of this.#quiet.splice(0)) resolve();
      return;
    }
    const times = [this.clock.next, ...this.#openLanes().map(({ due }) => due)].filter(
      (due) => due !== undefined,
    );
    if (times.length === 0)
      throw new Error(
        "the scenario waits for something that can no longer happen: no process can run, no timer is set",
      );
    const next = Math.min(...times);
    this.#note(`time ${next}`);
    this.clock.advanceTo(next);
  }

  #choices(): Choice[] {
    const choices: Choice[] = [];
    this.#threads.forEach(({ alive, frozen, runnable, deferred }, index) => {
      if (!alive || frozen) return;
      runnable.forEach((process, place) => {
        choices.push({
          what: `run ${process.pid}`,
          run: () => {
            runnable.splice(place, 1);
            context.run(process, () => process.slice());
          },
        });
      });
      const [first] = deferred;
      if (first !== undefined)
        choices.push({
          what: `deferred of ${index}`,
          run: () => {
            deferred.shift();
            first();
          },
        });
    });
    for (const lane of this.#openLanes()) {
      if ((lane.due as number) <= this.clock.now())
        choices.push({ what: `post ${lane.from} to ${lane.to}`, run: () => void lane.land() });
    }
    return choices;
  }

  #openLanes(): Lane[] {
    return this.#lanes.filter(
      ({ due, from, to }) =>
        due !== undefined && !this.#cut.has(pairKey(from, to)) && !this.#threads[to]?.frozen,
    );
  }

  #start(index: number, creation: number): RuntimeNode {
    const runnable: Process[] = [];
    const deferred: (() => void)[] = [];
    const node = createNode({
      index,
      creation,
      clock: this.clock,
      isolation: "freeze",
      // One message at a time, so that every order can come about.
      turnsPerSlice: 1,
      longTurnMs: Number.POSITIVE_INFINITY,
      reportsPerSecond: Number.POSITIVE_INFINITY,
      onReport: (report) => void this.reports.push(report),
      runQueue: (options): RunQueue => ({
        options,
        get length() {
          return runnable.length;
        },
        // Each message is a step of its own.
        overdue: () => true,
        enqueue: (process) => void runnable.push(process),
        defer: (fn) => void deferred.push(fn),
      }),
    });
    this.#threads[index] = { node, creation, alive: true, frozen: false, runnable, deferred };
    this.#threads.forEach((other, otherIndex) => {
      if (otherIndex !== index && other.alive) this.#connect(index, otherIndex);
    });
    return node;
  }

  #connect(a: number, b: number): void {
    const there = new Lane(a, b, this.clock, this.random, this.#maxDelay);
    const back = new Lane(b, a, this.clock, this.random, this.#maxDelay);
    this.#lanes.push(there, back);
    const handlers = { onControl() {} };
    new ThreadConnection(this.node(a), this.node(b), new SimulatedPort(there, back), handlers);
    new ThreadConnection(this.node(b), this.node(a), new SimulatedPort(back, there), handlers);
  }

  #thread(index: number): Thread {
    this.node(index);
    return this.#threads[index] as Thread;
  }

  #note(what: string): void {
    this.trace.push(`${this.clock.now()} ${what}`);
  }
}

/** Lets everything that follows from the step happen: promises, and what they resolve. */
const microtasks = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
