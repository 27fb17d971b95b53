/**
 * One open request: the caller's side of `GenServer.call` and of every other question between processes.
 *
 * A request is a monitor and an alias under one ref. The answer goes straight to the waiting promise, not
 * through the caller's mailbox, so a full mailbox does not slow a call down; when the answer, the end of the server
 * or the timeout has settled it, nothing of it is left, and a late answer finds no alias and is dropped.
 */
import { ExitSignal } from "./errors.js";
import type { ExitReason } from "./exit-reason.js";
import type { AliasEntry } from "./node.js";
import type { Pid, Ref } from "./pid.js";
import type { Process } from "./process.js";
import type { Target, Watcher } from "./signal.js";
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

export class Request implements AliasEntry, Watcher {
  readonly #caller: Process;
  readonly #ref: Ref;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: ExitSignal) => void;
  readonly #explain: Explain;
  #timer: Timer | undefined;

  private constructor(
    caller: Process,
    ref: Ref,
    resolve: (value: unknown) => void,
    reject: (error: ExitSignal) => void,
    explain: Explain,
  ) {
    this.#caller = caller;
    this.#ref = ref;
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
      const { node } = caller;
      const ref = node.newRef();
      const request = new Request(caller, ref, resolve, reject, explain);
      node.setAlias(ref, request);
      caller.watch(to, target, ref, request);
      if (caller.monitors?.has(ref.id) !== true) return; // The server was gone already.
      if (timeout !== Number.POSITIVE_INFINITY) {
        request.#timer = node.timers.after(timeout, () => request.#fail("timeout"));
      }
      open(new From(caller.pid, ref));
    });
  }

  /** @internal As `send`, for a server named on another thread. */
  static sendVia(
    caller: Process,
    watch: (ref: Ref, watcher: Watcher) => Target,
    timeout: number,
    explain: Explain,
    open: (from: From) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { node } = caller;
      const ref = node.newRef();
      const request = new Request(caller, ref, resolve, reject, explain);
      node.setAlias(ref, request);
      caller.monitors ??= new Map();
      const target = watch(ref, request);
      caller.monitors.set(ref.id, { ref, to: node.outside, target });
      if (timeout !== Number.POSITIVE_INFINITY) {
        request.#timer = node.timers.after(timeout, () => request.#fail("timeout"));
      }
      open(new From(caller.pid, ref));
    });
  }

  aliasMessage(message: unknown): void {
    if (!this.#close()) return;
    this.#caller.unwatch(this.#ref);
    this.#resolve(message);
  }

  down(_ref: Ref, reason: ExitReason): void {
    this.#caller.monitors?.delete(this.#ref.id);
    if (this.#close()) this.#reject(new ExitSignal(this.#explain(reason)));
  }

  #fail(reason: ExitReason): void {
    this.#caller.unwatch(this.#ref);
    if (this.#close()) this.#reject(new ExitSignal(this.#explain(reason)));
  }

  #close(): boolean {
    const { node } = this.#caller;
    if (this.#timer !== undefined) node.timers.cancel(this.#timer);
    return node.dropAlias(this.#ref) && this.#caller.alive;
  }
}
