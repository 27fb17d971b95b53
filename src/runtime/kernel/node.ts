/**
 * One runtime instance: the process table, the name table, timers and the scheduler of one thread
 * (OTP: a node).
 *
 * Nothing here is global: a thread may hold several nodes, as the simulator does. Code inside a
 * process finds its node through the process; code outside uses the methods here.
 */

import { type Clock, systemClock } from "./clock.js";
import { context, currentIfAny } from "./context.js";
import { BadArg, ExitSignal, ProcessExited, RuntimeBug } from "./errors.js";
import type { ExitReason } from "./exit-reason.js";
import { defaultIsolation, type Isolation } from "./isolation.js";
import { type AliasHome, identityKey, Pid, Ref } from "./pid.js";
import { Process } from "./process.js";
import { ReportLimiter } from "./report-limiter.js";
import { type LogLevel, logToStderr, type Report, reportLevel } from "./reports.js";
import { type RunQueue, Scheduler, type SchedulerOptions } from "./scheduler.js";
import { show } from "./show.js";
import { DEAD, type Target, type Watcher } from "./signal.js";
import { type Timer, TimerQueue } from "./timer-queue.js";
import { truncate } from "./truncate.js";
import { attributeUnhandledErrors, failThread } from "./unhandled-errors.js";

export interface NodeOptions extends Partial<SchedulerOptions> {
  /** Index of the thread; 0 is the main one. Default 0. */
  readonly index?: number;
  /** Incarnation of that thread; raised each time it is replaced. Default 0. */
  readonly creation?: number;
  /** How messages inside the thread are kept apart. Default `freeze`, in production `none`. */
  readonly isolation?: Isolation;
  readonly clock?: Clock;
  /**
   * Makes the queue that decides who runs next. Default: the thread's own; a simulation gives
   * another.
   */
  readonly runQueue?: (options: SchedulerOptions, onBug: (error: unknown) => void) => RunQueue;
  /** Takes crash, supervisor and other reports. Default: warnings and errors go to stderr. */
  readonly onReport?: (report: Report) => void;
  /**
   * Reports of any kind below this level are not made. Default "debug" with `onReport`, "warning"
   * without.
   */
  readonly reportLevel?: LogLevel;
  /** Notices below this level are not made. Default "info". */
  readonly logLevel?: LogLevel;
  /** Reports of one kind let through in one second; the others are counted. Default 200. */
  readonly reportsPerSecond?: number;
  /**
   * What to do with an error that no process owns: report it, or let it crash the thread. Default
   * `log`.
   */
  readonly onOrphanError?: "log" | "crash";
}

/** The connection to another thread: what is known of the node at its far end. */
export interface NodeConnection extends Target, AliasHome {
  readonly index: number;
  readonly creation: number;
  /** Sends to a name registered over there; silently dropped when there is none. */
  messageNamed(name: string, message: unknown): void;
  monitorNamed(name: string, ref: Ref, watcher: Watcher): void;
  /**
   * A message lifted off its buffers, and how to take them from the sender once it is sure that it
   * can be sent.
   */
  messageMoving(to: Pid, message: unknown, detach: () => readonly ArrayBuffer[]): void;
  /** A message of the runtime itself, to the root process of the thread. */
  control(message: readonly unknown[]): void;
  stats(): ConnectionStats;
  /** Whether who sends now is held back. */
  readonly congested: boolean;
}

export interface ConnectionStats {
  readonly node: number;
  readonly signalsOut: number;
  readonly signalsIn: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
  /** Sent and not yet handled over there. */
  readonly outstandingBytes: number;
  /** Processes that wait for the connection to clear. */
  readonly heldProcesses: number;
}

/** Who takes what is sent to an alias. */
export interface AliasEntry {
  aliasMessage(message: unknown): void;
}

export class RuntimeNode implements AliasHome {
  readonly index: number;
  readonly creation: number;
  readonly isolation: Isolation;
  readonly clock: Clock;
  readonly scheduler: RunQueue;
  readonly timers: TimerQueue;
  /** Timers that will send a message, by the id of their ref. */
  readonly messageTimers = new Map<number, { readonly timer: Timer; readonly owner: Process | undefined }>();
  readonly onOrphanError: "log" | "crash";
  /** The sender of signals that come from outside any process. */
  readonly outside: Pid;
  readonly #processes = new Map<number, Process>();
  readonly #names = new Map<string, Process>();
  readonly #aliases = new Map<number, AliasEntry>();
  readonly #connections = new Map<number, NodeConnection>();
  readonly #connectionListeners = new Set<(connection: NodeConnection) => void>();
  readonly logLevel: LogLevel;
  readonly reportLevel: LogLevel;
  readonly #reports: ReportLimiter;
  readonly #reportListeners = new Set<(report: Report) => void>();
  readonly #releaseOrphans: () => void;
  #nextId = 1;
  #nextRef = 1;
  #telling = false;
  readonly #dying: Process[] = [];
  #stopped = false;

  constructor(options: NodeOptions = {}) {
    this.index = options.index ?? 0;
    this.creation = options.creation ?? 0;
    this.isolation = options.isolation ?? defaultIsolation();
    this.clock = options.clock ?? systemClock;
    this.onOrphanError = options.onOrphanError ?? "log";
    this.logLevel = options.logLevel ?? "info";
    this.reportLevel = options.reportLevel ?? (options.onReport === undefined ? "warning" : "debug");
    const onReport = options.onReport ?? logToStderr;
    this.#reports = new ReportLimiter(this.clock, options.reportsPerSecond ?? 200, (report) => {
      try {
        onReport(report);
      } catch {
        // A log sink must never take a process down.
      }
    });
    this.timers = new TimerQueue(this.clock, this.bug);
    const runQueue = options.runQueue ?? ((schedule, onBug) => new Scheduler(schedule, onBug));
    this.scheduler = runQueue(
      {
        turnsPerSlice: options.turnsPerSlice ?? 64,
        sliceMs: options.sliceMs ?? 2,
        loopMs: options.loopMs ?? 8,
        longTurnMs: options.longTurnMs ?? 50,
      },
      this.bug,
    );
    this.outside = new Pid(this.index, this.creation, 0, DEAD);
    this.#releaseOrphans = attributeUnhandledErrors(this);
  }

  // ---------------------------------------------------------------- starting processes

  /**
   * Starts a process that runs `fn` and ends when it is done. Never throws because of what `fn`
   * does.
   */
  spawn(fn: () => unknown): Pid {
    return this.create(fn, fn.name || "fn", undefined).pid;
  }

  /** @internal Creates and schedules a process. */
  create(body: () => unknown, initialCall: string, parent: Process | undefined): Process {
    if (this.#stopped) throw new BadArg("the node has been stopped");
    const process = new Process(this, this.#nextId, body, initialCall, parent?.lineage ?? NO_ANCESTORS);
    this.#nextId += 1;
    this.#processes.set(process.pid.id, process);
    process.start();
    return process;
  }

  /**
   * Runs `fn` as a fresh process and gives its result: the way in for code outside of any process,
   * such as an HTTP handler. Rejects with what `fn` throws, or with an `ExitSignal` when the
   * process is killed from outside.
   */
  run<T>(fn: () => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let done = false;
      const process = this.create(
        async () => {
          try {
            resolve(await fn());
            done = true;
          } catch (error) {
            done = true;
            reject(error as Error);
            throw error;
          }
        },
        fn.name || "run",
        undefined,
      );
      process.silent = true;
      process.onExit((reason) => {
        if (!done) reject(new ExitSignal(reason));
      });
    });
  }

  /**
   * Adopts the current async context as a process: for tests and REPLs. It lives until the node
   * stops.
   */
  enter(): Pid {
    const process = this.create(() => new Promise(() => {}), "enter", undefined);
    context.enterWith(process);
    return process.pid;
  }

  /**
   * A pid whose messages are handled at once, at delivery, in signal order and without a mailbox:
   * the edge to the outside world (OTP: a port). `handle` must not throw; what it throws is
   * reported and dropped.
   */
  openSink(handle: (message: unknown) => void): Pid {
    const process = this.create(() => new Promise(() => {}), "sink", undefined);
    process.message = (_to, message) => {
      try {
        handle(message);
      } catch (error) {
        this.report({ kind: "orphan_error", error, pid: process.pid });
      }
    };
    return process.pid;
  }

  // ---------------------------------------------------------------- lookups

  process(pid: Pid): Process | undefined {
    const target = Pid.target(pid);
    return target instanceof Process ? target : undefined;
  }

  processById(id: number): Process | undefined {
    return this.#processes.get(id);
  }

  processes(): IterableIterator<Process> {
    return this.#processes.values();
  }

  get processCount(): number {
    return this.#processes.size;
  }

  /**
   * The key under which maps of this node keep an identity: the bare id for its own, text for
   * others.
   */
  keyOf(identity: Pid | Ref): number | string {
    return identity.node === this.index && identity.creation === this.creation
      ? identity.id
      : identityKey(identity);
  }

  isLocal(identity: Pid | Ref): boolean {
    return identity.node === this.index && identity.creation === this.creation;
  }

  // ---------------------------------------------------------------- names

  register(name: string, process: Process): void {
    if (typeof name !== "string" || name === "" || name === "undefined")
      throw new BadArg(`badarg: ${show(name)} cannot be a process name`);
    const holder = this.#names.get(name);
    if (holder !== undefined) throw new BadArg(`badarg: the name ${name} is taken by ${holder.pid}`);
    if (process.name !== undefined)
      throw new BadArg(`badarg: ${process.pid} is already registered as ${process.name}`);
    if (!process.alive) throw new BadArg(`badarg: ${process.pid} is not alive`);
    process.name = name;
    this.#names.set(name, process);
  }

  unregister(name: string): void {
    const holder = this.#names.get(name);
    if (holder === undefined) throw new BadArg(`badarg: no process is registered as ${name}`);
    holder.name = undefined;
    this.#names.delete(name);
  }

  whereis(name: string): Pid | undefined {
    return this.#names.get(name)?.pid;
  }

  registered(): string[] {
    return [...this.#names.keys()];
  }

  // ---------------------------------------------------------------- references and aliases

  newRef(home: AliasHome = this): Ref {
    const ref = new Ref(this.index, this.creation, this.#nextRef, home);
    this.#nextRef += 1;
    return ref;
  }

  setAlias(ref: Ref, entry: AliasEntry): void {
    this.#aliases.set(ref.id, entry);
  }

  aliasEntry(ref: Ref): AliasEntry | undefined {
    return this.#aliases.get(ref.id);
  }

  dropAlias(ref: Ref): boolean {
    return this.#aliases.delete(ref.id);
  }

  aliasMessage(ref: Ref, message: unknown): void {
    this.#aliases.get(ref.id)?.aliasMessage(message);
  }

  /** @internal */
  cancelMessageTimer(id: number): void {
    const entry = this.messageTimers.get(id);
    if (entry === undefined) return;
    this.messageTimers.delete(id);
    this.timers.cancel(entry.timer);
    entry.owner?.timers?.delete(id);
  }

  /** @internal A message for the alias with this id, from another thread. */
  aliasMessageById(id: number, message: unknown): void {
    this.#aliases.get(id)?.aliasMessage(message);
  }

  // ---------------------------------------------------------------- other threads

  connection(index: number): NodeConnection | undefined {
    return this.#connections.get(index);
  }

  addConnection(connection: NodeConnection): void {
    this.#connections.set(connection.index, connection);
  }

  removeConnection(connection: NodeConnection): void {
    if (this.#connections.get(connection.index) === connection) this.#connections.delete(connection.index);
    for (const listener of this.#connectionListeners) this.guard(() => listener(connection));
  }

  /**
   * Calls `listener` each time the connection to another thread has ended. Returns how to take it
   * back.
   */
  onNodeDown(
    listener: (connection: { readonly index: number; readonly creation: number }) => void,
  ): () => void {
    this.#connectionListeners.add(listener);
    return () => {
      this.#connectionListeners.delete(listener);
    };
  }

  /** @internal The ref with this id that was made at the far end of `connection`. */
  remoteRef(connection: NodeConnection, id: number): Ref {
    return new Ref(connection.index, connection.creation, id, connection);
  }

  connections(): IterableIterator<NodeConnection> {
    return this.#connections.values();
  }

  // ---------------------------------------------------------------- the end of processes

  /** @internal Removes a dying process from the tables, before links and monitors are notified. */
  release(process: Process): void {
    this.#processes.delete(process.pid.id);
    if (process.name !== undefined) this.#names.delete(process.name);
  }

  /**
   * @internal Tells links and watchers of a dead process; deaths that follow from it wait for their
   * turn.
   */
  notifyExit(process: Process): void {
    this.#dying.push(process);
    if (this.#telling) return;
    this.#telling = true;
    for (let next = this.#dying.shift(); next !== undefined; next = this.#dying.shift()) next.tell();
    this.#telling = false;
  }

  /** @internal A continuation failed after its process was gone. */
  errorAfterExit(process: Process, error: unknown): void {
    if (error instanceof ProcessExited) return;
    this.report({
      kind: "notice",
      level: "warning",
      text: "an error was thrown by code that outlived its process",
      pid: process.pid,
      metadata: { error },
    });
  }

  // ---------------------------------------------------------------- reports

  /** Whether notices of this level are logged; a caller can skip the work otherwise. */
  isLevelEnabled(level: LogLevel): boolean {
    return LEVELS[level] >= LEVELS[this.logLevel] && this.hasListener(level);
  }

  /** Whether reports of this level have a listener; a caller can skip the work otherwise. */
  hasListener(level: LogLevel): boolean {
    return LEVELS[level] >= LEVELS[this.reportLevel] || this.#reportListeners.size > 0;
  }

  /** Hands a report to the sink, cut to a size that can be logged. Never throws. */
  report(report: Report): void {
    if (
      report.kind === "notice" ? !this.isLevelEnabled(report.level) : !this.hasListener(reportLevel(report))
    )
      return;
    // A report without a listener is not copied.
    if (this.#reportListeners.size === 0 && !this.#reports.admits(report)) return;
    const cut = truncate(report) as Report;
    for (const listener of this.#reportListeners) {
      try {
        listener(cut);
      } catch {
        // As above.
      }
    }
    this.#reports.report(cut);
  }

  /**
   * @internal Calls `listener` with every report, before the limiter. Returns how to take it back.
   */
  onEachReport(listener: (report: Report) => void): () => void {
    this.#reportListeners.add(listener);
    return () => {
      this.#reportListeners.delete(listener);
    };
  }

  /** Reports left out because they came too fast. */
  get suppressedReports(): number {
    return this.#reports.suppressed;
  }

  /**
   * @internal The runtime itself threw. Nothing it says can be relied on any more: the thread ends.
   */
  readonly bug = (error: unknown): void => {
    this.report({ kind: "runtime_bug", error });
    this.#reports.flush();
    failThread(new RuntimeBug(error));
  };

  /**
   * @internal Runs the runtime's own code where a throw would be attributed to a process.
   */
  own(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.bug(error);
    }
  }

  /** @internal Runs runtime bookkeeping that calls foreign code. */
  guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.report({ kind: "orphan_error", error, pid: undefined });
    }
  }

  /** Kills every process and releases timers and process-wide listeners. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const process of [...this.#processes.values()]) process.terminate("killed");
    this.timers.clear();
    this.#reports.flush();
    this.#releaseOrphans();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  // ---------------------------------------------------------------- for code outside of processes

  /** Sends an exit signal from outside; from inside a process use `exit(pid, reason)`. */
  exit(pid: Pid, reason: ExitReason): void {
    Pid.target(pid).exitSignal(pid, currentIfAny()?.pid ?? this.outside, reason, false);
  }
}

const LEVELS: Record<LogLevel, number> = { debug: 0, info: 1, warning: 2, error: 3 };

const NO_ANCESTORS: readonly Pid[] = Object.freeze([]);

/** Creates a runtime instance. Stop it with `stop()`. */
export function createNode(options: NodeOptions = {}): RuntimeNode {
  return new RuntimeNode(options);
}
