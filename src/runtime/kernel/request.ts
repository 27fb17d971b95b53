/**
 * One open request: the caller's side of `GenServer.call` and of every other question between
 * processes.
 *
 * A request is a monitor and an alias under one ref. The answer goes straight to the waiting
 * promise, not through the caller's mailbox, so a full mailbox does not slow a call down; when the
 * answer, the end of the server or the timeout has settled it, nothing of it is left, and a late
 * answer finds no alias and is dropped.
 */
import { ExitSignal } from "./errors.js";
import type { ExitReason } from "./exit-reason.js";
import type { NodeConnection } from "./node.js";
import { type AliasHome, Pid, Ref } from "./pid.js";
import type { Monitor, Process } from "./process.js";
import { DEAD, type Target } from "./signal.js";
import { SmallMap } from "./small-map.js";
import { Timer } from "./timer-queue.js";

/**
 * Whom an answer goes to (OTP: `From`). Opaque; may be kept and answered later, from any process.
 */
export class From {
  readonly pid: Pid;
  readonly tag: Ref;

  constructor(pid: Pid, tag: Ref) {
    this.pid = pid;
    this.tag = tag;
  }
}

/** What is asked. */
export interface Question {
  /** What the server is sent. */
  message(from: From): unknown;
  /** The exit reason of a caller that gets no answer from thread `node`. */
  failure(reason: ExitReason, node: number): ExitReason;
}

/** The usual reason: why, and what was asked. */
export const exitReasonFor = (reason: ExitReason, node: number, asked: unknown): ExitReason => [
  reason === "noconnection" ? ["nodedown", node] : reason,
  asked,
];

export class Request extends Timer implements AliasHome, Monitor {
  readonly ref: Ref;
  readonly to: Pid;
  readonly target: Target;
  readonly #caller: Process;
  readonly #question: Question;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: ExitSignal) => void;
  #open = true;
  #exported = false;

  private constructor(
    caller: Process,
    to: Pid,
    target: Target,
    question: Question,
    resolve: (value: unknown) => void,
    reject: (error: ExitSignal) => void,
  ) {
    super();
    this.ref = caller.node.newRef(this);
    this.to = to;
    this.target = target;
    this.#caller = caller;
    this.#question = question;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Sends a request and resolves with the answer; rejects with an `ExitSignal`. */
  static send(caller: Process, to: Pid, question: Question, timeout: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const target = Pid.target(to);
      const request = new Request(caller, to, target, question, resolve, reject);
      caller.watch(request);
      if (request.#begin(timeout)) target.message(to, question.message(new From(caller.pid, request.ref)));
    });
  }

  /**
   * @internal As `send`, for a server named on the thread that `connection` leads to; `post` sends
   * it the message.
   */
  static sendNamed(
    caller: Process,
    connection: NodeConnection,
    name: string,
    question: Question,
    timeout: number,
    post: (message: unknown) => void = (message) => connection.messageNamed(name, message),
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // Of the far process only its thread is known.
      const to = new Pid(connection.index, connection.creation, 0, DEAD);
      const request = new Request(caller, to, connection, question, resolve, reject);
      caller.monitors ??= new SmallMap();
      caller.monitors.set(request.ref.id, request);
      connection.monitorNamed(name, request.ref, request);
      if (request.#begin(timeout)) post(question.message(new From(caller.pid, request.ref)));
    });
  }

  /** False when the server was gone already. */
  #begin(timeout: number): boolean {
    if (this.#open && timeout !== Number.POSITIVE_INFINITY) this.#caller.node.timers.start(this, timeout);
    return this.#open;
  }

  /** The answer. */
  aliasMessage(_ref: Ref, message: unknown): void {
    if (!this.#close()) return;
    this.#caller.unwatch(this.ref);
    this.#resolve(message);
  }

  exported(ref: Ref): void {
    if (this.#exported || !this.#open) return;
    this.#exported = true;
    this.#caller.node.setAlias(ref, { aliasMessage: (message) => this.aliasMessage(ref, message) });
  }

  down(_ref: Ref, reason: ExitReason): void {
    this.#caller.monitors?.delete(this.ref.id);
    this.#fail(reason);
  }

  fire(): void {
    this.#caller.unwatch(this.ref);
    this.#fail("timeout");
  }

  #fail(reason: ExitReason): void {
    if (this.#close()) this.#reject(new ExitSignal(this.#question.failure(reason, this.to.node)));
  }

  /** Whether a process waits for the answer. */
  #close(): boolean {
    if (!this.#open) return false;
    this.#open = false;
    const { node, alive } = this.#caller;
    node.timers.cancel(this);
    if (this.#exported) node.dropAlias(this.ref);
    // A caller that retains the ref retains nothing of the request.
    Ref.moveHome(this.ref, node);
    return alive;
  }
}
