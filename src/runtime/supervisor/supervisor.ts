/**
 * A supervisor starts its children in order, watches them, and restarts them according to its
 * strategy. It stops them in reverse order.
 *
 *   one_for_one    a child that ends is restarted alone
 *   one_for_all    all others are stopped, then all are restarted: they need each other
 *   rest_for_one   those started after it are stopped and restarted with it: they depend on it
 *
 * Restarting is for faults that a fresh start can cure. When children keep failing (more than
 * `intensity` restarts within `period` seconds), the supervisor stops everything and ends with
 * `shutdown`, and its own supervisor decides.
 *
 * A restart that fails is tried again, without delay, through a message to itself: between two
 * attempts requests and the order to stop are served. A child waiting for its next attempt is
 * `restarting`.
 *
 * For children that come and go at runtime, see dynamic-supervisor.ts. Longer than other files,
 * because the three strategies share one loop of restarts and one order of shutdown.
 */

import { request } from "../gen-server/call.js";
import {
  CallQuestion,
  GenServer,
  type GenServerModule,
  type StartOptions,
  type StartResult,
} from "../gen-server/gen-server.js";
import { type Dest, trapExit } from "../kernel/bifs.js";
import { current } from "../kernel/context.js";
import { BadArg } from "../kernel/errors.js";
import { type ExitReason, isNormalClass } from "../kernel/exit-reason.js";
import { Pid } from "../kernel/pid.js";
import type { Process } from "../kernel/process.js";
import { termKey } from "../kernel/term-key.js";
import {
  reportError,
  reportProgress,
  type Started,
  startChild,
  stopChildren,
  withoutArgs,
} from "./child-lifecycle.js";
import { type AutoShutdown, type ChildSpec, checkChildSpec, type FullChildSpec } from "./child-spec.js";
import { addRestart, type RestartHistory } from "./restart-intensity.js";
import { announceSupervisor } from "./supervisor-introspection.js";

export type Strategy = "one_for_one" | "one_for_all" | "rest_for_one";

export interface SupervisorFlags {
  /** Required. */
  readonly strategy: Strategy;
  /** Restarts allowed within `period`. Default 3. */
  readonly intensity?: number;
  /** Seconds. Default 5. */
  readonly period?: number;
  /** Whether the end of significant children stops the supervisor. Default `never`. */
  readonly autoShutdown?: AutoShutdown;
  /** Milliseconds between two attempts of a failing restart. Default 0: at once, as in OTP. */
  readonly backoff?: number;
}

export interface SupervisorOptions extends SupervisorFlags {
  readonly name?: StartOptions["name"];
}

export type SupervisorInit = readonly ["ok", readonly [SupervisorFlags, readonly ChildSpec[]]] | "ignore";

/** A supervisor as a module: what it supervises is computed at each start. */
// biome-ignore lint/suspicious/noExplicitAny: the argument is the module's own affair
export interface SupervisorModule<Arg = any> {
  readonly name?: string;
  init(arg: Arg): SupervisorInit | Promise<SupervisorInit>;
}

export type StartChildResult =
  | readonly ["ok", Pid | undefined]
  | readonly ["ok", Pid, unknown]
  | readonly ["error", ExitReason];

export interface ChildInfo {
  readonly id: unknown;
  readonly pid: Pid | undefined | "restarting";
  readonly type: "worker" | "supervisor";
  readonly modules: readonly unknown[] | "dynamic";
}

export interface ChildCount {
  readonly specs: number;
  readonly active: number;
  readonly supervisors: number;
  readonly workers: number;
}

interface Child {
  spec: FullChildSpec;
  pid: Pid | undefined | "restarting";
  /** How often it was started again. */
  restarts: number;
}

/** Asks the supervisor, by itself, to try once more. */
class TryAgain {
  readonly key: unknown;

  constructor(key: unknown) {
    this.key = key;
  }
}

const fine = (reason: ExitReason, { restart, shutdown }: FullChildSpec): boolean => {
  if (shutdown === "brutal_kill") {
    if (reason === "killed") return true;
    return restart !== "permanent" && isNormalClass(reason);
  }
  return reason === "shutdown" || (restart !== "permanent" && isNormalClass(reason));
};

type Outcome = "ok" | "stop";

/** The children of one supervisor. Keeps start order: a Map remembers where a key was first put. */
class Children {
  readonly process: Process;
  readonly flags: Required<SupervisorFlags>;
  readonly byId = new Map<unknown, Child>();
  readonly #byPid = new Map<number | string, Child>();
  #history: RestartHistory = [];
  restarts = 0;

  constructor(process: Process, flags: Required<SupervisorFlags>) {
    this.process = process;
    this.flags = flags;
  }

  // ---------------------------------------------------------------- one child

  async start(child: Child): Promise<Started> {
    const result = await startChild(child.spec.start);
    if (result === "ignore") this.#setPid(child, undefined);
    else if (result[0] === "ok") {
      this.#setPid(child, result[1]);
      reportProgress(this.process, child.spec, result[1]);
    } else reportError(this.process, "start_error", result[1], child.spec, undefined);
    return result;
  }

  /** Stops children one after another in the given order; temporary ones are forgotten. */
  async stop(children: readonly Child[]): Promise<void> {
    for (const child of children) {
      const { pid } = child;
      if (pid instanceof Pid) {
        const [reason] = await stopChildren(this.process, [{ pid, shutdown: child.spec.shutdown }]);
        if (!fine(reason, child.spec)) reportError(this.process, "shutdown_error", reason, child.spec, pid);
      }
      this.#ended(child);
    }
  }

  stopAll(): Promise<void> {
    // Later children may depend on earlier ones, so they stop first.
    return this.stop([...this.byId.values()].reverse());
  }

  byPid(pid: Pid): Child | undefined {
    return this.#byPid.get(this.process.node.keyOf(pid));
  }

  #setPid(child: Child, pid: Child["pid"]): void {
    const { node } = this.process;
    if (child.pid instanceof Pid) this.#byPid.delete(node.keyOf(child.pid));
    child.pid = pid;
    if (pid instanceof Pid) this.#byPid.set(node.keyOf(pid), child);
  }

  #ended(child: Child): void {
    this.#setPid(child, undefined);
    if (child.spec.restart === "temporary") this.byId.delete(termKey(child.spec.id));
  }

  // ---------------------------------------------------------------- the end of a child

  async exited(child: Child, pid: Pid, reason: ExitReason): Promise<Outcome> {
    const { spec } = child;
    const normal = isNormalClass(reason);
    if (spec.restart === "permanent" || !normal)
      reportError(this.process, "child_terminated", reason, spec, pid);
    if (spec.restart === "permanent" || (spec.restart === "transient" && !normal)) return this.restart(child);
    this.#ended(child);
    return this.#autoShutdown(spec);
  }

  #autoShutdown(ended: FullChildSpec): Outcome {
    if (!ended.significant || this.flags.autoShutdown === "never") return "ok";
    if (this.flags.autoShutdown === "any_significant") return "stop";
    for (const { spec, pid } of this.byId.values()) {
      if (spec.significant && pid !== undefined) return "ok";
    }
    return "stop";
  }

  /** One attempt to restart: counted, and repeated later when it fails. */
  async restart(child: Child): Promise<Outcome> {
    const { history, exceeded } = addRestart(this.#history, this.process.node.clock.now(), this.flags);
    this.#history = history;
    if (exceeded) {
      reportError(
        this.process,
        "shutdown",
        "reached_max_restart_intensity",
        child.spec,
        child.pid instanceof Pid ? child.pid : undefined,
      );
      this.#ended(child);
      return "stop";
    }
    this.restarts += 1;
    this.#setPid(child, "restarting");
    const group = this.#group(child);
    if (group.length > 1) await this.stop(group.filter((other) => other !== child).reverse());
    for (const member of group) {
      if (member !== child && !this.byId.has(termKey(member.spec.id))) continue;
      member.restarts += 1;
      const result = await this.start(member);
      if (result !== "ignore" && result[0] === "error") {
        // The next attempt is anchored at the child that failed.
        if (child.pid === "restarting") this.#setPid(child, undefined);
        this.#setPid(member, "restarting");
        this.#tryAgain(member);
        break;
      }
    }
    return "ok";
  }

  /** The children that go down and up together with this one, in start order. */
  #group(child: Child): readonly Child[] {
    if (this.flags.strategy === "one_for_one") return [child];
    const all = [...this.byId.values()];
    return this.flags.strategy === "one_for_all" ? all : all.slice(all.indexOf(child));
  }

  #tryAgain(child: Child): void {
    const { process, flags } = this;
    const message = new TryAgain(termKey(child.spec.id));
    if (flags.backoff === 0) process.message(process.pid, message);
    else
      process.node.timers.after(flags.backoff, () => Pid.target(process.pid).message(process.pid, message));
  }

  // ---------------------------------------------------------------- requests

  async startNew(spec: unknown): Promise<StartChildResult> {
    const checked = checkChildSpec(spec, this.flags.autoShutdown);
    if (checked[0] === "error") return checked;
    const key = termKey(checked[1].id);
    const present = this.byId.get(key);
    if (present !== undefined)
      return ["error", present.pid instanceof Pid ? ["already_started", present.pid] : "already_present"];
    const child: Child = { spec: checked[1], pid: undefined, restarts: 0 };
    const result = await this.start(child);
    if (result === "ignore") {
      if (child.spec.restart !== "temporary") this.byId.set(key, child);
      return ["ok", undefined];
    }
    if (result[0] === "ok") {
      child.spec = withoutArgs(child.spec);
      this.byId.set(key, child);
      return result;
    }
    const [, reason] = result;
    if (Array.isArray(reason) && reason[0] === "already_started") return ["error", reason];
    return ["error", [reason, child.spec]];
  }

  async handle(operation: string, argument: unknown): Promise<unknown> {
    if (operation === "start_child") return this.startNew(argument);
    if (operation === "which_children") {
      return [...this.byId.values()]
        .reverse()
        .map(({ spec, pid }): ChildInfo => ({ id: spec.id, pid, type: spec.type, modules: spec.modules }));
    }
    if (operation === "count_children") return this.count();
    const child = this.byId.get(termKey(argument));
    if (child === undefined) return ["error", "not_found"];
    switch (operation) {
      case "terminate_child":
        await this.stop([child]);
        return "ok";
      case "get_childspec":
        return ["ok", child.spec];
      case "restart_child": {
        if (child.pid !== undefined) return ["error", child.pid === "restarting" ? "restarting" : "running"];
        const result = await this.start(child);
        return result === "ignore" ? ["ok", undefined] : result;
      }
      default:
        if (child.pid !== undefined) return ["error", child.pid === "restarting" ? "restarting" : "running"];
        this.byId.delete(termKey(argument));
        return "ok";
    }
  }

  count(): ChildCount {
    let [active, supervisors] = [0, 0];
    for (const { spec, pid } of this.byId.values()) {
      if (pid instanceof Pid && Pid.target(pid).alive) active += 1;
      if (spec.type === "supervisor") supervisors += 1;
    }
    const specs = this.byId.size;
    return { specs, active, supervisors, workers: specs - supervisors };
  }
}

// ------------------------------------------------------------------ the process

/** The fault of supervisor flags as OTP names it, or undefined. */
function faultOf(flags: Required<SupervisorFlags>): unknown {
  const { strategy, intensity, period, autoShutdown, backoff } = flags;
  if (!["one_for_one", "one_for_all", "rest_for_one"].includes(strategy))
    return ["invalid_strategy", strategy];
  if (!Number.isInteger(intensity) || intensity < 0) return ["invalid_intensity", intensity];
  if (typeof period !== "number" || !(period > 0) || period === Number.POSITIVE_INFINITY)
    return ["invalid_period", period];
  if (!["never", "any_significant", "all_significant"].includes(autoShutdown))
    return ["invalid_auto_shutdown", autoShutdown];
  if (!Number.isInteger(backoff) || backoff < 0) return ["invalid_backoff", backoff];
  return undefined;
}

interface SupervisorArg {
  readonly name: string;
  readonly init: () => unknown;
  readonly module: unknown;
}

const server: GenServerModule<Children, SupervisorArg> = {
  name: "Supervisor",

  async init({ init, module, name }) {
    trapExit(true);
    const process = current("Supervisor");
    process.label ??= name;
    const result = await init();
    if (result === "ignore") return "ignore";
    if (!isInit(result)) return ["stop", ["bad_return", [module, "init", result]]];
    const [given, specs] = result[1];
    if (typeof given !== "object" || given === null)
      return ["stop", ["supervisor_data", ["invalid_type", given]]];
    const flags = {
      strategy: given.strategy ?? "one_for_one",
      intensity: given.intensity ?? 3,
      period: given.period ?? 5,
      autoShutdown: given.autoShutdown ?? "never",
      backoff: given.backoff ?? 0,
    };
    const fault = faultOf(flags);
    if (fault !== undefined) return ["stop", ["supervisor_data", fault]];
    const checked = checkAll(specs, flags.autoShutdown);
    if (checked[0] === "error") return ["stop", ["start_spec", checked[1]]];
    const children = new Children(process, flags);
    for (const spec of checked[1]) {
      const child: Child = { spec, pid: undefined, restarts: 0 };
      const started = await children.start(child);
      if (started !== "ignore" && started[0] === "error") {
        await children.stopAll();
        return ["stop", ["shutdown", ["failed_to_start_child", spec.id, started[1]]]];
      }
      child.spec = withoutArgs(spec);
      if (started !== "ignore" || spec.restart !== "temporary") children.byId.set(termKey(spec.id), child);
    }
    announceSupervisor(process, {
      strategy: flags.strategy,
      restarts: () => children.restarts,
      children: () =>
        [...children.byId.values()].map(({ spec, pid, restarts }) => ({
          id: spec.id,
          type: spec.type,
          pid,
          restarts,
        })),
    });
    return ["ok", children];
  },

  async handleCall([operation, argument]: readonly [string, unknown], _from, children) {
    return ["reply", await children.handle(operation, argument), children];
  },

  async handleInfo(message, children) {
    let outcome: Outcome = "ok";
    if (message instanceof TryAgain) {
      const child = children.byId.get(message.key);
      // Terminated, deleted or started again by a request meanwhile.
      if (child?.pid === "restarting") outcome = await children.restart(child);
    } else if (Array.isArray(message) && message[0] === "EXIT" && message[1] instanceof Pid) {
      const child = children.byPid(message[1]);
      if (child !== undefined) outcome = await children.exited(child, message[1], message[2]);
    } else {
      children.process.node.report({
        kind: "notice",
        level: "error",
        text: "Supervisor received unexpected message",
        pid: children.process.pid,
        metadata: { message },
      });
    }
    return outcome === "stop" ? ["stop", "shutdown", children] : ["noreply", children];
  },

  async terminate(_reason, children) {
    await children.stopAll();
  },

  formatStatus: ({ state }) => ({ strategy: state.flags.strategy, ...state.count() }),
};

function isInit(value: unknown): value is Exclude<SupervisorInit, "ignore"> {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    value[0] === "ok" &&
    Array.isArray(value[1]) &&
    value[1].length === 2 &&
    Array.isArray(value[1][1])
  );
}

function checkAll(
  specs: readonly unknown[],
  autoShutdown: AutoShutdown,
): readonly ["ok", FullChildSpec[]] | readonly ["error", unknown] {
  const all: FullChildSpec[] = [];
  const seen = new Set<unknown>();
  for (const spec of specs) {
    const result = checkChildSpec(spec, autoShutdown);
    if (result[0] === "error") return result;
    const key = termKey(result[1].id);
    if (seen.has(key)) return ["error", ["duplicate_child_name", result[1].id]];
    seen.add(key);
    all.push(result[1]);
  }
  return ["ok", all];
}

/** @internal A request to a supervisor: no time limit, and specs are passed on as they are. */
export function ask<R>(supervisor: Dest, operation: string, argument?: unknown): Promise<R> {
  const message = [operation, argument] as const;
  const timeout = Number.POSITIVE_INFINITY;
  return request(supervisor, new CallQuestion(supervisor, message, timeout, "none"), timeout) as Promise<R>;
}

function startLink(children: readonly ChildSpec[], options: SupervisorOptions): Promise<StartResult>;
function startLink<Arg>(
  module: SupervisorModule<Arg>,
  arg?: Arg,
  options?: { readonly name?: StartOptions["name"] },
): Promise<StartResult>;
function startLink(
  first: readonly ChildSpec[] | SupervisorModule,
  second?: unknown,
  third: { readonly name?: StartOptions["name"] } = {},
): Promise<StartResult> {
  if (Array.isArray(first)) {
    const { name, ...flags } = (second ?? {}) as SupervisorOptions;
    if (flags.strategy === undefined)
      throw new BadArg(
        "badarg: Supervisor.startLink(children, options) needs the option strategy: one_for_one, one_for_all or rest_for_one",
      );
    const arg: SupervisorArg = {
      name: "Supervisor",
      module: "Supervisor",
      init: () => Supervisor.init(first, flags),
    };
    return GenServer.startLink(server, arg, { name });
  }
  const module = first as SupervisorModule;
  if (typeof module?.init !== "function")
    throw new BadArg(
      "badarg: Supervisor.startLink() takes a list of child specs, or a module with init(arg)",
    );
  const name = module.name ?? "Supervisor";
  return GenServer.startLink(
    server,
    { name, module: name, init: () => module.init(second) },
    { name: third.name },
  );
}

export const Supervisor = {
  /**
   * Starts a supervisor linked to the caller, and its children from left to right. Resolves when
   * all are up. When one fails, those before it are stopped and the result is `["error",
   * ["shutdown", ["failed_to_start_child", id, reason]]]`.
   */
  startLink,

  /** What a module's `init` returns. */
  init(children: readonly ChildSpec[], flags: SupervisorFlags): SupervisorInit {
    return ["ok", [flags, children]];
  },

  /** The spec of a supervisor as a child of another. */
  childSpec(
    children: readonly ChildSpec[],
    options: SupervisorOptions & Partial<Pick<ChildSpec, "id" | "restart" | "significant">>,
  ): ChildSpec {
    const { id, restart, significant, ...rest } = options;
    return {
      id: id ?? (typeof rest.name === "string" ? rest.name : "Supervisor"),
      start: [startLink, [children, rest]],
      type: "supervisor",
      modules: ["Supervisor"],
      ...(restart === undefined ? {} : { restart }),
      ...(significant === undefined ? {} : { significant }),
    };
  },

  /**
   * Adds a child and starts it: `["ok", pid]`, `["ok", undefined]` when it ignores,
   * `["error", ["already_started", pid] | "already_present" | [reason, spec] | spec fault]`.
   */
  startChild: (supervisor: Dest, spec: ChildSpec): Promise<StartChildResult> =>
    ask(supervisor, "start_child", spec),

  /**
   * Stops a child; its spec stays unless it is temporary. Ends a restart that keeps failing, too.
   */
  terminateChild: (supervisor: Dest, id: unknown): Promise<"ok" | readonly ["error", "not_found"]> =>
    ask(supervisor, "terminate_child", id),

  /**
   * Starts a child that was stopped: `error` `running`, `restarting`, `not_found` or why it failed.
   */
  restartChild: (supervisor: Dest, id: unknown): Promise<StartChildResult> =>
    ask(supervisor, "restart_child", id),

  /**
   * Forgets the spec of a child that does not run: `error` `running`, `restarting` or `not_found`.
   */
  deleteChild: (
    supervisor: Dest,
    id: unknown,
  ): Promise<"ok" | readonly ["error", "running" | "restarting" | "not_found"]> =>
    ask(supervisor, "delete_child", id),

  /** The spec with every field filled in. */
  getChildspec: (
    supervisor: Dest,
    id: unknown,
  ): Promise<readonly ["ok", FullChildSpec] | readonly ["error", "not_found"]> =>
    ask(supervisor, "get_childspec", id),

  /** All children, the newest first. */
  whichChildren: (supervisor: Dest): Promise<readonly ChildInfo[]> => ask(supervisor, "which_children"),

  /** How many specs, living children, supervisors and workers there are. */
  countChildren: (supervisor: Dest): Promise<ChildCount> => ask(supervisor, "count_children"),

  /** Stops the supervisor and waits, as `GenServer.stop`. */
  stop: (supervisor: Dest, reason: ExitReason = "normal", timeout?: number): Promise<"ok"> =>
    GenServer.stop(supervisor, reason, timeout),
};
