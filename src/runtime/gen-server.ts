/**
 * GenServer: a process that keeps a state and handles calls, casts and other messages one at a time.
 *
 * A module is an object of callbacks; each returns what to do next as a tagged tuple, with the new state:
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
 * Callbacks may be async; the next message waits until they are done. A synchronous callback creates no
 * promise. State is replaced only by a returned value: a callback that throws leaves the previous state for
 * `terminate` and for reports.
 *
 * Ending: a `stop` return, a throw, or the parent's exit signal while trapping runs `terminate`; a kill or an
 * untrapped exit signal does not.
 */
import { context, current, currentIfAny } from "./context.js";
import { BadArg, ExitSignal } from "./errors.js";
import { type ExitReason, isNormalClass, reasonOfThrow, sameReason } from "./exit-reason.js";
import { Global } from "./global-names.js";
import { isolate } from "./isolation.js";
import type { RuntimeNode } from "./node.js";
import { checkDelay, type Dest, type GlobalName, type NodeName, type ViaName } from "./operations.js";
import { Pid, Ref } from "./pid.js";
import { type Behaviour, type MaxQueue, Process } from "./process.js";
import type { AnswerOf, AnswerTo, OpenDest, PidOf, RequestOf, ServerRef, Speaks } from "./protocol.js";
import { type From, Request } from "./request.js";
import { CallMessage, CastMessage, SystemMessage } from "./server-messages.js";
import { DEAD } from "./signal.js";
import { Debug, handleSystem, type SystemTarget } from "./sys.js";
import type { Timer } from "./timers.js";

export { From } from "./request.js";

/** What may follow a state: a timeout in ms, hibernation, or work to do before the next message. */
export type Extra = number | "hibernate" | readonly ["continue", unknown];

export type InitResult<S> =
  | readonly ["ok", S]
  | readonly ["ok", S, Extra]
  | "ignore"
  | readonly ["stop", ExitReason]
  | readonly ["error", ExitReason];

export type NoReply<S> =
  | readonly ["noreply", S]
  | readonly ["noreply", S, Extra]
  | readonly ["stop", ExitReason, S];

export type CallResult<S, R = unknown> =
  | readonly ["reply", R, S]
  | readonly ["reply", R, S, Extra]
  | readonly ["stop", ExitReason, R, S]
  | NoReply<S>;

type Async<T> = T | Promise<T>;

// biome-ignore lint/suspicious/noExplicitAny: the defaults let a module leave its request types open
export interface GenServerModule<S = any, Arg = any, Calls = any, Cast = any, Info = any>
  extends Speaks<Calls, Cast> {
  /** For reports. Default "GenServer". */
  readonly name?: string;
  init(arg: Arg): Async<InitResult<S>>;
  handleCall?(request: RequestOf<Calls>, from: From, state: S): Async<CallResult<S, AnswerOf<Calls>>>;
  handleCast?(request: Cast, state: S): Async<NoReply<S>>;
  /** Every other message, `["EXIT", …]` and `["DOWN", …]` included; `"timeout"` after a returned timeout. */
  handleInfo?(message: Info, state: S): Async<NoReply<S>>;
  handleContinue?(arg: unknown, state: S): Async<NoReply<S>>;
  terminate?(reason: ExitReason, state: S): unknown;
  /** What reports and `sys.getStatus` show instead of the state. */
  formatStatus?(status: {
    readonly state: S;
    readonly reason?: ExitReason;
    readonly message?: unknown;
  }): unknown;
  /** Called when a callback returns `hibernate`: drop caches here. */
  onHibernate?(state: S): void;
}

export interface StartOptions {
  /** Registered before init runs: a local, global or via name. `undefined` and null start it unnamed. */
  readonly name?: string | ViaName | GlobalName | null | undefined;
  /** Milliseconds init may take. Default Infinity. */
  readonly timeout?: number;
  /** Idle ms after which the server hibernates. Default Infinity. */
  readonly hibernateAfter?: number;
  /** A description for reports and tree views. */
  readonly label?: unknown;
  /** Bound of the mailbox. Default none. */
  readonly maxQueue?: MaxQueue;
}

export type StartResult<P extends Pid = Pid> = readonly ["ok", P] | "ignore" | readonly ["error", ExitReason];

const DEFAULT_CALL_TIMEOUT = 5000;

/** The running side of one server: turns callback returns into what happens next. */
class Server implements SystemTarget, Behaviour {
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

  /** Made when somebody looks. */
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
      return `formatStatus failed: ${String(error)}`;
    }
  }
}

export type { Server };

class IdleTimeout {}
const IDLE_TIMEOUT = new IdleTimeout();

const isPromise = (value: unknown): value is Promise<unknown> =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";

const isExtra = (value: unknown): value is Extra =>
  value === "hibernate" ||
  (typeof value === "number" && value >= 0) ||
  (Array.isArray(value) && value.length === 2 && value[0] === "continue");

function missing(module: GenServerModule, callback: string, request: unknown): Error {
  return new Error(`${module.name ?? "this GenServer"} has no ${callback} to take ${preview(request)}`);
}

function preview(value: unknown): string {
  try {
    return JSON.stringify(value)?.slice(0, 200) ?? String(value);
  } catch {
    return String(value);
  }
}

function answer(from: From, value: unknown): void {
  const { tag } = from;
  Ref.home(tag).aliasMessage(tag, value);
}

// ------------------------------------------------------------------ start

/** A server that is being started: what came of it is told to the starter once. */
class Start {
  readonly #module: GenServerModule;
  readonly #arg: unknown;
  readonly #options: StartOptions;
  readonly #starter: Process;
  readonly #linked: boolean;
  readonly #resolve: (result: StartResult) => void;
  readonly #process: Process;
  readonly #endOfStart: () => void;
  #timer: Timer | undefined;
  #failure: StartResult | undefined;

  constructor(
    module: GenServerModule,
    arg: unknown,
    options: StartOptions,
    starter: Process,
    linked: boolean,
    resolve: (result: StartResult) => void,
  ) {
    this.#module = module;
    this.#arg = arg;
    this.#options = options;
    this.#starter = starter;
    this.#linked = linked;
    this.#resolve = resolve;
    const { node } = starter;
    const process = node.create(() => this.#run(), initialCallOf(module), starter);
    this.#process = process;
    if (options.label !== undefined) process.label = options.label;
    if (options.maxQueue !== undefined) process.limitQueue(options.maxQueue);
    if (linked) starter.linkTo(process.pid);
    this.#endOfStart = process.onExit((reason) => {
      // When start returns, no EXIT of the failed server is in a trapping starter's mailbox.
      if (linked && starter.trapsExits) starter.unlinkFrom(process.pid);
      this.#settle(this.#failure ?? ["error", reason]);
    });
    const { timeout = Number.POSITIVE_INFINITY } = options;
    if (timeout !== Number.POSITIVE_INFINITY && process.alive) {
      this.#timer = node.timers.after(timeout, () => {
        if (linked) starter.unlinkFrom(process.pid);
        this.#give(["error", "timeout"], "killed");
      });
    }
  }

  #settle(result: StartResult): void {
    if (this.#timer !== undefined) this.#process.node.timers.cancel(this.#timer);
    this.#resolve(result);
  }

  /** Ends the process, which tells the starter: an immediate retry finds the name free. */
  #give(result: StartResult, reason: ExitReason): void {
    this.#failure = result;
    this.#process.silent = true;
    this.#process.terminate(reason);
  }

  /** The first turn of the process: its name, then init. */
  #run(): unknown {
    try {
      const taken = registerName(this.#process.node, this.#process, this.#options.name);
      return isPromise(taken)
        ? taken.then((pid) => this.#init(pid)).catch((thrown: unknown) => this.#failed(thrown))
        : this.#init(taken);
    } catch (thrown) {
      this.#failed(thrown);
      return undefined;
    }
  }

  #init(taken: Pid | undefined): unknown {
    if (taken !== undefined) {
      this.#give(["error", ["already_started", taken]], "normal");
      return undefined;
    }
    this.#process.callback = "init";
    const result = this.#module.init(this.#arg);
    if (!isPromise(result)) return this.#initialised(result);
    return result.then(
      (value) => this.#initialised(value),
      (thrown: unknown) => this.#failed(thrown),
    );
  }

  #initialised(result: unknown): unknown {
    const process = this.#process;
    if (!process.alive) return undefined;
    if (result === "ignore") this.#give("ignore", "normal");
    else if (
      Array.isArray(result) &&
      result[0] === "ok" &&
      (result.length === 2 || (result.length === 3 && isExtra(result[2])))
    ) {
      const parent = this.#linked ? this.#starter.pid : undefined;
      const server = new Server(this.#module, process, parent, this.#options.hibernateAfter);
      server.state = result[1];
      process.become(server);
      this.#endOfStart();
      this.#settle(["ok", process.pid]);
      return server.begin(result[2]);
    } else if (Array.isArray(result) && result[0] === "stop" && result.length === 2)
      this.#give(["error", result[1]], result[1]);
    else if (Array.isArray(result) && result[0] === "error" && result.length === 2)
      this.#give(["error", result[1]], "normal");
    else this.#give(["error", ["bad_return_value", result]], ["bad_return_value", result]);
    return undefined;
  }

  #failed(thrown: unknown): void {
    if (!this.#process.alive) return;
    const reason = reasonOfThrow(thrown);
    this.#give(["error", reason], reason);
  }
}

const initialCalls = new WeakMap<GenServerModule, string>();

function initialCallOf(module: GenServerModule): string {
  let call = initialCalls.get(module);
  if (call === undefined) {
    call = `${module.name ?? "GenServer"}.init`;
    initialCalls.set(module, call);
  }
  return call;
}

function startServer(
  module: GenServerModule,
  arg: unknown,
  options: StartOptions,
  starter: Process,
  linked: boolean,
): Promise<StartResult> {
  checkName(options.name);
  checkDelay(options.timeout ?? Number.POSITIVE_INFINITY, "the init timeout");
  return new Promise((resolve) => {
    new Start(module, arg, options, starter, linked, resolve);
  });
}

function checkName(name: unknown): void {
  if (name === undefined || name === null || typeof name === "string") return;
  if (typeof name === "object" && "via" in name && typeof (name as ViaName).via?.registerName === "function")
    return;
  if (typeof name === "object" && "global" in name) return;
  throw new BadArg(
    "badarg: the name option must be a string (a local name), { global: term }, { via: module, term } or undefined",
  );
}

/** Registers the starting process; the pid that holds the name already, if there is one. */
function registerName(
  node: RuntimeNode,
  process: Process,
  name: StartOptions["name"],
): Pid | undefined | Promise<Pid | undefined> {
  if (name === undefined || name === null) return undefined;
  if (typeof name === "string") {
    const holder = node.whereis(name);
    if (holder !== undefined) return holder;
    node.register(name, process);
    return undefined;
  }
  if ("global" in name) {
    return Global.registerName(name.global, process.pid).then((answer) =>
      answer === "yes" ? undefined : (Global.whereisName(name.global) ?? process.pid),
    );
  }
  if (name.via.registerName(name.term, process.pid) === "yes") {
    process.onExit(() => context.run(process, () => name.via.unregisterName(name.term)));
    return undefined;
  }
  return name.via.whereisName(name.term) ?? process.pid;
}

// ------------------------------------------------------------------ requests

/** @internal Sends a server a request made by `make` and waits for the answer. */
export function request(
  dest: Dest | null | undefined,
  make: (from: From) => unknown,
  timeout: number,
  describe: () => unknown,
): Promise<unknown> {
  const caller = current("call()");
  caller.messagesOut += 1;
  checkDelay(timeout, "the timeout");
  const explain = (reason: ExitReason): ExitReason => [reason, describe()];
  const { node } = caller;
  if (isRemoteName(dest) && dest.node !== node.index) {
    const road = node.road(dest.node);
    if (road === undefined) return Promise.reject(new ExitSignal(explain(["nodedown", dest.node])));
    const lost = (reason: ExitReason): ExitReason =>
      explain(reason === "noconnection" ? ["nodedown", dest.node] : reason);
    return Request.sendNamed(caller, road, dest.name, timeout, lost, (from) =>
      road.messageNamed(dest.name, make(from)),
    );
  }
  const pid = resolve(node, dest);
  if (pid === undefined) return Promise.reject(new ExitSignal(explain("noproc")));
  if (pid.equals(caller.pid)) return Promise.reject(new ExitSignal(explain("calling_self")));
  const target = Pid.target(pid);
  const lost = (reason: ExitReason): ExitReason =>
    explain(reason === "noconnection" ? ["nodedown", pid.node] : reason);
  return Request.send(caller, pid, target, timeout, lost, (from) => target.message(pid, make(from)));
}

const isRemoteName = (dest: unknown): dest is NodeName =>
  typeof dest === "object" &&
  dest !== null &&
  !(dest instanceof Pid) &&
  !(dest instanceof Ref) &&
  "name" in dest &&
  "node" in dest;

function resolve(node: RuntimeNode, dest: Dest | null | undefined): Pid | undefined {
  if (dest instanceof Pid) return Pid.target(dest) === DEAD ? undefined : dest;
  if (typeof dest === "string") return node.whereis(dest);
  if (isRemoteName(dest)) return node.whereis(dest.name);
  if (typeof dest === "object" && dest !== null && "via" in dest) return dest.via.whereisName(dest.term);
  if (typeof dest === "object" && dest !== null && "global" in dest) return Global.whereisName(dest.global);
  return undefined;
}

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
  const isolation = current("GenServer.call()").node.isolation;
  return request(
    server,
    (from) => new CallMessage(from, isolate(isolation, message)),
    timeout,
    () => ["GenServer", "call", [server, message, timeout]],
  );
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
      node.road(server.node)?.messageNamed(server.name, new CastMessage(message));
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

  /** Starts a server linked to the caller, which becomes its parent. Resolves once init has finished. */
  startLink<Module extends GenServerModule>(
    module: Module,
    arg?: ArgOf<Module>,
    options: StartOptions = {},
  ): Promise<StartResult<PidOf<Module>>> {
    return startServer(module, arg, options, current("GenServer.startLink()"), true) as Promise<
      StartResult<PidOf<Module>>
    >;
  },

  /** The same destination, known to be a server of that module: gives names and pids from elsewhere their types. */
  as<Module extends GenServerModule, D extends Dest = Dest>(
    dest: D,
  ): Module extends Speaks<infer C, infer M> ? ServerRef<C, M, D> : D {
    return dest as never;
  },

  /**
   * Makes the calling process, a plain one, a server from here on: its mailbox, links and name stay its own (OTP:
   * `gen_server:enter_loop/3`). Call it last and return its result; what follows a state may follow it here too.
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
   * Sends a request and waits for the answer, `timeout` ms at most (default 5000). When it fails the caller exits, by
   * an `ExitSignal` that can be caught, with `[reason, ["GenServer", "call", [server, request, timeout]]]`.
   */
  call,

  /** Sends a request that is not answered. Always ok, also when nobody is there. */
  cast,

  /** Answers a call, from any process and at any time. A second answer is dropped. */
  reply(from: From, value: unknown): "ok" {
    const sender = currentIfAny();
    answer(from, sender === undefined ? value : isolate(sender.node.isolation, value));
    return "ok";
  },

  /**
   * Asks the server of that name on several threads; the answers, and the threads that gave none within `timeout` ms.
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

  /** Casts to the server of that name on several threads; those that are not there are passed over. */
  abcast(nodes: readonly number[], name: string, message: unknown): "ok" {
    for (const node of nodes) GenServer.cast({ name, node }, message);
    return "ok";
  },

  /**
   * Ends a server with `reason` and waits until it has ended. Exits the caller when the server ends with another
   * reason, is absent (`noproc`), or `timeout` ms pass; in that case the server is not killed.
   */
  async stop(
    server: Dest,
    reason: ExitReason = "normal",
    timeout: number = Number.POSITIVE_INFINITY,
  ): Promise<"ok"> {
    const describe = (): unknown => ["GenServer", "stop", [server, reason, timeout]];
    try {
      await request(server, (from) => new SystemMessage(from, "terminate", reason), timeout, describe);
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
