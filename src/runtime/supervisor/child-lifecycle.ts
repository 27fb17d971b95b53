/**
 * Starting and stopping children: what every kind of supervisor has in common.
 *
 * All of it runs as the supervisor process, within one of its turns: requests that arrive meanwhile
 * wait.
 */

import { type ExitReason, reasonOfThrow } from "../kernel/exit-reason.js";
import { Pid } from "../kernel/pid.js";
import type { Process } from "../kernel/process.js";
import type { Timer } from "../kernel/timer-queue.js";
import type { FullChildSpec, Shutdown } from "./child-spec.js";

export type Started =
  | readonly ["ok", Pid]
  | readonly ["ok", Pid, unknown]
  | "ignore"
  | readonly ["error", ExitReason];

/** Calls a start function. A throw and an unknown value count as errors. */
export async function startChild(
  [fn, args]: FullChildSpec["start"],
  extra: readonly unknown[] = [],
): Promise<Started> {
  let result: unknown;
  try {
    result = await (extra.length === 0 ? fn(...args) : fn(...extra, ...args));
  } catch (thrown) {
    return ["error", reasonOfThrow(thrown)];
  }
  if (result === "ignore") return "ignore";
  if (Array.isArray(result)) {
    if (result[0] === "ok" && result[1] instanceof Pid && result.length <= 3)
      return result as unknown as Started;
    if (result[0] === "error" && result.length === 2) return result as unknown as Started;
  }
  return ["error", result];
}

export interface Stopping {
  readonly pid: Pid;
  readonly shutdown: Shutdown;
}

/**
 * Stops children all at once and waits for the last. A child that overruns its time is killed and
 * waited for without limit. Gives the exit reasons in the same order.
 *
 * The children are watched, because one that unlinked itself must not hang its supervisor; the
 * links stay until they have ended, so that a kill of the supervisor still reaches them. An `EXIT`
 * in the mailbox tells the reason better than the monitor, which finds a dead child to be `noproc`.
 */
export async function stopChildren(owner: Process, children: readonly Stopping[]): Promise<ExitReason[]> {
  const reasons = await Promise.all(children.map((child) => stopped(owner, child)));
  const { node } = owner;
  const indexes = new Map(children.map(({ pid }, index) => [node.keyOf(pid), index]));
  owner.mailbox.removeWhere((message) => {
    if (!Array.isArray(message) || message[0] !== "EXIT" || !(message[1] instanceof Pid)) return false;
    const index = indexes.get(node.keyOf(message[1]));
    if (index === undefined) return false;
    reasons[index] = message[2];
    return true;
  });
  for (const { pid } of children) owner.unlinkFrom(pid);
  return reasons;
}

function stopped(owner: Process, { pid, shutdown }: Stopping): Promise<ExitReason> {
  const { node } = owner;
  return new Promise((resolve) => {
    let timer: Timer | undefined;
    let ended = false;
    const signal = (reason: ExitReason): void => Pid.target(pid).exitSignal(pid, owner.pid, reason, false);
    const ref = node.newRef();
    owner.watch({
      ref,
      to: pid,
      target: Pid.target(pid),
      down(_ref, reason) {
        ended = true;
        owner.monitors?.delete(ref.id);
        if (timer !== undefined) node.timers.cancel(timer);
        resolve(reason);
      },
    });
    signal(shutdown === "brutal_kill" ? "kill" : "shutdown");
    if (!ended && typeof shutdown === "number") timer = node.timers.after(shutdown, () => signal("kill"));
  });
}

/** What reports say about a child. */
export function describeChild(spec: FullChildSpec, pid: unknown): Readonly<Record<string, unknown>> {
  return {
    pid,
    id: spec.id,
    mfargs: [spec.start[0].name || "fn", spec.start[1]],
    restart_type: spec.restart,
    significant: spec.significant,
    shutdown: spec.shutdown,
    child_type: spec.type,
  };
}

export function reportError(
  supervisor: Process,
  errorContext: "start_error" | "child_terminated" | "shutdown_error" | "shutdown",
  reason: ExitReason,
  spec: FullChildSpec,
  pid: unknown,
): void {
  supervisor.node.report({
    kind: "supervisor",
    supervisor: supervisor.pid,
    name: supervisor.name,
    errorContext,
    reason,
    offender: describeChild(spec, pid),
  });
}

export function reportProgress(supervisor: Process, spec: FullChildSpec, pid: Pid): void {
  if (!supervisor.node.hasListener("debug")) return;
  supervisor.node.report({
    kind: "progress",
    supervisor: supervisor.pid,
    started: describeChild(spec, pid),
  });
}

/** Start arguments of a temporary child are never needed again, so they are not kept. */
export function withoutArgs(spec: FullChildSpec): FullChildSpec {
  return spec.restart === "temporary" ? { ...spec, start: [spec.start[0], []] } : spec;
}
