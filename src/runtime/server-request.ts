/** Requests to a server by whatever names it: a pid, a name here or on another thread, a via or global name. */
import { current } from "./context.js";
import { ExitSignal } from "./errors.js";
import type { ExitReason } from "./exit-reason.js";
import { Global } from "./global-names.js";
import type { RuntimeNode } from "./node.js";
import { checkDelay, type Dest, type NodeName } from "./operations.js";
import { Pid, Ref } from "./pid.js";
import { type From, Request } from "./request.js";
import { DEAD } from "./signal.js";

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
