/**
 * System handlers are what a server does with requests of `sys`: they show and replace its state,
 * hold it still, and keep what `sys` asks to be kept of its events (OTP: `sys:handle_system_msg`).
 */
import { type ExitReason, reasonOfThrow } from "../kernel/exit-reason.js";
import { Ref } from "../kernel/pid.js";
import type { SystemMessage } from "../kernel/server-messages.js";

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

/**
 * @internal Carries out a system request. A `terminate` is answered by the end of the process, not
 * by a message.
 */
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
