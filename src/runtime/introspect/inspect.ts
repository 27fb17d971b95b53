/**
 * Questions about another thread's processes: what `processInfo`, `processes`, `top` and `tree` say
 * over there. The answer is given between two bursts of that thread, by no process, so a stuck one
 * cannot hold it up.
 */
import { context } from "../kernel/context.js";
import { ExitSignal } from "../kernel/errors.js";
import type { RuntimeNode } from "../kernel/node.js";
import { Request } from "../kernel/request.js";

export type Question =
  | readonly ["tree"]
  | readonly ["processes"]
  | readonly ["top", n: number, by: "queue" | "turns" | "time"]
  | readonly ["info", id: number];

/** The name of the root process in every worker thread. */
export const THREAD_ROOT = "simurgh.thread";

const DEADLINE_MS = 1000;

/**
 * Asks thread `index`. Rejects with an `ExitSignal` when it is not there or does not answer within
 * a second.
 */
export async function inspectThread<R>(node: RuntimeNode, index: number, question: Question): Promise<R> {
  const caller = context.getStore();
  const connection = node.connection(index);
  if (caller === undefined || connection === undefined) throw new ExitSignal(["nodedown", index]);
  return (await Request.sendNamed(
    caller,
    connection,
    THREAD_ROOT,
    {
      message: ({ tag }) => ["inspect", tag, question],
      failure: (reason) => (reason === "timeout" ? reason : ["nodedown", index]),
    },
    DEADLINE_MS,
    (order) => connection.control(order as unknown[]),
  )) as R;
}
