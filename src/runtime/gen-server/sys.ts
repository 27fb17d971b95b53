/**
 * Looking into servers and holding them still, whatever their module: for debugging and tests (OTP: `sys`).
 *
 * System requests are ordinary entries of the mailbox: they wait behind earlier messages and behind the running turn. A suspended server handles them and nothing else; what comes meanwhile is handled in order after `resume`.
 */

import type { Dest } from "../kernel/bifs.js";
import { ExitSignal } from "../kernel/errors.js";
import { type ExitReason, reasonOfThrow } from "../kernel/exit-reason.js";
import { Ref } from "../kernel/pid.js";
import { failureOf, type Question } from "../kernel/request.js";
import { SystemMessage } from "../kernel/server-messages.js";
import { request } from "./call.js";
import { GenServer } from "./gen-server.js";

/** What happened in a server: shown by `trace`, kept by `log`, handed to installed functions. */
export type SystemEvent = readonly ["in", message: unknown] | readonly ["out", message: unknown, to: unknown];

export interface Statistics {
  readonly startTime: number;
  readonly currentTime: number;
  readonly messagesIn: number;
  readonly messagesOut: number;
}

/** What system requests act on: a GenServer, or a behaviour built on it. */
export interface SystemTarget {
  state: unknown;
  readonly suspended: boolean;
  readonly debug: Debug;
  suspend(): void;
  resume(): void;
  terminate(reason: ExitReason): unknown;
  formatStatus(): unknown;
}

/** What `sys` collects of a server. Off costs one property read per message. */
export class Debug {
  active = false;
  #statistics: { startTime: number; messagesIn: number; messagesOut: number } | undefined;
  #log: { readonly limit: number; readonly events: SystemEvent[] } | undefined;
  #trace: ((event: SystemEvent) => void) | undefined;
  readonly #installed = new Map<unknown, (event: SystemEvent) => void>();

  event(event: SystemEvent): void {
    if (this.#statistics !== undefined)
      this.#statistics[event[0] === "in" ? "messagesIn" : "messagesOut"] += 1;
    if (this.#log !== undefined) {
      this.#log.events.push(event);
      if (this.#log.events.length > this.#log.limit) this.#log.events.shift();
    }
    this.#trace?.(event);
    for (const [id, fn] of this.#installed) {
      try {
        fn(event);
      } catch {
        // A debug function that fails is taken out; it must not harm what it watches.
        this.#installed.delete(id);
      }
    }
  }

  statistics(flag: boolean | "get"): unknown {
    if (flag === "get") {
      return this.#statistics === undefined
        ? "no_statistics"
        : ({ ...this.#statistics, currentTime: Date.now() } satisfies Statistics);
    }
    this.#statistics = flag ? { startTime: Date.now(), messagesIn: 0, messagesOut: 0 } : undefined;
    return this.#update();
  }

  log(flag: boolean | number | "get"): unknown {
    if (flag === "get") return [...(this.#log?.events ?? [])];
    this.#log = flag === false ? undefined : { limit: flag === true ? 10 : flag, events: [] };
    return this.#update();
  }

  trace(show: ((event: SystemEvent) => void) | undefined): unknown {
    this.#trace = show;
    return this.#update();
  }

  install(id: unknown, fn: ((event: SystemEvent) => void) | undefined): unknown {
    if (fn === undefined) this.#installed.delete(id);
    else this.#installed.set(id, fn);
    return this.#update();
  }

  #update(): "ok" {
    this.active =
      this.#statistics !== undefined ||
      this.#log !== undefined ||
      this.#trace !== undefined ||
      this.#installed.size > 0;
    return "ok";
  }
}

/** @internal Carries out a system request. A `terminate` is answered by the end of the process, not by a message. */
export function handleSystem(server: SystemTarget, { from, operation, argument }: SystemMessage): unknown {
  if (operation === "terminate") return server.terminate(argument);
  let outcome: readonly [string, unknown];
  try {
    outcome = ["ok", carryOut(server, operation, argument)];
  } catch (thrown) {
    outcome = ["error", ["callback_failed", reasonOfThrow(thrown)]];
  }
  Ref.home(from.tag).aliasMessage(from.tag, outcome);
  return undefined;
}

function carryOut(server: SystemTarget, operation: string, argument: unknown): unknown {
  switch (operation) {
    case "get_state":
      return server.state;
    case "replace_state":
      // Only once the function has returned: one that fails leaves the state as it was.
      server.state = (argument as (state: unknown) => unknown)(server.state);
      return server.state;
    case "suspend":
      server.suspend();
      return "ok";
    case "resume":
      server.resume();
      return "ok";
    case "get_status":
      return { status: server.suspended ? "suspended" : "running", state: server.formatStatus() };
    case "statistics":
      return server.debug.statistics(argument as boolean);
    case "log":
      return server.debug.log(argument as boolean);
    case "trace":
      return server.debug.trace(argument as undefined);
    case "install":
      return server.debug.install(...(argument as [unknown, undefined]));
    default:
      throw new Error(`unknown system request ${operation}`);
  }
}

const DEFAULT_TIMEOUT = 5000;

async function ask<R>(server: Dest, operation: string, argument: unknown, timeout: number): Promise<R> {
  const describe = (): unknown => ["sys", operation, [server, timeout]];
  const question: Question = {
    message: (from) => new SystemMessage(from, operation, argument),
    failure: (reason, node) => failureOf(reason, node, describe()),
  };
  const outcome = (await request(server, question, timeout)) as readonly [string, unknown];
  if (outcome[0] === "ok") return outcome[1] as R;
  throw new ExitSignal([outcome[1], describe()]);
}

export const sys = {
  /** The state as it is. */
  getState: <S = unknown>(server: Dest, timeout = DEFAULT_TIMEOUT): Promise<S> =>
    ask(server, "get_state", undefined, timeout),

  /** Replaces the state by `fn(state)` and gives the new one. When `fn` throws the state stays and the caller exits. */
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

  /** Has `fn` called with each event until it is installed anew as undefined. One that throws is taken out. */
  install: (
    server: Dest,
    id: unknown,
    fn: ((event: SystemEvent) => void) | undefined,
    timeout = DEFAULT_TIMEOUT,
  ): Promise<"ok"> => ask(server, "install", [id, fn], timeout),
};
