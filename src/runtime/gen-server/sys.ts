/**
 * Looking into servers and holding them still, whatever their module: for debugging and tests (OTP:
 * `sys`).
 *
 * System requests are ordinary entries of the mailbox: they wait behind earlier messages and behind
 * the running turn. A suspended server handles them and nothing else; what comes meanwhile is
 * handled in order after `resume`.
 */

import type { Dest } from "../kernel/bifs.js";
import { ExitSignal } from "../kernel/errors.js";
import type { ExitReason } from "../kernel/exit-reason.js";
import { exitReasonFor, type Question } from "../kernel/request.js";
import { SystemMessage } from "../kernel/server-messages.js";
import { request } from "./call.js";
import { GenServer } from "./gen-server.js";
import type { Statistics, SystemEvent } from "./sys-handlers.js";

export type { Statistics, SystemEvent } from "./sys-handlers.js";

const DEFAULT_TIMEOUT = 5000;

async function ask<R>(server: Dest, operation: string, argument: unknown, timeout: number): Promise<R> {
  const describe = (): unknown => ["sys", operation, [server, timeout]];
  const question: Question = {
    message: (from) => new SystemMessage(from, operation, argument),
    failure: (reason, node) => exitReasonFor(reason, node, describe()),
  };
  const outcome = (await request(server, question, timeout)) as readonly [string, unknown];
  if (outcome[0] === "ok") return outcome[1] as R;
  throw new ExitSignal([outcome[1], describe()]);
}

export const sys = {
  /** The state as it is. */
  getState: <S = unknown>(server: Dest, timeout = DEFAULT_TIMEOUT): Promise<S> =>
    ask(server, "get_state", undefined, timeout),

  /**
   * Replaces the state by `fn(state)` and gives the new one. When `fn` throws the state stays and
   * the caller exits.
   */
  replaceState: <S = unknown>(server: Dest, fn: (state: S) => S, timeout = DEFAULT_TIMEOUT): Promise<S> =>
    ask(server, "replace_state", fn, timeout),

  /** Holds the server still: everything but system requests waits. Twice is harmless. */
  suspend: (server: Dest, timeout = DEFAULT_TIMEOUT): Promise<"ok"> =>
    ask(server, "suspend", undefined, timeout),
  resume: (server: Dest, timeout = DEFAULT_TIMEOUT): Promise<"ok"> =>
    ask(server, "resume", undefined, timeout),

  /** Whether it runs, and the state as `formatStatus` shows it. */
  getStatus: (
    server: Dest,
    timeout = DEFAULT_TIMEOUT,
  ): Promise<{ status: "running" | "suspended"; state: unknown }> =>
    ask(server, "get_status", undefined, timeout),

  /** Ends the server with `reason`, its `terminate` included. */
  terminate: (server: Dest, reason: ExitReason, timeout = Number.POSITIVE_INFINITY): Promise<"ok"> =>
    GenServer.stop(server, reason, timeout),

  /** Counts messages while on; `"get"` gives the counts. */
  statistics: (
    server: Dest,
    flag: boolean | "get",
    timeout = DEFAULT_TIMEOUT,
  ): Promise<Statistics | "ok" | "no_statistics"> => ask(server, "statistics", flag, timeout),

  /** Keeps the last events, ten or as many as said; `"get"` gives them. */
  log: (
    server: Dest,
    flag: boolean | number | "get",
    timeout = DEFAULT_TIMEOUT,
  ): Promise<SystemEvent[] | "ok"> => ask(server, "log", flag, timeout),

  /** Shows each event as it happens, by `show`; undefined ends it. In this thread only. */
  trace: (
    server: Dest,
    show: ((event: SystemEvent) => void) | undefined,
    timeout = DEFAULT_TIMEOUT,
  ): Promise<"ok"> => ask(server, "trace", show, timeout),

  /**
Calls `fn` with each event, until it is installed again as undefined. One that throws is
   * taken out.
   */
  install: (
    server: Dest,
    id: unknown,
    fn: ((event: SystemEvent) => void) | undefined,
    timeout = DEFAULT_TIMEOUT,
  ): Promise<"ok"> => ask(server, "install", [id, fn], timeout),
};
