/**
 * A supervisor for tasks: a DynamicSupervisor whose children run one function each and are not
 * restarted (Elixir: Task.Supervisor).
 *
 * A task for an owner runs nothing before its owner watches it and has said so: an owner that is
 * gone by then is not worked for.
 */

import type { StartResult } from "../gen-server/gen-server.js";
import { type Dest, exit, link, monitor, receive, send } from "../kernel/bifs.js";
import { current } from "../kernel/context.js";
import { BadArg } from "../kernel/errors.js";
import type { Pid, Ref } from "../kernel/pid.js";
import { DynamicSupervisor, type DynamicSupervisorOptions } from "../supervisor/dynamic-supervisor.js";
import { type AsyncStreamOptions, asyncStream } from "./async-stream.js";
import { createTask, type Task, taskInternals } from "./task.js";

const HANDSHAKE_MS = 5000;

/** The start function of a child with a caller that waits: runs as the supervisor. */
function startFor(owner: Pid, callers: readonly Pid[], fn: () => unknown): readonly ["ok", Pid] {
  const supervisor = current("Task.Supervisor");
  const body = async (): Promise<void> => {
    const ownerRef = monitor(owner);
    const go = await receive(
      (message) => {
        if (!Array.isArray(message)) return undefined;
        if (message[0] === "go" && owner.equals(message[1])) return { ref: message[2] as Ref };
        if (message[0] === "DOWN" && ownerRef.equals(message[1])) return { gone: message[4] as unknown };
        return undefined;
      },
      { after: HANDSHAKE_MS },
    );
    if (go === undefined) exit("timeout");
    if ("gone" in go) exit(["shutdown", go.gone]);
    const value = await fn();
    send(go.ref, [go.ref, value]);
  };
  const process = createTask(supervisor, fn, body, callers);
  supervisor.linkTo(process.pid);
  return ["ok", process.pid];
}

/** The start function of a child without a caller that waits. */
function startAlone(callers: readonly Pid[], fn: () => unknown): readonly ["ok", Pid] {
  const supervisor = current("Task.Supervisor");
  const process = createTask(supervisor, fn, fn, callers);
  supervisor.linkTo(process.pid);
  return ["ok", process.pid];
}

async function begin<T>(supervisor: Dest, fn: () => T | Promise<T>, linked: boolean): Promise<Task<T>> {
  taskInternals.checkFunction(fn);
  const owner = current("Task.Supervisor.async()");
  const callers = taskInternals.callersOf(owner);
  const started = await DynamicSupervisor.startChild(supervisor, {
    start: [startFor, [owner.pid, callers, fn]],
    restart: "temporary",
  });
  if (!Array.isArray(started) || started[0] !== "ok") {
    throw new BadArg(
      `badarg: the task was not started: ${JSON.stringify(Array.isArray(started) ? started[1] : started)}`,
    );
  }
  const pid = started[1] as Pid;
  if (linked) link(pid);
  const ref = monitor(pid, { alias: "demonitor" });
  send(pid, ["go", owner.pid, ref]);
  return { pid, ref, owner: owner.pid };
}

export const TaskSupervisor = {
  /** Starts a supervisor for tasks. Options as of DynamicSupervisor. */
  startLink: (options: DynamicSupervisorOptions = {}): Promise<StartResult> =>
    DynamicSupervisor.startLink(options),
  childSpec: DynamicSupervisor.childSpec,

  /**
   * A task under the supervisor, linked to the caller. Throws `BadArg` when the supervisor takes no
   * more.
   */
  async: <T>(supervisor: Dest, fn: () => T | Promise<T>): Promise<Task<T>> => begin(supervisor, fn, true),
  /** As `async`, but its failure does not reach the caller. */
  asyncNolink: <T>(supervisor: Dest, fn: () => T | Promise<T>): Promise<Task<T>> =>
    begin(supervisor, fn, false),

  /** A task without a result; `["error", "max_children"]` when the supervisor is full. */
  startChild(
    supervisor: Dest,
    fn: () => unknown,
    options: { readonly restart?: "temporary" | "transient" | "permanent" } = {},
  ) {
    taskInternals.checkFunction(fn);
    const callers = taskInternals.callersOf(current("Task.Supervisor.startChild()"));
    return DynamicSupervisor.startChild(supervisor, {
      start: [startAlone, [callers, fn]],
      restart: options.restart ?? "temporary",
    });
  },

  asyncStream: <In, Out>(
    supervisor: Dest,
    inputs: Iterable<In> | AsyncIterable<In>,
    fn: (input: In) => Out | Promise<Out>,
    options?: AsyncStreamOptions,
  ) => asyncStream(inputs, fn, options, (run) => begin(supervisor, run, true)),
  asyncStreamNolink: <In, Out>(
    supervisor: Dest,
    inputs: Iterable<In> | AsyncIterable<In>,
    fn: (input: In) => Out | Promise<Out>,
    options?: AsyncStreamOptions,
  ) => asyncStream(inputs, fn, options, (run) => begin(supervisor, run, false)),

  terminateChild: (supervisor: Dest, pid: Pid) => DynamicSupervisor.terminateChild(supervisor, pid),
  /** The pids of the running tasks. */
  async children(supervisor: Dest): Promise<Pid[]> {
    return (await DynamicSupervisor.whichChildren(supervisor))
      .map(({ pid }) => pid)
      .filter((pid): pid is Pid => typeof pid === "object");
  },
};
