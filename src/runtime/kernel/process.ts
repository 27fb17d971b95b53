/**
 * A process: an identity, a mailbox and code that handles one message at a time.
 *
 *   runnable ──slice──▶ running ──turn ends──▶ waiting (mailbox empty) ──message──▶ runnable
 *                          │ the turn awaits
 *                          ▼
 *                       suspended ──its promise settles──▶ runnable or waiting
 *   any of them ──exit──▶ exited
 *
 * A *turn* is one message handled to completion, awaits included: no second message starts
 * meanwhile. Exit signals act at any time, also on a suspended process. Its continuation may still
 * run, but finds every runtime operation closed: the zombie fence.
 *
 * One concept in one file: each signal changes the same mailbox, links, monitors and status.
 *
 * A raw process runs one function and takes messages with `receive`. A behaviour (GenServer,
 * Supervisor) calls `become` to have its handler called with each message instead.
 */
import { now } from "./clock.js";
import { outside } from "./context.js";
import { ExitSignal } from "./errors.js";
import { type ExitReason, isNormalClass, reasonOfThrow } from "./exit-reason.js";
import { isolate } from "./isolation.js";
import { Mailbox } from "./mailbox.js";
import type { RuntimeNode } from "./node.js";
import { Pid, Ref } from "./pid.js";
import { DEAD, type Target, type Watcher } from "./signal.js";
import { SmallMap } from "./small-map.js";
import type { Timer } from "./timer-queue.js";

/** What handles each message of a process that is no plain one. */
export interface Behaviour {
  handle(message: unknown): unknown;
}

/** A receive that waits: what it looks for and how far it has looked. */
interface Receiver {
  readonly match: (message: unknown) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  cursor: number;
  timer: Timer | undefined;
}

/** What a mailbox that grows beyond `size` leads to. */
export interface MaxQueue {
  readonly size: number;
  /**
   * `kill`: the process ends with `killed`. `report`: it continues, with one report each time the
   * bound is passed.
   */
  readonly action: "kill" | "report";
}

/** A monitor as its holder keeps it: how to take it back, and what happens when it fires. */
export interface Monitor extends Watcher {
  readonly ref: Ref;
  readonly to: Pid;
  readonly target: Target;
}

type Cleanup = (reason: ExitReason) => void;

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  value !== undefined && value !== null && typeof (value as { then?: unknown }).then === "function";

export class Process implements Target {
  readonly pid: Pid;
  readonly node: RuntimeNode;
  readonly mailbox = new Mailbox();
  /** What it was started with, for reports. */
  readonly initialCall: string;
  readonly ancestors: readonly Pid[];
  alive = true;
  trapsExits = false;
  name: string | undefined;
  label: unknown;
  /** The reason it ended with, once it has. */
  exitReason: ExitReason;
  /** A waiting process gets the crash, so that no report is needed. */
  silent = false;
  links: SmallMap<number | string, Pid> | undefined;
  /** Monitors this process holds on others, by ref id. */
  monitors: SmallMap<number, Monitor> | undefined;
  /** Who watches this process. */
  watchers: SmallMap<number | string, { readonly ref: Ref; readonly watcher: Watcher }> | undefined;
  /** Ids of the timers that will send to this very pid. */
  timers: Set<number> | undefined;
  /** Aliases that are on. */
  aliases: Map<number, Ref> | undefined;
  dictionary: Map<unknown, unknown> | undefined;
  /** Turns handled (OTP: reductions), and the longest of them in ms. */
  turns = 0;
  longestTurnMs = 0;
  turnTimeMs = 0;
  awaitingMs = 0;
  readonly startedAt: number;
  messagesOut = 0;
  bytesOut = 0;
  /** The callback that runs or ran last, for reports. */
  callback = "start";

  #body: (() => unknown) | undefined;
  #behaviour: Behaviour | undefined;
  /** A turn is under way and awaits. */
  #suspended = false;
  #awaitingSince = 0;
  #queued = false;
  /** Connections that this process has filled; it gets no turn until they are clear. */
  #holds = 0;
  #receiver: Receiver | undefined;
  #maxQueue: MaxQueue | undefined;
  #queueLimit = Number.POSITIVE_INFINITY;
  #cleanups: SmallMap<Cleanup, Cleanup> | undefined;
  #abort: AbortController | undefined;
  #lineage: readonly Pid[] | undefined;

  constructor(
    node: RuntimeNode,
    id: number,
    body: () => unknown,
    initialCall: string,
    ancestors: readonly Pid[],
  ) {
    this.node = node;
    this.startedAt = node.clock.now();
    this.pid = new Pid(node.index, node.creation, id, this);
    this.#body = body;
    this.initialCall = initialCall;
    this.ancestors = ancestors;
  }

  get status(): "exiting" | "suspended" | "runnable" | "waiting" {
    if (!this.alive) return "exiting";
    if (this.#suspended && this.#receiver === undefined) return "suspended";
    return this.#queued ? "runnable" : "waiting";
  }

  /** Fires when the process ends, so that I/O begun by it can stop. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  /** A ref that no message which has already arrived can contain. */
  newRef(): Ref {
    const ref = this.node.newRef();
    Ref.setMark(ref, this.mailbox.arrivals);
    return ref;
  }

  /** Bounds the mailbox; undefined takes the bound away. */
  limitQueue(limit: MaxQueue | undefined): void {
    this.#maxQueue = limit;
    this.#queueLimit = limit?.size ?? Number.POSITIVE_INFINITY;
    this.#checkQueue();
  }

  #checkQueue(): void {
    const length = this.mailbox.length;
    if (length <= this.#queueLimit) return;
    const { size, action } = this.#maxQueue as MaxQueue;
    this.node.report({
      kind: "long_queue",
      pid: this.pid,
      label: this.label ?? this.name,
      length,
      size,
      action,
    });
    if (action === "kill") this.terminate("killed");
    // Reported again once the mailbox has been shorter meanwhile.
    else this.#queueLimit = Number.POSITIVE_INFINITY;
  }

  /**
   * Makes `behaviour` handle each message from now on; the process no longer ends when its function
   * returns.
   */
  become(behaviour: Behaviour): void {
    this.#behaviour = behaviour;
  }

  /** What is said of a child of this process: its parent first, and not too many. */
  get lineage(): readonly Pid[] {
    this.#lineage ??= [this.pid, ...this.ancestors.slice(0, 15)];
    return this.#lineage;
  }

  // ---------------------------------------------------------------- running

  start(): void {
    this.#enqueue();
  }

  /**
   * Gives the process no further turn until `unhold`: a connection to another thread is congested.
   */
  hold(): void {
    this.#holds += 1;
  }

  unhold(): void {
    this.#holds -= 1;
    if (this.#holds === 0 && this.alive) this.#enqueue();
  }

  #enqueue(): void {
    if (this.#queued || this.#holds > 0) return;
    this.#queued = true;
    this.node.scheduler.enqueue(this);
  }

  /**
   * Runs turns until the mailbox is empty, the slice is used up, or a turn awaits. Called by the
   * scheduler, with the time; gives the time it ended.
   */
  slice(start = now()): number {
    this.#queued = false;
    if (this.#maxQueue !== undefined && this.mailbox.length <= this.#maxQueue.size)
      this.#queueLimit = this.#maxQueue.size;
    const { turnsPerSlice, sliceMs, longTurnMs } = this.node.scheduler.options;
    let turnStart = start;
    const sliceEnd = start + sliceMs;
    for (let turn = 0; turn < turnsPerSlice; turn += 1) {
      if (!this.alive || this.#holds > 0) return turnStart;
      if (this.#suspended) {
        this.#feedReceiver();
        return turnStart;
      }
      if (this.#body === undefined && this.mailbox.length === 0) return turnStart;
      this.#turn();
      const end = now();
      const duration = end - turnStart;
      this.turnTimeMs += duration;
      if (duration > this.longestTurnMs) {
        this.longestTurnMs = duration;
        if (duration > longTurnMs) this.#reportLongTurn(duration);
      }
      turnStart = end;
      if (end >= sliceEnd) break;
    }
    if (this.alive && !this.#suspended && this.mailbox.length > 0) this.#enqueue();
    return turnStart;
  }

  /** The first turn runs the body, the others handle the oldest message. */
  #turn(): void {
    this.turns += 1;
    const body = this.#body;
    let result: unknown;
    try {
      if (body === undefined) {
        result = (this.#behaviour as Behaviour).handle(this.mailbox.shift());
      } else {
        this.#body = undefined;
        result = body();
      }
    } catch (thrown) {
      this.crash(thrown);
      return;
    }
    if (isThenable(result)) {
      this.#suspended = true;
      this.#awaitingSince = now();
      // What these throw is the runtime's own fault, and would be taken for the process's if it
      // were left to the promise.
      const { node } = this;
      result.then(
        () => node.own(() => this.#turnSettled()),
        (thrown: unknown) => node.own(() => this.crash(thrown)),
      );
    } else if (this.#behaviour === undefined && this.alive) {
      this.terminate("normal");
    }
  }

  #turnSettled(): void {
    if (!this.alive) return;
    this.#suspended = false;
    this.awaitingMs += now() - this.#awaitingSince;
    if (this.#behaviour === undefined) this.terminate("normal");
    else if (this.mailbox.length > 0) this.#enqueue();
  }

  #reportLongTurn(durationMs: number): void {
    this.node.report({
      kind: "long_turn",
      pid: this.pid,
      label: this.label ?? this.name,
      callback: this.callback,
      durationMs,
    });
  }

  // ---------------------------------------------------------------- receive

  /**
   * Takes the oldest message that `match` accepts (returns something other than undefined for) and
   * leaves the others in place and order. Resolves with undefined when `after` ms pass first.
   */
  receive(
    match: (message: unknown) => unknown,
    after: number | undefined,
    since: Ref | undefined,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const cursor = since === undefined ? 0 : this.mailbox.indexAfter(Ref.mark(since));
      const receiver: Receiver = { match, resolve, reject, cursor, timer: undefined };
      this.#receiver = receiver;
      // A process that always finds a message must not run on from one promise to the next for
      // ever. A poll is answered at once, whatever the hour.
      if (after !== 0 && this.mailbox.length > cursor && this.node.scheduler.overdue()) this.#enqueue();
      else this.#feedReceiver();
      if (this.#receiver !== receiver || after === undefined || after === Number.POSITIVE_INFINITY) return;
      const expire = (): void => {
        if (this.#receiver !== receiver) return;
        this.#receiver = undefined;
        resolve(undefined);
      };
      if (after === 0) expire();
      else receiver.timer = this.node.timers.after(after, expire);
    });
  }

  get receiving(): boolean {
    return this.#receiver !== undefined;
  }

  #feedReceiver(): void {
    const receiver = this.#receiver;
    if (receiver === undefined) return;
    while (receiver.cursor < this.mailbox.length) {
      let value: unknown;
      try {
        value = receiver.match(this.mailbox.at(receiver.cursor));
      } catch (error) {
        this.#endReceive(receiver);
        receiver.reject(error);
        return;
      }
      if (value !== undefined) {
        this.mailbox.remove(receiver.cursor);
        this.#endReceive(receiver);
        receiver.resolve(value);
        return;
      }
      receiver.cursor += 1;
    }
  }

  #endReceive(receiver: Receiver): void {
    this.#receiver = undefined;
    if (receiver.timer !== undefined) this.node.timers.cancel(receiver.timer);
  }

  // ---------------------------------------------------------------- signals from others (Target)

  message(_to: Pid, message: unknown): void {
    this.mailbox.push(message);
    if (this.mailbox.length > this.#queueLimit) this.#checkQueue();
    if (!this.#queued && (!this.#suspended || this.#receiver !== undefined)) this.#enqueue();
  }

  /** The truth table of exit signals. */
  exitSignal(_to: Pid, from: Pid, reason: ExitReason, viaLink: boolean): void {
    if (!this.alive) return;
    if (viaLink) {
      const key = this.node.keyOf(from);
      if (!this.links?.delete(key)) return;
    } else if (reason === "kill") {
      this.terminate("killed");
      return;
    }
    if (this.trapsExits) this.message(this.pid, ["EXIT", from, reason]);
    else if (reason !== "normal" || (!viaLink && from === this.pid)) this.terminate(reason);
  }

  link(_to: Pid, from: Pid): void {
    this.links ??= new SmallMap();
    this.links.set(this.node.keyOf(from), from);
  }

  unlink(_to: Pid, from: Pid): void {
    this.links?.delete(this.node.keyOf(from));
  }

  monitor(_to: Pid, ref: Ref, watcher: Watcher): void {
    this.watchers ??= new SmallMap();
    this.watchers.set(this.node.keyOf(ref), { ref, watcher });
  }

  demonitor(_to: Pid, ref: Ref): void {
    this.watchers?.delete(this.node.keyOf(ref));
  }

  // ---------------------------------------------------------------- own operations

  /** Sends a message from inside this thread, with the isolation of the node. */
  static deliver(node: RuntimeNode, to: Pid, message: unknown): void {
    const target = Pid.target(to);
    target.message(to, target instanceof Process ? isolate(node.isolation, message) : message);
  }

  linkTo(pid: Pid): void {
    if (pid.equals(this.pid)) return;
    const key = this.node.keyOf(pid);
    this.links ??= new SmallMap();
    if (this.links.has(key)) return;
    this.links.set(key, pid);
    Pid.target(pid).link(pid, this.pid);
  }

  unlinkFrom(pid: Pid): void {
    if (this.links?.delete(this.node.keyOf(pid))) Pid.target(pid).unlink(pid, this.pid);
  }

  /** Adds a monitor, which is notified once. */
  watch(monitor: Monitor): void {
    const { ref, to, target } = monitor;
    this.monitors ??= new SmallMap();
    this.monitors.set(ref.id, monitor);
    target.monitor(to, ref, monitor);
  }

  /** Ends the monitor `ref` of this process. False when it has fired or never was. */
  unwatch(ref: Ref): boolean {
    const monitor = this.monitors?.get(ref.id);
    if (monitor === undefined) return false;
    this.monitors?.delete(ref.id);
    monitor.target.demonitor(monitor.to, ref);
    return true;
  }

  /** Runs `cleanup` when the process exits, before links and monitors. Returns how to remove it. */
  onExit(cleanup: Cleanup): () => void {
    this.#cleanups ??= new SmallMap();
    this.#cleanups.set(cleanup, cleanup);
    return () => {
      this.#cleanups?.delete(cleanup);
      // Most processes live on without any.
      if (this.#cleanups?.size === 0) this.#cleanups = undefined;
    };
  }

  // ---------------------------------------------------------------- the end

  /** Ends the process because its code threw. */
  crash(thrown: unknown): void {
    if (this.alive) this.terminate(reasonOfThrow(thrown));
    else if (!(thrown instanceof ExitSignal)) this.node.errorAfterExit(this, thrown);
  }

  /** Ends the process now, whatever it is doing. Resources first, then links, then monitors. */
  terminate(reason: ExitReason): void {
    if (!this.alive) return;
    this.alive = false;
    this.exitReason = reason;
    const queueLength = this.mailbox.length;
    this.mailbox.clear();
    this.#behaviour = undefined;
    this.#body = undefined;
    const receiver = this.#receiver;
    if (receiver !== undefined) this.#endReceive(receiver);
    Pid.retarget(this.pid, DEAD);
    this.node.release(this);
    if (this.timers !== undefined) {
      for (const id of this.timers) this.node.cancelMessageTimer(id);
      this.timers = undefined;
    }
    if (this.aliases !== undefined) {
      for (const ref of this.aliases.values()) this.node.dropAlias(ref);
      this.aliases = undefined;
    }
    if (this.monitors !== undefined) {
      for (const { ref, to, target } of this.monitors.values()) target.demonitor(to, ref);
      this.monitors = undefined;
    }
    if (this.#cleanups !== undefined) {
      const cleanups = this.#cleanups;
      this.#cleanups = undefined;
      // Not as the dying process, for which every operation is closed.
      outside(() => {
        for (const cleanup of cleanups.values()) this.node.guard(() => cleanup(reason));
      });
    }
    if (!this.silent && reason !== "killed" && !isNormalClass(reason)) {
      this.node.report({
        kind: "crash",
        pid: this.pid,
        name: this.name,
        label: this.label,
        initialCall: this.initialCall,
        ancestors: this.ancestors,
        reason,
        queueLength,
      });
    }
    this.node.notifyExit(this);
    const abort = this.#abort;
    if (abort !== undefined) this.node.guard(() => abort.abort(new ExitSignal(reason)));
  }

  /**
   * Tells links, then watchers. Called by the node, one dead process after another, never nested.
   */
  tell(): void {
    const { links, watchers, exitReason } = this;
    this.links = undefined;
    this.watchers = undefined;
    if (links !== undefined) {
      for (const pid of links.values()) Pid.target(pid).exitSignal(pid, this.pid, exitReason, true);
    }
    if (watchers !== undefined) {
      for (const { ref, watcher } of watchers.values()) watcher.down(ref, exitReason);
    }
  }
}
