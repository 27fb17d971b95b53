/**
 * Starts a GenServer: spawns its process, registers its name, runs `init` and answers the starter.
 */

import { checkDelay, type ViaName } from "../kernel/bifs.js";
import { context } from "../kernel/context.js";
import { BadArg } from "../kernel/errors.js";
import { type ExitReason, reasonOfThrow } from "../kernel/exit-reason.js";
import { Global } from "../kernel/global.js";
import type { RuntimeNode } from "../kernel/node.js";
import type { Pid } from "../kernel/pid.js";
import type { Process } from "../kernel/process.js";
import type { Timer } from "../kernel/timer-queue.js";
import type { GenServerModule, StartOptions, StartResult } from "./callbacks.js";
import { isExtra, isPromise, Server } from "./loop.js";

/** A server that is being started; the starter gets the result once. */
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

export function startServer(
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
