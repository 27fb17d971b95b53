/**
 * The running side of a GenServer: takes messages one at a time, and turns what callbacks return
 * into what happens next.
 */

import { type ExitReason, isNormalClass, reasonOfThrow } from "../kernel/exit-reason.js";
import { type Pid, Ref } from "../kernel/pid.js";
import type { Behaviour, Process } from "../kernel/process.js";
import type { From } from "../kernel/request.js";
import { CallMessage, CastMessage, SystemMessage } from "../kernel/server-messages.js";
import { show, showTerm } from "../kernel/show.js";
import type { Timer } from "../kernel/timer-queue.js";
import type { Extra, GenServerModule } from "./callbacks.js";
import { Debug, handleSystem, type SystemTarget } from "./sys-handlers.js";

export class Server implements SystemTarget, Behaviour {
  readonly module: GenServerModule;
  readonly process: Process;
  readonly parent: Pid | undefined;
  readonly #hibernateAfter: number | undefined;
  state: unknown;
  lastMessage: unknown;
  client: Pid | undefined;
  #debug: Debug | undefined;
  /** What came while the server was suspended; undefined when it is not. */
  #parked: unknown[] | undefined;
  #timer: Timer | undefined;

  constructor(
    module: GenServerModule,
    process: Process,
    parent: Pid | undefined,
    hibernateAfter: number | undefined,
  ) {
    this.module = module;
    this.process = process;
    this.parent = parent;
    this.#hibernateAfter = hibernateAfter === Number.POSITIVE_INFINITY ? undefined : hibernateAfter;
  }

  /** Computed when it is read. */
  get debug(): Debug {
    this.#debug ??= new Debug();
    return this.#debug;
  }

  handle(message: unknown): unknown {
    if (this.#timer !== undefined) {
      this.process.node.timers.cancel(this.#timer);
      this.#timer = undefined;
    }
    const { module, process } = this;
    if (this.#parked !== undefined && !(message instanceof SystemMessage) && !this.#isParentExit(message)) {
      this.#parked.push(message);
      return undefined;
    }
    if (this.#debug?.active && !(message instanceof SystemMessage)) this.#debug.event(["in", message]);
    try {
      if (message instanceof CallMessage) {
        this.lastMessage = message.request;
        this.client = message.from.pid;
        process.callback = "handleCall";
        if (module.handleCall === undefined) throw missing(module, "handleCall", message.request);
        return this.#settle(module.handleCall(message.request, message.from, this.state), message.from);
      }
      if (message instanceof CastMessage) {
        this.lastMessage = message.request;
        this.client = undefined;
        process.callback = "handleCast";
        if (module.handleCast === undefined) throw missing(module, "handleCast", message.request);
        return this.#settle(module.handleCast(message.request, this.state), undefined);
      }
      if (message instanceof SystemMessage) return handleSystem(this, message);
      if (message instanceof IdleTimeout) return this.#info("timeout");
      if (this.#isParentExit(message)) return this.terminate(message[2] as ExitReason);
      return this.#info(message);
    } catch (thrown) {
      return this.terminate(reasonOfThrow(thrown));
    }
  }

  #isParentExit(message: unknown): message is readonly unknown[] {
    return (
      this.parent !== undefined &&
      Array.isArray(message) &&
      message[0] === "EXIT" &&
      this.parent.equals(message[1])
    );
  }

  #info(message: unknown): unknown {
    this.lastMessage = message;
    this.client = undefined;
    this.process.callback = "handleInfo";
    if (this.module.handleInfo === undefined) {
      this.process.node.report({
        kind: "notice",
        level: "error",
        text: `${this.module.name ?? "GenServer"} received an unexpected message`,
        pid: this.process.pid,
        metadata: { message },
      });
      this.armTimeouts(undefined);
      return undefined;
    }
    return this.#settle(this.module.handleInfo(message, this.state), undefined);
  }

  #continue(arg: unknown): unknown {
    this.process.callback = "handleContinue";
    try {
      if (this.module.handleContinue === undefined) throw missing(this.module, "handleContinue", arg);
      return this.#settle(this.module.handleContinue(arg, this.state), undefined);
    } catch (thrown) {
      return this.terminate(reasonOfThrow(thrown));
    }
  }

  /** Acts on what a callback returned, now or when its promise is fulfilled. */
  #settle(result: unknown, from: From | undefined): unknown {
    if (isPromise(result)) {
      return result.then(
        (value) => (this.process.alive ? this.#act(value, from) : undefined),
        (thrown: unknown) => (this.process.alive ? this.terminate(reasonOfThrow(thrown)) : undefined),
      );
    }
    return this.#act(result, from);
  }

  #act(result: unknown, from: From | undefined): unknown {
    if (Array.isArray(result)) {
      switch (result[0]) {
        case "noreply":
          if (result.length === 2 || (result.length === 3 && isExtra(result[2]))) {
            this.state = result[1];
            return this.#proceed(result[2]);
          }
          break;
        case "reply":
          if (from !== undefined && (result.length === 3 || (result.length === 4 && isExtra(result[3])))) {
            this.state = result[2];
            answer(from, result[1]);
            if (this.#debug?.active) this.#debug.event(["out", result[1], from.pid]);
            return this.#proceed(result[3]);
          }
          break;
        case "stop":
          if (result.length === 3) {
            this.state = result[2];
            return this.terminate(result[1]);
          }
          if (result.length === 4 && from !== undefined) {
            this.state = result[3];
            return this.terminate(result[1], from, result[2]);
          }
          break;
      }
    }
    return this.terminate(["bad_return_value", result]);
  }

  #proceed(extra: unknown): unknown {
    if (Array.isArray(extra)) return this.#continue(extra[1]);
    this.armTimeouts(extra);
    return undefined;
  }

  /** Acts on what may follow a state: hibernation or an idle timeout. Also used after init. */
  armTimeouts(extra: unknown): void {
    if (extra === "hibernate") this.#hibernate();
    else if (typeof extra === "number")
      this.#armIdle(extra, () => this.process.message(this.process.pid, IDLE_TIMEOUT));
    else if (this.#hibernateAfter !== undefined) this.#armIdle(this.#hibernateAfter, () => this.#hibernate());
  }

  #armIdle(ms: number, act: () => void): void {
    const { process } = this;
    if (ms === Number.POSITIVE_INFINITY || process.mailbox.length > 0) return;
    this.#timer = process.node.timers.after(ms, () => {
      this.#timer = undefined;
      // A message that is waiting cancels the timeout.
      if (process.mailbox.length === 0) act();
    });
  }

  #hibernate(): void {
    this.module.onHibernate?.(this.state);
    this.process.mailbox.compact();
  }

  get suspended(): boolean {
    return this.#parked !== undefined;
  }

  suspend(): void {
    this.#parked ??= [];
  }

  /** What was parked comes first again, in its order. */
  resume(): void {
    const parked = this.#parked;
    this.#parked = undefined;
    if (parked !== undefined) this.process.mailbox.restore(parked);
  }

  begin(extra: Extra | undefined): unknown {
    return this.#proceed(extra);
  }

  /** Runs `terminate`, then ends; an answer still owed goes out in between. */
  terminate(reason: ExitReason, from?: From, reply?: unknown): unknown {
    const { module, process } = this;
    const finish = (final: ExitReason): void => {
      if (!process.alive) return;
      if (from !== undefined) answer(from, reply);
      if (!isNormalClass(final)) this.#report(final);
      process.terminate(final);
    };
    if (module.terminate === undefined) {
      finish(reason);
      return undefined;
    }
    process.callback = "terminate";
    let result: unknown;
    try {
      result = module.terminate(reason, this.state);
    } catch (thrown) {
      finish(reasonOfThrow(thrown));
      return undefined;
    }
    if (!isPromise(result)) {
      finish(reason);
      return undefined;
    }
    return result.then(
      () => finish(reason),
      (thrown: unknown) => finish(reasonOfThrow(thrown)),
    );
  }

  #report(reason: ExitReason): void {
    const { process } = this;
    process.node.report({
      kind: "gen_server",
      pid: process.pid,
      name: process.name ?? this.module.name,
      lastMessage: this.lastMessage,
      client: this.client,
      state: this.formatStatus(reason),
      reason,
    });
  }

  formatStatus(reason?: ExitReason): unknown {
    if (this.module.formatStatus === undefined) return this.state;
    try {
      return this.module.formatStatus({ state: this.state, reason, message: this.lastMessage });
    } catch (error) {
      return `formatStatus failed: ${show(error)}`;
    }
  }
}

class IdleTimeout {}
const IDLE_TIMEOUT = new IdleTimeout();

export const isPromise = (value: unknown): value is Promise<unknown> =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";

export const isExtra = (value: unknown): value is Extra =>
  value === "hibernate" ||
  (typeof value === "number" && value >= 0) ||
  (Array.isArray(value) && value.length === 2 && value[0] === "continue");

function missing(module: GenServerModule, callback: string, request: unknown): Error {
  return new Error(`${module.name ?? "this GenServer"} has no ${callback} to take ${showTerm(request, 200)}`);
}

export function answer(from: From, value: unknown): void {
  const { tag } = from;
  Ref.home(tag).aliasMessage(tag, value);
}
