/**
 * Watching a node for what makes it slow (OTP: `erlang:system_monitor/2`): turns that take long,
 * mailboxes that grow, an event loop that lags, ports that back up, errors without an owner.
 *
 * The watcher gets `["monitor", pid | undefined, what, info]` for each finding. Samples are taken
 * every `everyMs`; a mailbox is reported once when it passes the bound, and again when it has been
 * shorter meanwhile.
 */

import { current } from "../kernel/context.js";
import { BadArg } from "../kernel/errors.js";
import type { RuntimeNode } from "../kernel/node.js";
import type { Pid } from "../kernel/pid.js";
import { Process } from "../kernel/process.js";
import { show } from "../kernel/show.js";
import { dropped } from "../kernel/signal.js";
import type { Timer } from "../kernel/timer-queue.js";

export interface SystemMonitorOptions {
  /** Turns longer than this many ms; not shorter than the node's own `longTurnMs`. */
  readonly longTurn?: number;
  /** Mailboxes longer than this. */
  readonly longQueue?: number;
  /** Milliseconds a timer came too late. */
  readonly lag?: number;
  /** Bytes sent to another thread and not yet handled there. */
  readonly backlog?: number;
  /** Errors that no process owns. */
  readonly unhandledErrors?: boolean;
  /** Milliseconds between two samples. Default 1000. */
  readonly everyMs?: number;
}

/** What a node has done and what it has in hand; cheap to take. */
export interface NodeStatistics {
  readonly node: number;
  readonly processes: number;
  readonly timers: number;
  /** Runnable processes. */
  readonly runQueue: number;
  /** Messages to dead pids since the thread began. */
  readonly droppedSends: number;
  /** Reports left out by the limiter. */
  readonly suppressedReports: number;
  readonly connections: readonly unknown[];
}

export function nodeStatistics(): NodeStatistics {
  return statisticsOf(current("nodeStatistics()").node);
}

/** @internal */
export const statisticsOf = (node: RuntimeNode): NodeStatistics => ({
  node: node.index,
  processes: node.processCount,
  timers: node.timers.size,
  runQueue: node.scheduler.length,
  droppedSends: dropped.messages,
  suppressedReports: node.suppressedReports,
  connections: [...node.connections()].map((connection) => connection.stats()),
});

/**
 * Begins to watch, for the calling process. Ends with it, or when the returned function is called.
 */
export function systemMonitor(options: SystemMonitorOptions): () => void {
  const watcher = current("systemMonitor()");
  for (const key of ["longTurn", "longQueue", "lag", "backlog", "everyMs"] as const) {
    const value = options[key];
    if (value !== undefined && !(Number.isFinite(value) && value > 0))
      throw new BadArg(`badarg: systemMonitor(): ${key} must be a positive number, got ${show(value)}`);
  }
  const { node } = watcher;
  const { longTurn, longQueue, lag, backlog, unhandledErrors, everyMs = 1000 } = options;
  const tell = (pid: Pid | undefined, what: string, info: unknown): void => {
    if (watcher.alive) Process.deliver(node, watcher.pid, ["monitor", pid, what, info]);
  };
  const unwatchReports = node.onEachReport((report) => {
    if (report.kind === "long_turn" && longTurn !== undefined && report.durationMs >= longTurn)
      tell(report.pid, "long_turn", { durationMs: report.durationMs, callback: report.callback });
    if (report.kind === "orphan_error" && unhandledErrors)
      tell(report.pid, "orphan_error", { error: report.error });
  });
  const over = new Set<Process>();
  let timer: Timer | undefined;
  let due = node.clock.now() + everyMs;
  const sample = (): void => {
    const late = node.clock.now() - due;
    if (lag !== undefined && late >= lag) tell(undefined, "lag", { ms: late });
    if (longQueue !== undefined) {
      for (const process of node.processes()) {
        const length = process.mailbox.length;
        if (length <= longQueue) over.delete(process);
        else if (!over.has(process)) {
          over.add(process);
          tell(process.pid, "long_queue", { length });
        }
      }
      for (const process of over) if (!process.alive) over.delete(process);
    }
    if (backlog !== undefined) {
      for (const connection of node.connections()) {
        const stats = connection.stats();
        if (stats.outstandingBytes > backlog) tell(undefined, "backlog", stats);
      }
    }
    due = node.clock.now() + everyMs;
    timer = node.timers.after(everyMs, sample);
  };
  timer = node.timers.after(everyMs, sample);
  const stop = (): void => {
    unwatchReports();
    if (timer !== undefined) node.timers.cancel(timer);
  };
  const release = watcher.onExit(stop);
  return () => {
    release();
    stop();
  };
}
