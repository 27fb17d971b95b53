/**
 * Why a process ended. A reason is plain data and may be any term; some have a meaning of their
 * own.
 *
 * "Normal-class" reasons (`normal`, `shutdown`, `["shutdown", term]`) are planned ends: nothing is
 * logged and a transient child is not restarted. Everything else is a crash.
 */

import { isDeepStrictEqual } from "node:util";
import { ExitSignal } from "./errors.js";
import { show } from "./show.js";

/**
 * `"normal"`, `"shutdown"`, `["shutdown", term]`, `"killed"` (died of an untrappable kill),
 * `"noproc"`, `"noconnection"` (its thread was lost), `"timeout"`, `[error, stack]` for an uncaught
 * error, or any other term.
 */
export type ExitReason = unknown;

export function isNormalClass(reason: ExitReason): boolean {
  return (
    reason === "normal" ||
    reason === "shutdown" ||
    (Array.isArray(reason) && reason.length === 2 && reason[0] === "shutdown")
  );
}

/** The exit reason that an uncaught throw turns into. */
export function reasonOfThrow(thrown: unknown): ExitReason {
  if (thrown instanceof ExitSignal) return thrown.reason;
  if (thrown instanceof Error) return [thrown, thrown.stack ?? show(thrown)];
  return [["nocatch", thrown], new Error("thrown here").stack ?? ""];
}

/** Structural equality of reasons: one that crossed a thread equals the original. */
export const sameReason = (a: ExitReason, b: ExitReason): boolean => isDeepStrictEqual(a, b);
