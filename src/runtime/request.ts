/**
 * One open request: the caller's side of `GenServer.call` and of every other question between processes.
 *
 * A request is a monitor and an alias under one ref. The answer goes straight to the waiting promise, not
 * through the caller's mailbox, so a full mailbox does not slow a call down; when the answer, the end of the server
 * or the timeout has settled it, nothing of it is left, and a late answer finds no alias and is dropped.
 */
import { ExitSignal } from "./errors.js";
import type { ExitReason } from "./exit-reason.js";
import type { AliasEntry, Road } from "./node.js";
import type { Pid, Ref } from "./pid.js";
import type { Monitor, Process } from "./process.js";
import type { Target } from "./signal.js";
import { SmallMap } from "./small-map.js";
import type { Timer } from "./timers.js";

/** Whom an answer goes to (OTP: `From`). Opaque; may be kept and answered later, from any process. */
export class From {
  readonly pid: Pid;
  readonly tag: Ref;

  constructor(pid: Pid, tag: Ref) {
    this.pid = pid;
    this.tag = tag;
  }
}

/** Makes the exit reason of a failed request out of why it failed. */
export type Explain = (reason: ExitReason) => ExitReason;

export class Request implements AliasEntry, Monitor {
  readonly ref: Ref;
  readonly to: Pid;
  readonly target: Target;
  readonly #caller: Process;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: ExitSignal) => void;
  readonly #explain: Explain;
  #timer: Timer | undefined;

  private constructor(
    caller: Process,
    to: Pid,
    target: Target,
    resolve: (value: unknown) => void,
    reject: (error: ExitSignal) => void,
    explain: Explain,
  ) {
    this.ref = caller.node.newRef();
    this.to = to;
    this.target = target;
    this.#caller = caller;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#explain = explain;
  }

  /**
   * Sends a request and resolves with the answer; rejects with an `ExitSignal`. `open` asks the server to be watched
   * and sends it the request.
   */
  static send(
    caller: Process,
    to: Pid,
    target: Target,
    timeout: number,
    explain: Explain,
    open: (from: From) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request = new Request(caller, to, target, resolve, reject, explain);
      caller.node.setAlias(request.ref, request);
      caller.watch(request);
      // Not when the server was gone already.
      if (caller.monitors?.has(request.ref.id) === true) request.#open(timeout, open);
    });
  }

  /** @internal As `send`, for a server named on the thread that `road` leads to. */
  static sendNamed(
    caller: Process,
    road: Road,
    name: string,
    timeout: number,
    explain: Explain,
    open: (from: From) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request = new Request(caller, caller.node.outside, road, resolve, reject, explain);
      caller.node.setAlias(request.ref, request);
      caller.monitors ??= new SmallMap();
      road.monitorNamed(name, request.ref, request);
      caller.monitors.set(request.ref.id, request);
      request.#open(timeout, open);
    });
  }

  #open(timeout: number, open: (from: From) => void): void {
    if (timeout !== Number.POSITIVE_INFINITY) {
      this.#timer = this.#caller.node.timers.after(timeout, () => this.#fail("timeout"));
    }
    open(new From(this.#caller.pid, this.ref));
  }

  aliasMessage(message: unknown): void {
    if (!this.#close()) return;
    this.#caller.unwatch(this.ref);
    this.#resolve(message);
  }

  down(_ref: Ref, reason: ExitReason): void {
    this.#caller.monitors?.delete(this.ref.id);
    if (this.#close()) this.#reject(new ExitSignal(this.#explain(reason)));
  }

  #fail(reason: ExitReason): void {
    this.#caller.unwatch(this.ref);
    if (this.#close()) this.#reject(new ExitSignal(this.#explain(reason)));
  }

  #close(): boolean {
    const { node } = this.#caller;
    if (this.#timer !== undefined) node.timers.cancel(this.#timer);
    return node.dropAlias(this.ref) && this.#caller.alive;
  }
}
