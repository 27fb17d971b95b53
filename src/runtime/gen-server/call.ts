/**
 * Requests to a server by whatever names it: a pid, a name here or on another thread, a via or
 * global name.
 */

import { checkDelay, type Dest, type NodeName } from "../kernel/bifs.js";
import { current } from "../kernel/context.js";
import { ExitSignal } from "../kernel/errors.js";
import type { ExitReason } from "../kernel/exit-reason.js";
import { Global } from "../kernel/global.js";
import type { RuntimeNode } from "../kernel/node.js";
import { Pid, Ref } from "../kernel/pid.js";
import type { Process } from "../kernel/process.js";
import { type Question, Request } from "../kernel/request.js";
import { DEAD } from "../kernel/signal.js";

/** @internal Asks a server and waits for the answer. */
export function request(
  dest: Dest | null | undefined,
  question: Question,
  timeout: number,
  caller: Process = current("call()"),
): Promise<unknown> {
  caller.messagesOut += 1;
  checkDelay(timeout, "the timeout");
  const { node } = caller;
  if (isRemoteName(dest) && dest.node !== node.index) {
    const connection = node.connection(dest.node);
    if (connection === undefined) return refuse(question, "noconnection", dest.node);
    return Request.sendNamed(caller, connection, dest.name, question, timeout);
  }
  const pid = resolve(node, dest);
  if (pid === undefined) return refuse(question, "noproc", node.index);
  if (pid.equals(caller.pid)) return refuse(question, "calling_self", node.index);
  return Request.send(caller, pid, question, timeout);
}

const refuse = (question: Question, reason: ExitReason, node: number): Promise<never> =>
  Promise.reject(new ExitSignal(question.failure(reason, node)));

export const isRemoteName = (dest: unknown): dest is NodeName =>
  typeof dest === "object" &&
  dest !== null &&
  !(dest instanceof Pid) &&
  !(dest instanceof Ref) &&
  "name" in dest &&
  "node" in dest;

export function resolve(node: RuntimeNode, dest: Dest | null | undefined): Pid | undefined {
  if (dest instanceof Pid) return Pid.target(dest) === DEAD ? undefined : dest;
  if (typeof dest === "string") return node.whereis(dest);
  if (isRemoteName(dest)) return node.whereis(dest.name);
  if (typeof dest === "object" && dest !== null && "via" in dest) return dest.via.whereisName(dest.term);
  if (typeof dest === "object" && dest !== null && "global" in dest) return Global.whereisName(dest.global);
  return undefined;
}
