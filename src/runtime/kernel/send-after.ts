/**
 * Timers that send messages (OTP: `erlang:send_after/3` and friends). An expiry enters through the
 * mailbox and never runs user code directly.
 */

import { checkDelay } from "./bifs.js";
import { current } from "./context.js";
import { BadArg } from "./errors.js";
import { Pid, type Ref } from "./pid.js";
import { Process } from "./process.js";

export interface TimerOptions {
  /** Take `ms` as a point of the node's monotonic clock rather than a duration. */
  readonly abs?: boolean;
}

/** Sends `message` to `dest` after `ms`. A name is looked up at expiry; absent, nothing happens. */
export function sendAfter(dest: Pid | string, message: unknown, ms: number, options: TimerOptions = {}): Ref {
  return arm("sendAfter()", dest, ms, options, () => message);
}

/** As `sendAfter`, but delivers `["timeout", ref, message]`. */
export function startTimer(
  dest: Pid | string,
  message: unknown,
  ms: number,
  options: TimerOptions = {},
): Ref {
  return arm("startTimer()", dest, ms, options, (ref) => ["timeout", ref, message]);
}

function arm(
  operation: string,
  dest: Pid | string,
  ms: number,
  options: TimerOptions,
  make: (ref: Ref) => unknown,
): Ref {
  const { node } = current(operation);
  if (!options.abs) checkDelay(ms, "the time");
  if (!(dest instanceof Pid) && typeof dest !== "string")
    throw new BadArg(`badarg: ${operation} takes a local pid or a name`);
  if (dest instanceof Pid && !node.isLocal(dest))
    throw new BadArg(`badarg: ${operation} takes a pid of this thread; ${dest} lives on another`);
  const ref = node.newRef();
  if (ms === Number.POSITIVE_INFINITY) return ref;
  const owner = dest instanceof Pid ? node.process(dest) : undefined;
  if (dest instanceof Pid && owner === undefined) return ref;
  const fire = (): void => {
    node.messageTimers.delete(ref.id);
    owner?.timers?.delete(ref.id);
    const pid = typeof dest === "string" ? node.whereis(dest) : dest;
    if (pid !== undefined) Process.deliver(node, pid, make(ref));
  };
  const timer = options.abs ? node.timers.at(ms, fire) : node.timers.after(ms, fire);
  node.messageTimers.set(ref.id, { timer, owner });
  if (owner !== undefined) {
    owner.timers ??= new Set();
    owner.timers.add(ref.id);
  }
  return ref;
}

/**
 * Cancels a timer. The remaining ms, or false when it has expired, was cancelled or is unknown;
 * false does not say that the message was handled: it may be in the mailbox. `async` returns true
 * at once and sends `["cancel_timer", ref, result]`; `info: false` sends nothing.
 */
export function cancelTimer(
  ref: Ref,
  options: { readonly async?: boolean; readonly info?: boolean } = {},
): number | boolean {
  const process = current("cancelTimer()");
  const { node } = process;
  const entry = node.messageTimers.get(ref.id);
  const result = entry === undefined ? false : node.timers.remaining(entry.timer);
  node.cancelMessageTimer(ref.id);
  if (options.async) {
    if (options.info !== false) process.message(process.pid, ["cancel_timer", ref, result]);
    return true;
  }
  return options.info === false ? true : result;
}

/** The remaining ms without cancelling, or false. */
export function readTimer(ref: Ref): number | false {
  const { node } = current("readTimer()");
  const entry = node.messageTimers.get(ref.id);
  return entry === undefined ? false : node.timers.remaining(entry.timer);
}

/**
 * Suspends the running code for `ms` milliseconds; exit signals still act. Accepts more than 2^31
 * ms and Infinity.
 */
export function sleep(ms: number): Promise<void> {
  const { node } = current("sleep()");
  checkDelay(ms, "the time");
  return new Promise((resolve) => {
    if (ms !== Number.POSITIVE_INFINITY) node.timers.after(ms, resolve);
  });
}

/** Lets others run before going on: for loops in long handlers. */
export function yieldNow(): Promise<void> {
  const { scheduler } = current("yieldNow()").node;
  return new Promise((resolve) => scheduler.defer(resolve));
}
