/**
 * A supervisor whose children are started on demand, any number of one or of many kinds (Elixir:
 * DynamicSupervisor).
 *
 * It starts empty. Children have no ids and no order: each is restarted alone, and when the
 * supervisor stops, all are stopped at once. Use it for processes per connection, per room or per
 * job; for a fixed set see supervisor.ts.
 */

import {
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
import { reportError, reportProgress, startChild, stopChildren, withoutArgs } from "./child-lifecycle.js";
import { type ChildSpec, checkChildSpec, type FullChildSpec } from "./child-spec.js";
import { addRestart, type RestartHistory } from "./restart-intensity.js";
import { ask, type ChildCount, type ChildInfo } from "./supervisor.js";
import { announceSupervisor } from "./supervisor-introspection.js";

export interface DynamicSupervisorFlags {
  /** The only one there is. */
  readonly strategy?: "one_for_one";
  /** Default Infinity. A child waiting for a restart counts. */
  readonly maxChildren?: number;
  /** Restarts allowed within `maxSeconds`. Default 3. */
  readonly maxRestarts?: number;
  /** Default 5. */
  readonly maxSeconds?: number;
  /** Put before the arguments of every child, at restarts too. */
  readonly extraArguments?: readonly unknown[];
}

export interface DynamicSupervisorOptions extends DynamicSupervisorFlags {
  readonly name?: StartOptions["name"];
}

export type DynamicSupervisorInit = readonly ["ok", DynamicSupervisorFlags] | "ignore";

// biome-ignore lint/suspicious/noExplicitAny: the argument is the module's own affair
export interface DynamicSupervisorModule<Arg = any> {
  readonly name?: string;
  init(arg: Arg): DynamicSupervisorInit | Promise<DynamicSupervisorInit>;
}

export type DynamicStartResult =
  | readonly ["ok", Pid]
  | readonly ["ok", Pid, unknown]
  | "ignore"
  | readonly ["error", ExitReason];

interface Child {
  readonly spec: FullChildSpec;
  /** While restarting, the pid it had: it is still addressed by it. */
  readonly pid: Pid;
  restarting: boolean;
  /** How often it was started again. */
  readonly restarts: number;
}

class TryAgain {
  readonly child: Child;

  constructor(child: Child) {
    this.child = child;
  }
}

type Outcome = "ok" | "stop";

/** No promise where none is needed: children of connections come and go by the thousand. */
class DynamicChildren {
  readonly process: Process;
  readonly flags: Required<DynamicSupervisorFlags>;
  readonly #children = new Map<number | string, Child>();
  #history: RestartHistory = [];
  /** Kept of the last temporary child. */
  #temporary: FullChildSpec | undefined;
  restarts = 0;

  constructor(process: Process, flags: Required<DynamicSupervisorFlags>) {
    this.process = process;
    this.flags = flags;
  }

  all(): readonly Child[] {
    return [...this.#children.values()];
  }

  start(spec: FullChildSpec): DynamicStartResult | Promise<DynamicStartResult> {
    if (this.#children.size >= this.flags.maxChildren) return ["error", "max_children"];
    return startChild(spec.start, this.flags.extraArguments).then((result) => {
      if (result !== "ignore" && result[0] === "ok") this.#add(this.#kept(spec), result[1]);
      return result;
    });
  }

  /**
   * What is kept of a spec. Of a temporary child that is nothing of its own: children of one kind
   * share it.
   */
  #kept(spec: FullChildSpec): FullChildSpec {
    if (spec.restart !== "temporary") return spec;
    const last = this.#temporary;
    if (last !== undefined && sameKind(last, spec)) return last;
    this.#temporary = { ...withoutArgs(spec), id: undefined };
    return this.#temporary;
  }

  #add(spec: FullChildSpec, pid: Pid, restarts = 0): void {
    this.#children.set(this.process.node.keyOf(pid), { spec, pid, restarting: false, restarts });
    reportProgress(this.process, spec, pid);
  }

  #remove(child: Child): void {
    this.#children.delete(this.process.node.keyOf(child.pid));
  }

  exited(pid: Pid, reason: ExitReason): Outcome | Promise<Outcome> {
    const child = this.#children.get(this.process.node.keyOf(pid));
    if (child === undefined || child.restarting) return "ok";
    const { spec } = child;
    const normal = isNormalClass(reason);
    if (spec.restart === "permanent" || !normal)
      reportError(this.process, "child_terminated", reason, spec, pid);
    if (spec.restart === "permanent" || (spec.restart === "transient" && !normal)) return this.restart(child);
    this.#remove(child);
    return "ok";
  }

  async restart(child: Child): Promise<Outcome> {
    const { process, flags } = this;
    const limit = { intensity: flags.maxRestarts, period: flags.maxSeconds };
    const { history, exceeded } = addRestart(this.#history, process.node.clock.now(), limit);
    this.#history = history;
    if (exceeded) {
      reportError(process, "shutdown", "reached_max_restart_intensity", child.spec, child.pid);
      this.#remove(child);
      return "stop";
    }
    this.restarts += 1;
    const result = await startChild(child.spec.start, flags.extraArguments);
    if (result === "ignore") this.#remove(child);
    else if (result[0] === "ok") {
      this.#remove(child);
      this.#add(child.spec, result[1], child.restarts + 1);
    } else {
      reportError(process, "start_error", result[1], child.spec, child.pid);
      child.restarting = true;
      process.message(process.pid, new TryAgain(child));
    }
    return "ok";
  }

  tryAgain(child: Child): Outcome | Promise<Outcome> {
    const still = this.#children.get(this.process.node.keyOf(child.pid)) === child;
    return still && child.restarting ? this.restart(child) : "ok";
  }

  async terminate(pid: unknown): Promise<unknown> {
    const child = pid instanceof Pid ? this.#children.get(this.process.node.keyOf(pid)) : undefined;
    if (child === undefined) return ["error", "not_found"];
    if (!child.restarting) await this.#stop([child]);
    this.#remove(child);
    return "ok";
  }

  async stopAll(): Promise<void> {
    await this.#stop(this.all().filter((child) => !child.restarting));
    this.#children.clear();
  }

  async #stop(children: readonly Child[]): Promise<void> {
    const reasons = await stopChildren(
      this.process,
      children.map(({ pid, spec }) => ({ pid, shutdown: spec.shutdown })),
    );
    for (const [index, { spec, pid }] of children.entries()) {
      if (!fine(reasons[index], spec)) reportError(this.process, "shutdown_error", reasons[index], spec, pid);
    }
  }

  count(): ChildCount {
    let [active, supervisors] = [0, 0];
    for (const { spec, restarting } of this.#children.values()) {
      if (!restarting) active += 1;
      if (spec.type === "supervisor") supervisors += 1;
    }
    const specs = this.#children.size;
    return { specs, active, supervisors, workers: specs - supervisors };
  }
}

const sameKind = (a: FullChildSpec, b: FullChildSpec): boolean =>
  a.start[0] === b.start[0] &&
  a.shutdown === b.shutdown &&
  a.type === b.type &&
  (a.modules === b.modules ||
    (a.modules.length === 1 && b.modules.length === 1 && a.modules[0] === b.modules[0]));

/** Ends that are no fault when the supervisor stopped the child. Not quite Supervisor's list. */
function fine(reason: ExitReason, { restart, shutdown }: FullChildSpec): boolean {
  if (shutdown === "brutal_kill") return reason === "killed";
  return reason === "normal" ? restart !== "permanent" : isNormalClass(reason);
}

function faultOf(flags: Required<DynamicSupervisorFlags>): unknown {
  const { strategy, maxChildren, maxRestarts, maxSeconds, extraArguments } = flags;
  const whole = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0;
  if (strategy !== "one_for_one") return ["invalid_strategy", strategy];
  if (!whole(maxChildren) && maxChildren !== Number.POSITIVE_INFINITY)
    return ["invalid_max_children", maxChildren];
  if (!whole(maxRestarts)) return ["invalid_intensity", maxRestarts];
  if (typeof maxSeconds !== "number" || !(maxSeconds > 0) || maxSeconds === Number.POSITIVE_INFINITY)
    return ["invalid_period", maxSeconds];
  if (!Array.isArray(extraArguments)) return ["invalid_extra_arguments", extraArguments];
  return undefined;
}

interface DynamicArg {
  readonly name: string;
  readonly init: () => unknown;
}

const server: GenServerModule<DynamicChildren, DynamicArg> = {
  name: "DynamicSupervisor",

  async init({ name, init }) {
    trapExit(true);
    const process = current("DynamicSupervisor");
    process.label ??= name;
    const result = await init();
    if (result === "ignore") return "ignore";
    if (!Array.isArray(result) || result[0] !== "ok" || result.length !== 2)
      return ["stop", ["bad_return", [name, "init", result]]];
    const given = result[1] as DynamicSupervisorFlags;
    if (typeof given !== "object" || given === null)
      return ["stop", ["supervisor_data", ["invalid_type", given]]];
    const flags = {
      strategy: given.strategy ?? "one_for_one",
      maxChildren: given.maxChildren ?? Number.POSITIVE_INFINITY,
      maxRestarts: given.maxRestarts ?? 3,
      maxSeconds: given.maxSeconds ?? 5,
      extraArguments: given.extraArguments ?? [],
    };
    const fault = faultOf(flags);
    if (fault !== undefined) return ["stop", ["supervisor_data", fault]];
    const children = new DynamicChildren(process, flags);
    announceSupervisor(process, {
      strategy: "one_for_one",
      restarts: () => children.restarts,
      children: () =>
        children.all().map(({ spec, pid, restarting, restarts }) => ({
          id: undefined,
          type: spec.type,
          pid: restarting ? "restarting" : pid,
          restarts,
        })),
    });
    return ["ok", children];
  },

  handleCall([operation, argument]: readonly [string, unknown], _from, children) {
    switch (operation) {
      case "start_child": {
        const started = children.start(argument as FullChildSpec);
        return started instanceof Promise
          ? started.then((result) => ["reply", result, children] as const)
          : ["reply", started, children];
      }
      case "terminate_child":
        return children.terminate(argument).then((result) => ["reply", result, children] as const);
      case "count_children":
        return ["reply", children.count(), children];
      default: {
        const list = children.all().map(
          ({ spec, pid, restarting }): ChildInfo => ({
            id: undefined,
            pid: restarting ? "restarting" : pid,
            type: spec.type,
            modules: spec.modules,
          }),
        );
        return ["reply", list, children];
      }
    }
  },

  handleInfo(message, children) {
    let outcome: Outcome | Promise<Outcome> = "ok";
    if (message instanceof TryAgain) outcome = children.tryAgain(message.child);
    else if (Array.isArray(message) && message[0] === "EXIT" && message[1] instanceof Pid)
      outcome = children.exited(message[1], message[2]);
    else {
      children.process.node.report({
        kind: "notice",
        level: "error",
        text: "DynamicSupervisor received unexpected message",
        pid: children.process.pid,
        metadata: { message },
      });
    }
    const step = (result: Outcome) =>
      result === "stop" ? (["stop", "shutdown", children] as const) : (["noreply", children] as const);
    return outcome instanceof Promise ? outcome.then(step) : step(outcome);
  },

  async terminate(_reason, children) {
    await children.stopAll();
  },

  formatStatus: ({ state }) => state.count(),
};

function startLink(options?: DynamicSupervisorOptions): Promise<StartResult>;
function startLink<Arg>(
  module: DynamicSupervisorModule<Arg>,
  arg?: Arg,
  options?: { readonly name?: StartOptions["name"] },
): Promise<StartResult>;
function startLink(
  first: DynamicSupervisorOptions | DynamicSupervisorModule = {},
  second?: unknown,
  third: { readonly name?: StartOptions["name"] } = {},
): Promise<StartResult> {
  if (typeof first !== "object" || first === null)
    throw new BadArg("badarg: DynamicSupervisor.startLink() takes options, or a module with init(arg)");
  if ("init" in first) {
    const name = first.name ?? "DynamicSupervisor";
    return GenServer.startLink(server, { name, init: () => first.init(second) }, { name: third.name });
  }
  const { name, ...flags } = first;
  const arg: DynamicArg = { name: "DynamicSupervisor", init: () => ["ok", flags] };
  return GenServer.startLink(server, arg, { name });
}

export const DynamicSupervisor = {
  /** Starts a supervisor without children, linked to the caller. */
  startLink,

  /** The spec of a DynamicSupervisor as a child. */
  childSpec(options: DynamicSupervisorOptions & Partial<Pick<ChildSpec, "id" | "restart">> = {}): ChildSpec {
    const { id, restart, ...rest } = options;
    return {
      id: id ?? (typeof rest.name === "string" ? rest.name : "DynamicSupervisor"),
      start: [startLink, [rest]],
      type: "supervisor",
      modules: ["DynamicSupervisor"],
      ...(restart === undefined ? {} : { restart }),
    };
  },

  /**
   * Starts a child; its `id` does not matter. `["ok", pid]`, `"ignore"` (nothing is kept), or
   * `["error", "max_children" | reason | spec fault]`. The spec is checked in the caller.
   */
  async startChild(supervisor: Dest, spec: ChildSpec): Promise<DynamicStartResult> {
    const checked = checkChildSpec(spec, "dynamic");
    if (checked[0] === "error") return checked;
    return ask(supervisor, "start_child", checked[1]);
  },

  /** Stops a child and forgets it. A restarting child goes by the pid it had. */
  terminateChild: (supervisor: Dest, pid: Pid): Promise<"ok" | readonly ["error", "not_found"]> =>
    ask(supervisor, "terminate_child", pid),

  /** All children; their ids are undefined. */
  whichChildren: (supervisor: Dest): Promise<readonly ChildInfo[]> => ask(supervisor, "which_children"),

  countChildren: (supervisor: Dest): Promise<ChildCount> => ask(supervisor, "count_children"),

  /** Stops the supervisor and waits, as `GenServer.stop`. */
  stop: (supervisor: Dest, reason: ExitReason = "normal", timeout?: number): Promise<"ok"> =>
    GenServer.stop(supervisor, reason, timeout),
};
