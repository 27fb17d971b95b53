/**
 * GenServer: a process that keeps a state and handles calls, casts and other messages one at a
 * time.
 *
 * A module is an object of callbacks; each returns what to do next as a tagged tuple, with the new
 * state:
 *
 *     const counter: GenServerModule<number> = {
 *       init: (start) => ["ok", start as number],
 *       handleCall: (request, from, count) => ["reply", count, count],
 *       handleCast: (by, count) => ["noreply", count + (by as number)],
 *     };
 *     const [, pid] = await GenServer.startLink(counter, 0);
 *     GenServer.cast(pid, 2);
 *     await GenServer.call(pid, "get"); // 2
 *
 * Callbacks may be async; the next message waits until they are done. A synchronous callback
 * creates no promise. State is replaced only by a returned value: a callback that throws leaves the
 * previous state for `terminate` and for reports.
 *
 * Ending: a `stop` return, a throw, or the parent's exit signal while trapping runs `terminate`; a
 * kill or an untrapped exit signal does not.
 */

import type { Dest } from "../kernel/bifs.js";
import { current, currentIfAny } from "../kernel/context.js";
import { ExitSignal } from "../kernel/errors.js";
import { type ExitReason, sameReason } from "../kernel/exit-reason.js";
import { type Isolation, isolate } from "../kernel/isolation.js";
import { Pid } from "../kernel/pid.js";
import { Process } from "../kernel/process.js";
import { exitReasonFor, type From, type Question } from "../kernel/request.js";
import { CallMessage, CastMessage, SystemMessage } from "../kernel/server-messages.js";
import type {
  AnswerTo,
  OpenDest,
  PidOf,
  RequestOf,
  ServerRef,
  Understands,
} from "../kernel/typed-messages.js";
import { isRemoteName, request, resolve } from "./call.js";
import type { Extra, GenServerModule, StartOptions, StartResult } from "./callbacks.js";
import { answer, Server } from "./loop.js";
import { startServer } from "./start.js";

export { From } from "../kernel/request.js";
export type {
  CallResult,
  Extra,
  GenServerModule,
  InitResult,
  NoReply,
  StartOptions,
  StartResult,
} from "./callbacks.js";

const DEFAULT_CALL_TIMEOUT = 5000;

function call<C, M, const Request extends RequestOf<C>>(
  server: ServerRef<C, M>,
  message: Request,
  timeout?: number,
): Promise<AnswerTo<C, Request>>;
function call<R = unknown>(
  server: OpenDest | null | undefined,
  message: unknown,
  timeout?: number,
): Promise<R>;
function call(
  server: Dest | null | undefined,
  message: unknown,
  timeout: number = DEFAULT_CALL_TIMEOUT,
): Promise<unknown> {
  const caller = current("GenServer.call()");
  return request(server, new CallQuestion(server, message, timeout, caller.node.isolation), timeout, caller);
}

/** @internal A call, as what is asked. */
export class CallQuestion implements Question {
  readonly #server: unknown;
  readonly #request: unknown;
  readonly #timeout: number;
  readonly #isolation: Isolation;

  constructor(server: unknown, request: unknown, timeout: number, isolation: Isolation) {
    this.#server = server;
    this.#request = request;
    this.#timeout = timeout;
    this.#isolation = isolation;
  }

  message(from: From): CallMessage {
    return new CallMessage(from, isolate(this.#isolation, this.#request));
  }

  failure(reason: ExitReason, node: number): ExitReason {
    return exitReasonFor(reason, node, ["GenServer", "call", [this.#server, this.#request, this.#timeout]]);
  }
}

function cast<C, M>(server: ServerRef<C, M>, message: M): "ok";
function cast(server: OpenDest | null | undefined, message: unknown): "ok";
function cast(server: Dest | null | undefined, message: unknown): "ok" {
  const sender = currentIfAny();
  if (sender !== undefined) sender.messagesOut += 1;
  if (server instanceof Pid) {
    const target = Pid.target(server);
    target.message(
      server,
      new CastMessage(target instanceof Process ? isolate(target.node.isolation, message) : message),
    );
  } else if (sender !== undefined) {
    const { node } = sender;
    if (isRemoteName(server) && server.node !== node.index) {
      node.connection(server.node)?.messageNamed(server.name, new CastMessage(message));
    } else {
      const pid = resolve(node, server);
      if (pid !== undefined) Pid.target(pid).message(pid, new CastMessage(isolate(node.isolation, message)));
    }
  }
  return "ok";
}

type ArgOf<Module> = Module extends { init(arg: infer Arg): unknown } ? Arg : unknown;

export const GenServer = {
  /** Starts a server without a link. Resolves once init has finished. */
  start<Module extends GenServerModule>(
    module: Module,
    arg?: ArgOf<Module>,
    options: StartOptions = {},
  ): Promise<StartResult<PidOf<Module>>> {
    return startServer(module, arg, options, current("GenServer.start()"), false) as Promise<
      StartResult<PidOf<Module>>
    >;
  },

  /**
   * Starts a server linked to the caller, which becomes its parent. Resolves once init has
   * finished.
   */
  startLink<Module extends GenServerModule>(
    module: Module,
    arg?: ArgOf<Module>,
    options: StartOptions = {},
  ): Promise<StartResult<PidOf<Module>>> {
    return startServer(module, arg, options, current("GenServer.startLink()"), true) as Promise<
      StartResult<PidOf<Module>>
    >;
  },

  /**
   * The same destination, known to be a server of that module: gives names and pids from elsewhere
   * their types.
   */
  as<Module extends GenServerModule, D extends Dest = Dest>(
    dest: D,
  ): Module extends Understands<infer C, infer M> ? ServerRef<C, M, D> : D {
    return dest as never;
  },

  /**
   * Makes the calling process, a plain one, a server from here on: its mailbox, links and name stay
   * its own (OTP: `gen_server:enter_loop/3`). Call it last and return its result; what follows a
   * state may follow it here too.
   */
  enterLoop(
    module: GenServerModule,
    state: unknown,
    options: { readonly extra?: Extra; readonly hibernateAfter?: number } = {},
  ): Promise<never> {
    const process = current("GenServer.enterLoop()");
    const parent = process.ancestors[0];
    const server = new Server(module, process, parent, options.hibernateAfter);
    server.state = state;
    process.become(server);
    return Promise.resolve(server.begin(options.extra)) as Promise<never>;
  },

  /**
   * Sends a request and waits for the answer, `timeout` ms at most (default 5000). When it fails
   * the caller exits, by an `ExitSignal` that can be caught, with `[reason, ["GenServer", "call",
   * [server, request, timeout]]]`.
   */
  call,

  /** Sends a request without a reply. Always ok, also when no process is there. */
  cast,

  /** Answers a call, from any process and at any time. A second answer is dropped. */
  reply(from: From, value: unknown): "ok" {
    const sender = currentIfAny();
    answer(from, sender === undefined ? value : isolate(sender.node.isolation, value));
    return "ok";
  },

  /**
   * Asks the server of that name on several threads; the answers, and the threads that gave none
   * within `timeout` ms.
   */
  async multiCall<R = unknown>(
    nodes: readonly number[],
    name: string,
    message: unknown,
    timeout: number = Number.POSITIVE_INFINITY,
  ): Promise<
    readonly [replies: readonly (readonly [node: number, reply: R])[], badNodes: readonly number[]]
  > {
    const answers = await Promise.allSettled(
      nodes.map((node) => GenServer.call<R>({ name, node }, message, timeout)),
    );
    const replies: (readonly [number, R])[] = [];
    const badNodes: number[] = [];
    answers.forEach((answered, index) => {
      const node = nodes[index] as number;
      if (answered.status === "fulfilled") replies.push([node, answered.value]);
      else badNodes.push(node);
    });
    return [replies, badNodes];
  },

  /**
   * Casts to the server of that name on several threads; those that are not there are passed over.
   */
  abcast(nodes: readonly number[], name: string, message: unknown): "ok" {
    for (const node of nodes) GenServer.cast({ name, node }, message);
    return "ok";
  },

  /**
   * Ends a server with `reason` and waits until it has ended. Exits the caller when the server ends
   * with another reason, is absent (`noproc`), or `timeout` ms pass; in that case the server is not
   * killed.
   */
  async stop(
    server: Dest,
    reason: ExitReason = "normal",
    timeout: number = Number.POSITIVE_INFINITY,
  ): Promise<"ok"> {
    const question: Question = {
      message: (from) => new SystemMessage(from, "terminate", reason),
      failure: (actual, node) =>
        exitReasonFor(actual, node, ["GenServer", "stop", [server, reason, timeout]]),
    };
    try {
      await request(server, question, timeout);
    } catch (thrown) {
      if (
        thrown instanceof ExitSignal &&
        Array.isArray(thrown.reason) &&
        sameReason(thrown.reason[0], reason)
      )
        return "ok";
      throw thrown;
    }
    return "ok";
  },
};
