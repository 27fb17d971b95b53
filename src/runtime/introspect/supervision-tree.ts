/**
 * The supervision trees of a node as nested data: who supervises whom, what was restarted how often
 * (OTP: what `observer` draws). Threads appear under the process that stands for them. Plain data
 * once turned into JSON.
 */
import { current } from "../kernel/context.js";
import type { RuntimeNode } from "../kernel/node.js";
import { Pid } from "../kernel/pid.js";
import type { Process } from "../kernel/process.js";
import { type SupervisionView, supervisionOf } from "../supervisor/supervisor-introspection.js";
import { inspectThread } from "./inspect.js";

export interface TreeNode {
  readonly id: unknown;
  readonly pid: Pid | "restarting" | undefined;
  readonly type: "worker" | "supervisor";
  readonly name: string | undefined;
  readonly label: unknown;
  /** For supervisors. */
  readonly strategy?: string;
  /** For supervisors: restarts since it started. */
  readonly restarts?: number;
  /** In start order. */
  readonly children?: readonly TreeNode[];
}

/**
 * The tree below `root`, or all trees of this node and of the threads in them. What another thread
 * does not answer within a second is left out.
 */
export async function tree(root?: Pid): Promise<readonly TreeNode[]> {
  const { node } = current("tree()");
  if (root !== undefined) {
    const process = node.process(root);
    return process === undefined
      ? []
      : [await withThreads(node, nodeOf(process, process.name, "supervisor"))];
  }
  return Promise.all(treesOf(node).map((each) => withThreads(node, each)));
}

/** @internal The trees of one node, by what its processes know. */
export function treesOf(node: RuntimeNode): TreeNode[] {
  const supervisors = [...node.processes()].filter((process) => supervisionOf(process) !== undefined);
  const supervised = new Set<Pid>();
  for (const supervisor of supervisors) {
    for (const { pid } of (supervisionOf(supervisor) as SupervisionView).children()) {
      if (pid instanceof Pid) supervised.add(pid);
    }
  }
  return supervisors
    .filter(({ pid }) => !supervised.has(pid))
    .map((process) => nodeOf(process, process.name, "supervisor"));
}

function nodeOf(process: Process, id: unknown, type: TreeNode["type"]): TreeNode {
  const view = supervisionOf(process);
  const base: TreeNode = { id, pid: process.pid, type, name: process.name, label: process.label };
  if (view === undefined) return base;
  return {
    ...base,
    strategy: view.strategy,
    restarts: view.restarts(),
    children: view.children().map((child) => {
      const local = child.pid instanceof Pid ? process.node.process(child.pid) : undefined;
      return local === undefined
        ? { id: child.id, pid: child.pid, type: child.type, name: undefined, label: undefined }
        : nodeOf(local, child.id, child.type);
    }),
  };
}

/** Puts the trees of threads under the processes that stand for them. */
async function withThreads(node: RuntimeNode, each: TreeNode): Promise<TreeNode> {
  const thread = /^simurgh\.thread\.(\d+)$/.exec(each.name ?? "");
  if (thread !== null) {
    const far = await inspectThread<readonly TreeNode[]>(node, Number(thread[1]), ["tree"]).catch(() => []);
    return { ...each, children: far };
  }
  if (each.children === undefined) return each;
  return { ...each, children: await Promise.all(each.children.map((child) => withThreads(node, child))) };
}
