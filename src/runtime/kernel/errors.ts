/**
 * The errors that runtime functions throw at their caller. An `ExitSignal` is not a mistake but
 * OTP's exit class: it ends the process that does not catch it.
 */
import { show } from "./show.js";

/**
 * An exit in flight. Thrown by `exit(reason)` and by a failed `call`; caught, it is cancelled;
 * uncaught, the process ends with exactly `reason` (OTP: the class `exit`).
 */
export class ExitSignal extends Error {
  override readonly name = "ExitSignal";
  readonly reason: unknown;

  constructor(reason: unknown) {
    super(describe(reason));
    this.reason = reason;
  }
}

/** Code that outlived its process called the runtime. Nothing was done. */
export class ProcessExited extends Error {
  override readonly name = "ProcessExited";

  constructor(pid: { toString(): string }) {
    super(`process ${pid} has exited; code that outlives its process can no longer use the runtime`);
  }
}

/** A wrong argument (OTP: badarg). */
export class BadArg extends Error {
  override readonly name = "BadArg";
}

/** An operation that needs an identity was called outside any process. */
export class NotAProcess extends Error {
  override readonly name = "NotAProcess";

  constructor(operation: string) {
    super(
      `not_a_process: ${operation} works only inside a process; use node.run(fn) or node.spawn(fn), or node.enter() in a test`,
    );
  }
}

function describe(reason: unknown): string {
  if (typeof reason === "string") return reason;
  if (reason instanceof Error) return reason.message;
  if (Array.isArray(reason))
    return reason.length > 0 ? `[${describe(reason[0])}${reason.length > 1 ? ", …" : ""}]` : "[]";
  if (typeof reason === "object" && reason !== null) return Object.prototype.toString.call(reason);
  return show(reason);
}

/** The runtime's own code failed. Ends the thread; `cause` is what it threw. */
export class RuntimeBug extends Error {
  override readonly name = "RuntimeBug";

  constructor(cause: unknown) {
    super(`the runtime failed: ${cause instanceof Error ? cause.message : show(cause)}`, { cause });
  }
}
