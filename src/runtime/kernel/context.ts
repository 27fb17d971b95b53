/**
 * The running process: `self()` and everything built on it.
 *
 * The current process is kept in an AsyncLocalStorage that is entered once per slice, so it is
 * right after every await of a handler too, and it names the owner of a promise that is not
 * awaited.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { NotAProcess, ProcessExited } from "./errors.js";
import type { RuntimeNode } from "./node.js";
import type { Pid } from "./pid.js";
import type { Process } from "./process.js";

export const context = new AsyncLocalStorage<Process>();

/** The running process. Throws outside a process, and for code that outlived its process. */
export function current(operation: string): Process {
  const process = context.getStore();
  if (process === undefined) throw new NotAProcess(operation);
  if (!process.alive) throw new ProcessExited(process.pid);
  return process;
}

/** The running process, or undefined outside of any. Throws for code that outlived its process. */
export function currentIfAny(): Process | undefined {
  const process = context.getStore();
  if (process !== undefined && !process.alive) throw new ProcessExited(process.pid);
  return process;
}

/** The pid of the running process (OTP: `self/0`). Throws `NotAProcess` outside. */
export function self(): Pid {
  return current("self()").pid;
}

/** The node the running process belongs to. Throws `NotAProcess` outside. */
export function thisNode(): RuntimeNode {
  return current("thisNode()").node;
}

/**
 * Runs `fn` outside of any process: for callbacks of sockets and servers, which Node runs in the
 * async context that called `listen`. Without this, an error would be attributed to that process.
 */
export function outside<T>(fn: () => T): T {
  return context.run(undefined as never, fn);
}
