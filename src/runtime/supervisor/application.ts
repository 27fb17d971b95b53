/**
 * Applications: a name, a supervision tree, and what must run before it (OTP: `application`).
 *
 *     const shop = defineApplication({
 *       name: "shop",
 *       dependencies: [database],
 *       start: () => Supervisor.startLink([…], { strategy: "one_for_one" }),
 *     });
 *     await Application.ensureAllStarted(shop);
 *
 * Dependencies start first and stop last. Stopping one: `prepStop`, then its tree goes down with
 * `shutdown`, then `stop`. When the root supervisor of a running application ends by itself, its
 * type decides: `permanent` takes every other application down, `transient` does so unless the end
 * was normal, `temporary` (the default) is reported.
 *
 * A program runs applications with `runApplications`, which also minds SIGTERM and SIGINT.
 */

import { GenServer, type GenServerModule, type StartResult } from "../gen-server/gen-server.js";
import { exit, link, monitor, receive, trapExit, unlink, whereis } from "../kernel/bifs.js";
import { current, self } from "../kernel/context.js";
import { BadArg } from "../kernel/errors.js";
import { type ExitReason, isNormalClass, reasonOfThrow } from "../kernel/exit-reason.js";
import type { RuntimeNode } from "../kernel/node.js";
import { Pid, type Ref } from "../kernel/pid.js";
import { show, showTerm } from "../kernel/show.js";

export type ApplicationType = "permanent" | "transient" | "temporary";

export interface ApplicationSpec<State = unknown> {
  readonly name: string;
  /** Started before, stopped after. Default none. */
  readonly dependencies?: readonly ApplicationSpec[];
  /** Starts the root supervisor, linked: `["ok", pid]` or `["ok", pid, state]`. */
  start(
    type: "normal",
    args: unknown,
  ): StartResult | readonly ["ok", Pid, State] | Promise<StartResult | readonly ["ok", Pid, State]>;
  /** Given to `start`. */
  readonly args?: unknown;
  /** Before the tree goes down. What it returns is the state `stop` gets. */
  prepStop?(state: State | undefined): unknown;
  /** After the tree is down. */
  stop?(state: unknown): unknown;
}

export type ApplicationResult =
  | "ok"
  | readonly ["error", readonly ["already_started", string] | readonly ["not_started", string] | ExitReason];

const CONTROLLER = "application_controller";

interface Running {
  readonly spec: ApplicationSpec;
  readonly type: ApplicationType;
  readonly root: Pid;
  readonly state: unknown;
}

interface Controller {
  /** In start order. */
  readonly running: Map<string, Running>;
  /** Who waits for all applications to be gone because one that mattered has ended. */
  readonly onDown: (reason: ExitReason) => void;
}

type Request =
  | readonly ["start", ApplicationSpec, ApplicationType]
  | readonly ["stop", name: string]
  | readonly ["stop_all"]
  | readonly ["which"]
  | readonly ["root", name: string];

const controller: GenServerModule<Controller, (reason: ExitReason) => void> = {
  name: "ApplicationController",
  init(onDown) {
    trapExit(true);
    return ["ok", { running: new Map(), onDown }];
  },
  async handleCall(request: Request, _from, state) {
    switch (request[0]) {
      case "start":
        return ["reply", await start(state, request[1], request[2]), state];
      case "stop": {
        const application = state.running.get(request[1]);
        if (application === undefined) return ["reply", ["error", ["not_started", request[1]]], state];
        await stop(state, application);
        return ["reply", "ok", state];
      }
      case "stop_all":
        await stopAll(state);
        return ["reply", "ok", state];
      case "which":
        return ["reply", [...state.running.keys()].reverse(), state];
      case "root":
        return ["reply", state.running.get(request[1])?.root, state];
    }
  },
  async handleInfo(message, state) {
    if (!Array.isArray(message) || message[0] !== "EXIT") return ["noreply", state];
    const [, pid, reason] = message as unknown as readonly [string, Pid, ExitReason];
    const application = [...state.running.values()].find(({ root }) => root.equals(pid));
    if (application === undefined) return ["noreply", state];
    const { spec, type } = application;
    state.running.delete(spec.name);
    await finish(application, application.state);
    const fatal = type === "permanent" || (type === "transient" && !isNormalClass(reason));
    current("applications").node.report({
      kind: "notice",
      level: fatal ? "error" : "warning",
      text: `application ${spec.name} (${type}) has ended${fatal ? "; all others are stopped" : ""}`,
      pid,
      metadata: { reason },
    });
    if (fatal) {
      await stopAll(state);
      state.onDown([spec.name, reason]);
    }
    return ["noreply", state];
  },
  async terminate(_reason, state) {
    await stopAll(state);
  },
  formatStatus: ({ state }) => ({ running: [...state.running.keys()] }),
};

async function start(
  state: Controller,
  spec: ApplicationSpec,
  type: ApplicationType,
): Promise<ApplicationResult> {
  if (state.running.has(spec.name)) return ["error", ["already_started", spec.name]];
  const absent = (spec.dependencies ?? []).find(({ name }) => !state.running.has(name));
  if (absent !== undefined) return ["error", ["not_started", absent.name]];
  let result: unknown;
  try {
    result = await spec.start("normal", spec.args);
  } catch (thrown) {
    return ["error", reasonOfThrow(thrown)];
  }
  if (Array.isArray(result) && result[0] === "ok" && result[1] instanceof Pid) {
    link(result[1]);
    state.running.set(spec.name, { spec, type, root: result[1], state: result[2] });
    return "ok";
  }
  if (Array.isArray(result) && result[0] === "error") return ["error", result[1]];
  return ["error", ["bad_return", [spec.name, "start", result]]];
}

/**
 * Stops one: `prepStop`, the tree, `stop`. What its callbacks throw is reported and stops nothing.
 */
async function stop(state: Controller, application: Running): Promise<void> {
  const { spec, root } = application;
  state.running.delete(spec.name);
  let last = application.state;
  if (spec.prepStop !== undefined) {
    last = await guarded(application, "prepStop", () => spec.prepStop?.(application.state));
  }
  const ref = monitor(root);
  unlink(root);
  exit(root, "shutdown");
  await receive((message) => isDown(message, ref), { since: ref });
  await finish(application, last);
}

const isDown = (message: unknown, ref: Ref): true | undefined =>
  Array.isArray(message) && message[0] === "DOWN" && ref.equals(message[1]) ? true : undefined;

async function finish(application: Running, last: unknown): Promise<void> {
  await guarded(application, "stop", () => application.spec.stop?.(last));
}

async function guarded(application: Running, callback: string, fn: () => unknown): Promise<unknown> {
  try {
    return await fn();
  } catch (error) {
    current("applications").node.report({
      kind: "notice",
      level: "error",
      text: `application ${application.spec.name}: ${callback} failed`,
      pid: self(),
      metadata: { error },
    });
    return undefined;
  }
}

async function stopAll(state: Controller): Promise<void> {
  for (const application of [...state.running.values()].reverse()) await stop(state, application);
}

async function ensureController(onDown: (reason: ExitReason) => void = () => {}): Promise<void> {
  if (whereis(CONTROLLER) !== undefined) return;
  await GenServer.start(controller, onDown, { name: CONTROLLER });
}

const ask = async <R>(request: Request): Promise<R> => {
  await ensureController();
  return GenServer.call<R>(CONTROLLER, request, Number.POSITIVE_INFINITY);
};

function check(spec: ApplicationSpec, type: ApplicationType): void {
  if (typeof spec?.name !== "string" || spec.name === "" || typeof spec.start !== "function")
    throw new BadArg("badarg: an application is { name: a non-empty string, start: a function, … }");
  if (!["permanent", "transient", "temporary"].includes(type))
    throw new BadArg(
      `badarg: an application's type is "permanent", "transient" or "temporary", got ${show(type)}`,
    );
}

/** Only for its types: gives `spec` back. */
export const defineApplication = <State>(spec: ApplicationSpec<State>): ApplicationSpec =>
  spec as ApplicationSpec;

export const Application = {
  /**
   * Starts one whose dependencies run: `"ok"`, `already_started`, `not_started`, or why its start
   * failed.
   */
  async start(spec: ApplicationSpec, type: ApplicationType = "temporary"): Promise<ApplicationResult> {
    check(spec, type);
    return ask(["start", spec, type]);
  },

  /**
   * Starts one and before it whatever it depends on; `["ok", names]` of those that were not
   * running, in start order.
   */
  async ensureAllStarted(
    spec: ApplicationSpec,
    type: ApplicationType = "temporary",
  ): Promise<readonly ["ok", readonly string[]] | readonly ["error", readonly [string, ExitReason]]> {
    check(spec, type);
    const started: string[] = [];
    const visit = async (
      each: ApplicationSpec,
      path: readonly string[],
    ): Promise<readonly [string, ExitReason] | undefined> => {
      if (path.includes(each.name))
        throw new BadArg(
          `badarg: applications depend on each other in a circle: ${[...path, each.name].join(" > ")}`,
        );
      for (const dependency of each.dependencies ?? []) {
        const failed = await visit(dependency, [...path, each.name]);
        if (failed !== undefined) return failed;
      }
      const result = await ask<ApplicationResult>(["start", each, type]);
      if (result === "ok") started.push(each.name);
      else if (!(Array.isArray(result[1]) && result[1][0] === "already_started"))
        return [each.name, result[1]];
      return undefined;
    };
    const failed = await visit(spec, []);
    return failed === undefined ? ["ok", started] : ["error", failed];
  },

  /** Stops one. The applications that it depends on continue. */
  stop: (name: string): Promise<ApplicationResult> => ask(["stop", name]),

  /** Stops all, the newest first. */
  stopAll: (): Promise<"ok"> => ask(["stop_all"]),

  /** The names of those that run, the newest first. */
  whichApplications: (): Promise<readonly string[]> => ask(["which"]),

  /** The root supervisor of one; undefined when it does not run. */
  rootSupervisor: (name: string): Promise<Pid | undefined> => ask(["root", name]),
};

export interface RunOptions {
  /** Milliseconds an orderly stop may take. Default 30,000. */
  readonly deadlineMs?: number;
  /** Default SIGTERM and SIGINT. */
  readonly signals?: readonly NodeJS.Signals[];
  /** Ends the program. Default `process.exit`; tests give their own. */
  readonly exitProgram?: (code: number) => void;
  readonly type?: ApplicationType;
}

/**
 * Runs applications as a program: starts them in order with what they depend on, then waits.
 * SIGTERM or SIGINT stops all in reverse order and ends the program with 0; a second signal, or
 * `deadlineMs` passing, ends it with 1 at once, and so does the end of one that is `permanent` (the
 * default here). Rejects when one does not start; those before it are stopped again.
 */
export async function runApplications(
  node: RuntimeNode,
  specs: readonly ApplicationSpec[],
  options: RunOptions = {},
): Promise<void> {
  const { deadlineMs = 30_000, signals = ["SIGTERM", "SIGINT"], type = "permanent" } = options;
  const exitProgram = options.exitProgram ?? ((code: number) => process.exit(code));
  let stopping = false;
  const leave = (code: number): void => {
    for (const signal of signals) process.off(signal, onSignal);
    clearTimeout(deadline);
    exitProgram(code);
  };
  let deadline: NodeJS.Timeout | undefined;
  const onSignal = (): void => {
    if (stopping) {
      leave(1);
      return;
    }
    stopping = true;
    deadline = setTimeout(() => {
      console.error(`[simurgh] the applications did not stop within ${deadlineMs} ms`);
      leave(1);
    }, deadlineMs);
    node
      .run(() => Application.stopAll())
      .then(() => node.stop())
      .then(
        () => leave(0),
        () => leave(1),
      );
  };
  const failed = await node.run(async () => {
    await ensureController(() => {
      if (!stopping) leave(1);
    });
    for (const spec of specs) {
      const result = await Application.ensureAllStarted(spec, type);
      if (result[0] === "error") {
        await Application.stopAll();
        return result[1];
      }
    }
    return undefined;
  });
  if (failed !== undefined) {
    const [name, reason] = failed;
    throw new Error(`the application ${name} did not start: ${showTerm(reason)}`, { cause: reason });
  }
  for (const signal of signals) process.on(signal, onSignal);
}
