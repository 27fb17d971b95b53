/**
 * Many tasks over many inputs, a few at a time: `Task.asyncStream` of Elixir, as an async iterable.
 *
 *     for await (const result of asyncStream(urls, fetchPage, { maxConcurrency: 4 })) …
 *     // ["ok", page] | ["exit", reason]
 *
 * It is lazy: inputs are taken as results are. A consumer that stops early takes the running tasks
 * down with it and finds nothing of them in its mailbox.
 */

import { availableParallelism } from "node:os";
import { checkDelay } from "../kernel/bifs.js";
import { current } from "../kernel/context.js";
import { BadArg, ExitSignal } from "../kernel/errors.js";
import type { ExitReason } from "../kernel/exit-reason.js";
import { show } from "../kernel/show.js";
import { Task, type TaskResult, taskInternals } from "./task.js";

export interface AsyncStreamOptions {
  /** Tasks at a time. Default: the cores. */
  readonly maxConcurrency?: number;
  /** Results in input order; faster ones wait. Default true. */
  readonly ordered?: boolean;
  /** Milliseconds for each task. Default 5000. */
  readonly timeout?: number;
  /**
   * What a task that takes longer means: the consumer exits, or the result is `["exit",
   * "timeout"]`. Default `exit`.
   */
  readonly onTimeout?: "exit" | "kill_task";
  /** Failed results carry their input: `["exit", [input, reason]]`. Default false. */
  readonly zipInputOnExit?: boolean;
}

interface Running<In, Out> {
  readonly task: Task<Out>;
  readonly input: In;
  readonly deadline: number;
  result: TaskResult<Out> | undefined;
}

export async function* asyncStream<In, Out>(
  inputs: Iterable<In> | AsyncIterable<In>,
  fn: (input: In) => Out | Promise<Out>,
  options: AsyncStreamOptions = {},
  begin: (run: () => Out | Promise<Out>) => Task<Out> | Promise<Task<Out>> = Task.async,
): AsyncGenerator<TaskResult<Out>, void, undefined> {
  const {
    maxConcurrency = availableParallelism(),
    ordered = true,
    timeout = 5000,
    onTimeout = "exit",
    zipInputOnExit = false,
  } = options;
  if (!Number.isInteger(maxConcurrency) || maxConcurrency < 1)
    throw new BadArg(`badarg: maxConcurrency must be a whole number above 0, got ${show(maxConcurrency)}`);
  checkDelay(timeout, "the timeout");
  const { clock } = current("asyncStream()").node;
  const source = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
  /** Those begun and not yet given out, in input order. */
  const running: Running<In, Out>[] = [];
  let exhausted = false;
  const failed = (entry: Running<In, Out>, reason: ExitReason): TaskResult<Out> => [
    "exit",
    zipInputOnExit ? [entry.input, reason] : reason,
  ];
  try {
    for (;;) {
      while (!exhausted && running.length < maxConcurrency) {
        const next = await source.next();
        if (next.done) {
          exhausted = true;
          break;
        }
        const input = next.value;
        running.push({
          task: await begin(() => fn(input)),
          input,
          deadline: clock.now() + timeout,
          result: undefined,
        });
      }
      if (running.length === 0) return;
      const done = ordered
        ? running[0]?.result === undefined
          ? -1
          : 0
        : running.findIndex(({ result }) => result !== undefined);
      if (done >= 0) {
        const [entry] = running.splice(done, 1) as [Running<In, Out>];
        yield entry.result as TaskResult<Out>;
        continue;
      }
      const open = running.filter(({ result }) => result === undefined);
      const soonest = Math.min(...open.map(({ deadline }) => deadline));
      const first = await taskInternals.firstOf(
        open.map(({ task }) => task),
        taskInternals.remaining(soonest, clock.now()),
      );
      if (first !== undefined) {
        const entry = open.find(({ task }) => task === first[0]) as Running<In, Out>;
        taskInternals.forget(entry.task);
        const arrival = first[1];
        entry.result = "value" in arrival ? ["ok", arrival.value as Out] : failed(entry, arrival.reason);
        continue;
      }
      for (const entry of open.filter(({ deadline }) => deadline <= clock.now())) {
        if (onTimeout === "exit") throw new ExitSignal(["timeout", ["Task", "asyncStream", [timeout]]]);
        entry.result = (await Task.shutdown(entry.task, "brutal_kill")) ?? failed(entry, "timeout");
      }
    }
  } finally {
    for (const { task, result } of running)
      if (result === undefined) await Task.shutdown(task, "brutal_kill");
    if (!exhausted) await source.return?.();
  }
}
