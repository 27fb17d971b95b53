/**
 * A task is a process that runs one function; its caller can wait for the value (Elixir: Task).
 *
 *     const task = Task.async(() => compute(7));
 *     …
 *     const value = await Task.await(task);
 *
 * The task is linked to its owner: when it fails, an owner that does not trap exits fails too. Its
 * value comes to the owner's mailbox as `[ref, value]`; only the owner may wait for it, once.
 *
 * For tasks that outlive or must not hurt their owner, see task-supervisor.ts.
 */

import { checkDelay, demonitor, exit, monitor, receive, send, unlink } from "../kernel/bifs.js";
import { current } from "../kernel/context.js";
import { BadArg, ExitSignal } from "../kernel/errors.js";
import { type ExitReason, isNormalClass } from "../kernel/exit-reason.js";
import type { Pid, Ref } from "../kernel/pid.js";
import type { Process } from "../kernel/process.js";

export interface Task<T = unknown> {
  /** Null for a task that was completed from the start. */
  readonly pid: Pid | null;
  readonly ref: Ref;
  readonly owner: Pid;
  /** Never there: carries the type of the value. */
  readonly value?: T;
}

export type TaskResult<T> = readonly ["ok", T] | readonly ["exit", ExitReason];

/** What the owner's receive finds of a task. */
type Arrival = { readonly value: unknown } | { readonly reason: ExitReason };

const DEFAULT_TIMEOUT = 5000;

// ------------------------------------------------------------------ starting

/**
 * @internal A process that runs `fn` and, when it has a caller, sends the result; its failure is
 * reported as a task's.
 */
export function createTask(
  starter: Process,
  fn: () => unknown,
  body: () => unknown,
  callers: readonly Pid[],
): Process {
  const { node } = starter;
  const process = node.create(body, fn.name === "" ? "Task" : `Task ${fn.name}`, starter);
  process.dictionary = new Map<unknown, unknown>([["$callers", callers]]);
  process.silent = true;
  process.onExit((reason) => {
    if (reason === "killed" || isNormalClass(reason)) return;
    node.report({
      kind: "notice",
      level: "error",
      text: "Task terminating",
      pid: process.pid,
      metadata: { function: process.initialCall, starter: callers[0], reason },
    });
  });
  return process;
}

const callersOf = (process: Process): readonly Pid[] => [
  process.pid,
  ...((process.dictionary?.get("$callers") as readonly Pid[]) ?? []),
];

function checkFunction(fn: unknown): void {
  if (typeof fn !== "function") throw new BadArg("badarg: a task takes a function");
}

function async<T>(fn: () => T | Promise<T>): Task<T> {
  checkFunction(fn);
  const owner = current("Task.async()");
  const handle: { ref?: Ref } = {};
  const run = async (): Promise<void> => {
    const value = await fn();
    const ref = handle.ref as Ref;
    send(ref, [ref, value]);
  };
  const process = createTask(owner, fn, run, callersOf(owner));
  owner.linkTo(process.pid);
  handle.ref = monitor(process.pid, { alias: "demonitor" });
  return { pid: process.pid, ref: handle.ref, owner: owner.pid };
}

/** A task that has its value already: no process is started. */
function completed<T>(value: T): Task<T> {
  const owner = current("Task.completed()");
  const ref = owner.node.newRef();
  send(owner.pid, [ref, value]);
  return { pid: null, ref, owner: owner.pid };
}

/** Runs `fn` in a process without a caller that waits. */
function start(fn: () => unknown): Pid {
  checkFunction(fn);
  const starter = current("Task.start()");
  return createTask(starter, fn, fn, callersOf(starter)).pid;
}

/** As `start`, linked to the caller; gives what a supervisor expects of a child. */
function startLink(fn: () => unknown): readonly ["ok", Pid] {
  checkFunction(fn);
  const starter = current("Task.startLink()");
  const process = createTask(starter, fn, fn, callersOf(starter));
  starter.linkTo(process.pid);
  return ["ok", process.pid];
}

// ------------------------------------------------------------------ waiting

const isReply = (message: unknown, ref: Ref): boolean =>
  Array.isArray(message) && message.length === 2 && ref.equals(message[0]);
const isDown = (message: unknown, ref: Ref): boolean =>
  Array.isArray(message) && message[0] === "DOWN" && ref.equals(message[1]);

function arrivalOf(message: unknown, ref: Ref): Arrival | undefined {
  if (isReply(message, ref)) return { value: (message as [Ref, unknown])[1] };
  if (isDown(message, ref)) return { reason: (message as unknown[])[4] };
  return undefined;
}

function checkOwner(task: Task, operation: string): Process {
  const process = current(operation);
  if (!process.pid.equals(task.owner)) {
    throw new BadArg(`badarg: ${operation} is for the task's owner ${task.owner}, not for ${process.pid}`);
  }
  return process;
}

/** Waits for the first of the tasks; undefined after `ms`. */
async function firstOf(tasks: readonly Task[], ms: number): Promise<readonly [Task, Arrival] | undefined> {
  return receive(
    (message) => {
      for (const task of tasks) {
        const arrival = arrivalOf(message, task.ref);
        if (arrival !== undefined) return [task, arrival] as const;
      }
      return undefined;
    },
    { after: ms },
  );
}

/** Nothing of the task comes any more. */
function forget(task: Task): void {
  demonitor(task.ref, { flush: true });
}

/** The reason as a caller is callerReason it: a lost thread is `["nodedown", node]`. */
const callerReason = (task: Task, reason: ExitReason): ExitReason =>
  reason === "noconnection" ? ["nodedown", task.pid?.node] : reason;

function failWith(reason: ExitReason, operation: string, args: readonly unknown[]): never {
  throw new ExitSignal([reason, ["Task", operation, args]]);
}

/**
 * The task's value. When it fails, or `timeout` ms pass, the caller exits, by an `ExitSignal` that
 * can be caught.
 */
async function awaitTask<T>(task: Task<T>, timeout: number = DEFAULT_TIMEOUT): Promise<T> {
  checkOwner(task, "Task.await()");
  checkDelay(timeout, "the timeout");
  const first = await firstOf([task], timeout);
  forget(task);
  if (first === undefined) return failWith("timeout", "await", [task, timeout]);
  const [, arrival] = first;
  if ("value" in arrival) return arrival.value as T;
  return failWith(callerReason(task, arrival.reason), "await", [task, timeout]);
}

/**
 * The values of all tasks, in order, within `timeout` ms in all. The first failure fails the caller
 * at once.
 */
async function awaitMany<T>(tasks: readonly Task<T>[], timeout: number = DEFAULT_TIMEOUT): Promise<T[]> {
  for (const task of tasks) checkOwner(task, "Task.awaitMany()");
  checkDelay(timeout, "the timeout");
  const { clock } = current("Task.awaitMany()").node;
  const deadline = clock.now() + timeout;
  const values = new Map<Task, T>();
  const open = new Set<Task>(tasks);
  while (open.size > 0) {
    const first = await firstOf([...open], remaining(deadline, clock.now()));
    if (first === undefined || !("value" in first[1])) {
      for (const task of open) forget(task);
      return failWith(
        first === undefined ? "timeout" : callerReason(first[0], (first[1] as { reason: unknown }).reason),
        "awaitMany",
        [tasks, timeout],
      );
    }
    const [task, { value }] = first;
    forget(task);
    open.delete(task);
    values.set(task, value as T);
  }
  return tasks.map((task) => values.get(task) as T);
}

const remaining = (deadline: number, now: number): number =>
  deadline === Number.POSITIVE_INFINITY ? deadline : Math.max(0, Math.ceil(deadline - now));

/**
 * `["ok", value]`, `["exit", reason]`, or null when `timeout` ms pass first; then it may be asked
 * again.
 */
async function yieldTask<T>(task: Task<T>, timeout: number = DEFAULT_TIMEOUT): Promise<TaskResult<T> | null> {
  checkOwner(task, "Task.yield()");
  checkDelay(timeout, "the timeout");
  const first = await firstOf([task], timeout);
  return first === undefined ? null : settle(task, first[1]);
}

function settle<T>(task: Task<T>, arrival: Arrival): TaskResult<T> {
  forget(task);
  if ("value" in arrival) return ["ok", arrival.value as T];
  if (arrival.reason === "noconnection") return failWith(callerReason(task, arrival.reason), "yield", [task]);
  return ["exit", arrival.reason];
}

export interface YieldManyOptions {
  /** Milliseconds for all. Default 5000. */
  readonly timeout?: number;
  /** How many results are enough. Default all. */
  readonly limit?: number;
  /**
   * What becomes of those that are not done: left alone, forgotten, or killed. Default left alone.
   */
  readonly onTimeout?: "nothing" | "ignore" | "kill_task";
}

/** The results of those tasks that are done in time, in input order; null for the others. */
async function yieldMany<T>(
  tasks: readonly Task<T>[],
  options: YieldManyOptions = {},
): Promise<(readonly [Task<T>, TaskResult<T> | null])[]> {
  const { timeout = DEFAULT_TIMEOUT, limit = tasks.length, onTimeout = "nothing" } = options;
  for (const task of tasks) checkOwner(task, "Task.yieldMany()");
  checkDelay(timeout, "the timeout");
  const { clock } = current("Task.yieldMany()").node;
  const deadline = clock.now() + timeout;
  const results = new Map<Task, TaskResult<T>>();
  while (results.size < Math.min(limit, tasks.length)) {
    const open = tasks.filter((task) => !results.has(task));
    const first = await firstOf(open, remaining(deadline, clock.now()));
    if (first === undefined) break;
    results.set(first[0], settle(first[0] as Task<T>, first[1]));
  }
  const pairs: (readonly [Task<T>, TaskResult<T> | null])[] = [];
  for (const task of tasks) {
    let result: TaskResult<T> | null = results.get(task) ?? null;
    if (result === null && onTimeout === "ignore") result = await ignore(task);
    else if (result === null && onTimeout === "kill_task") result = await shutdown(task, "brutal_kill");
    pairs.push([task, result]);
  }
  return pairs;
}

/**
 * Ends a task: by `shutdown`, by a kill `timeout` ms later, or at once with `"brutal_kill"`. Null
 * when it ended by that; `["ok", value]` when its value was there first; `["exit", reason]` for any
 * other end.
 */
async function shutdown<T>(
  task: Task<T>,
  timeout: number | "brutal_kill" = DEFAULT_TIMEOUT,
): Promise<TaskResult<T> | null> {
  const process = checkOwner(task, "Task.shutdown()");
  if (timeout !== "brutal_kill") checkDelay(timeout, "the timeout");
  const early = await firstOf([task], 0);
  if (early !== undefined && ("value" in early[1] || task.pid === null)) {
    if (task.pid !== null) unlink(task.pid);
    return settle(task, early[1]);
  }
  if (early === undefined && (task.pid === null || !process.monitors?.has(task.ref.id)))
    return ["exit", "noproc"];
  const brutal = timeout === "brutal_kill";
  let arrival = early?.[1];
  if (arrival === undefined) {
    const pid = task.pid as Pid;
    unlink(pid);
    exit(pid, brutal ? "kill" : "shutdown");
    arrival = (await downOf(task, brutal ? Number.POSITIVE_INFINITY : timeout)) ?? undefined;
    if (arrival === undefined) {
      exit(pid, "kill");
      arrival = (await downOf(task, Number.POSITIVE_INFINITY)) as Arrival;
    }
  }
  const reply = await receive(
    (message) => (isReply(message, task.ref) ? { value: (message as unknown[])[1] } : undefined),
    { after: 0 },
  );
  forget(task);
  if (reply !== undefined) return ["ok", reply.value as T];
  const { reason } = arrival as { readonly reason: ExitReason };
  if (reason === "noconnection") return failWith(callerReason(task, reason), "shutdown", [task, timeout]);
  return reason === (brutal ? "killed" : "shutdown") ? null : ["exit", reason];
}

const downOf = (task: Task, ms: number): Promise<Arrival | undefined> =>
  receive((message) => (isDown(message, task.ref) ? { reason: (message as unknown[])[4] } : undefined), {
    after: ms,
  });

/** Lets the task run on without its owner; gives what had come of it already, else null. */
async function ignore<T>(task: Task<T>): Promise<TaskResult<T> | null> {
  checkOwner(task, "Task.ignore()");
  const first = await firstOf([task], 0);
  if (task.pid !== null) unlink(task.pid);
  if (first !== undefined) return settle(task, first[1]);
  forget(task);
  return null;
}

export const Task = {
  async,
  completed,
  start,
  startLink,
  await: awaitTask,
  awaitMany,
  yield: yieldTask,
  yieldMany,
  shutdown,
  ignore,
  /** A child spec for a task: temporary, as a task that is done is not missed. */
  childSpec: (fn: () => unknown) => ({
    id: Task,
    start: [startLink, [fn]] as const,
    restart: "temporary" as const,
  }),
};

/** @internal For task-stream.ts. */
export const taskInternals = { firstOf, forget, remaining, callersOf, checkFunction };
