/**
 * Signals: everything one process can do to another (OTP reference manual, "Signals").
 *
 * A `Target` is where signals to a pid go: a local process, a sink, another thread, or `DEAD`. All
 * signals from one process to another arrive in the order sent, whatever their kind: locally
 * because they are function calls, between threads because they share one port.
 */
import type { ExitReason } from "./exit-reason.js";
import { Pid, type Ref } from "./pid.js";

/** The process that has asked for a monitor, and is notified of the exit. */
export interface Watcher {
  down(ref: Ref, reason: ExitReason): void;
}

export interface Target {
  readonly alive: boolean;
  /** Puts a message at the tail of the mailbox. */
  message(to: Pid, message: unknown): void;
  /** An exit signal: sent by `exit(pid, reason)`, or over a link when `viaLink`. */
  exitSignal(to: Pid, from: Pid, reason: ExitReason, viaLink: boolean): void;
  link(to: Pid, from: Pid): void;
  unlink(to: Pid, from: Pid): void;
  monitor(to: Pid, ref: Ref, watcher: Watcher): void;
  demonitor(to: Pid, ref: Ref): void;
}

/** Messages of this thread whose receiver did not exist. */
export const dropped = { messages: 0 };

/** The target of every pid whose process has ended. */
export const DEAD: Target = {
  alive: false,
  message() {
    dropped.messages += 1;
  },
  exitSignal() {},
  link(to, from) {
    Pid.target(from).exitSignal(from, to, "noproc", true);
  },
  unlink() {},
  monitor(_to, ref, watcher) {
    watcher.down(ref, "noproc");
  },
  demonitor() {},
};
