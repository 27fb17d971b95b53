/**
 * What runs in a worker thread: one node, the connections to the other threads, and a root
 * supervisor whose children the application names. This module is the one long task of a one-thread
 * Piscina pool; when it returns or throws, the thread is done and its `ThreadServer` in the main
 * thread knows why.
 */

import { type Question, THREAD_ROOT } from "../introspect/inspect.js";
import { infoOf, topOf } from "../introspect/process-info.js";
import { treesOf } from "../introspect/supervision-tree.js";
import { exit, receive, register, trapExit } from "../kernel/bifs.js";
import { self } from "../kernel/context.js";
import { BadArg } from "../kernel/errors.js";
import { type ExitReason, isNormalClass } from "../kernel/exit-reason.js";
import { globalNames } from "../kernel/global.js";
import type { Isolation } from "../kernel/isolation.js";
import { createNode, type RuntimeNode } from "../kernel/node.js";
import { Pid, Ref } from "../kernel/pid.js";
import type { LogLevel, Report } from "../kernel/reports.js";
import { show, showTerm } from "../kernel/show.js";
import { truncate } from "../kernel/truncate.js";
import { DataCloneError, toWire } from "../kernel/wire-data.js";
import type { ChildSpec } from "../supervisor/child-spec.js";
import { Supervisor } from "../supervisor/supervisor.js";
import { type PeerPort, ThreadConnection } from "./connection.js";
import { watchHeap } from "./heap-guard.js";

/** What the main thread tells a new one. */
export interface ThreadBoot {
  readonly index: number;
  readonly creation: number;
  readonly isolation: Isolation;
  readonly logLevel: LogLevel;
  /** Bytes in use after a full collection over which the thread asks to be ended. */
  readonly heapLimit: number;
  readonly reportLevel: LogLevel;
  /** The main thread first, then every other thread there is. */
  readonly peers: readonly PeerPort[];
  /** URL of the module and name of its export: `(args, context) => ThreadTree`. */
  readonly module: string;
  readonly exportName: string;
  readonly args: unknown;
}

export interface ThreadContext {
  /** Index of this thread's node. */
  readonly node: number;
  readonly creation: number;
}

/** What a thread's root supervisor looks after. */
export type ThreadTree =
  | readonly ChildSpec[]
  | {
      readonly children: readonly ChildSpec[];
      readonly strategy?: "one_for_one" | "one_for_all" | "rest_for_one";
      readonly intensity?: number;
      readonly period?: number;
    };

/**
 * Runs the thread. Resolves when it has been asked to stop and its tree is down; rejects when its
 * tree failed.
 */
export default async function threadMain(boot: ThreadBoot): Promise<void> {
  let main: ThreadConnection | undefined;
  const node = createNode({
    index: boot.index,
    creation: boot.creation,
    isolation: boot.isolation,
    logLevel: boot.logLevel,
    reportLevel: boot.reportLevel,
    onReport: (report) => main?.control(["report", describable(report)]),
  });
  const handlers = {
    onControl: (connection: ThreadConnection, message: readonly unknown[]) =>
      control(node, connection, message),
    onIntroduction: (introduction: PeerPort) => connect(introduction),
  };
  const connect = ({ index, creation, port }: PeerPort): ThreadConnection =>
    new ThreadConnection(node, { index, creation }, port, handlers);
  const connections = boot.peers.map(connect);
  main = connections[0];
  globalNames(node);
  watchHeap(boot.heapLimit, (bytes) => {
    main?.control(["over heap", bytes]);
    main?.flush();
  });
  try {
    await node.run(() => root(boot, main as ThreadConnection));
  } finally {
    await node.stop();
    for (const connection of node.connections()) (connection as ThreadConnection).flush();
  }
}

/** The root process: starts the tree, then waits for a stop request or for the tree to fail. */
async function root(boot: ThreadBoot, main: ThreadConnection): Promise<void> {
  trapExit(true);
  register(THREAD_ROOT, self());
  const exports = (await import(boot.module)) as Record<string, unknown>;
  const start = exports[boot.exportName];
  if (typeof start !== "function")
    throw new BadArg(`badarg: ${boot.module} has no function named ${boot.exportName}`);
  const context: ThreadContext = { node: boot.index, creation: boot.creation };
  const tree = (await start(boot.args, context)) as ThreadTree;
  const { children, ...options } = "children" in tree ? tree : { children: tree };
  const started = await Supervisor.startLink([...children], { strategy: "one_for_one", ...options });
  if (started[0] !== "ok" || started === "ignore")
    throw startFailure(started === "ignore" ? "ignore" : started[1]);
  const supervisor = started[1] as Pid;
  main.control(["ready"]);
  const end = await receive((message) => {
    if (message === "stop") return { stop: true as const };
    if (Array.isArray(message) && message[0] === "EXIT" && supervisor.equals(message[1]))
      return { stop: false as const, reason: message[2] as ExitReason };
    return undefined;
  });
  if (end.stop) await Supervisor.stop(supervisor, "shutdown");
  else if (!isNormalClass(end.reason) || end.reason === "shutdown")
    throw startFailure(end.reason, "the thread's tree ended");
}

function startFailure(reason: ExitReason, what = "the thread's tree did not start"): Error {
  const inner = findError(reason);
  return new Error(`${what}: ${inner?.message ?? showTerm(reason)}`, { cause: inner });
}

function findError(reason: unknown): Error | undefined {
  if (reason instanceof Error) return reason;
  if (!Array.isArray(reason)) return undefined;
  for (const part of reason) {
    const found = findError(part);
    if (found !== undefined) return found;
  }
  return undefined;
}

function control(node: RuntimeNode, connection: ThreadConnection, message: readonly unknown[]): void {
  switch (message[0]) {
    case "ping":
      connection.control(["pong", message[1]]);
      connection.flush();
      break;
    case "inspect": {
      const [, tag, question] = message as readonly [string, Ref, Question];
      Ref.home(tag).aliasMessage(tag, answer(node, question));
      break;
    }
    case "stop": {
      const pid = node.whereis(THREAD_ROOT);
      if (pid !== undefined) Pid.target(pid).message(pid, "stop");
      break;
    }
    case "spawn": {
      const [, tag, url, exportName, args] = message as readonly [
        string,
        Ref,
        string,
        string,
        readonly unknown[],
      ];
      const pid = node.spawn(() => runExport(url, exportName, args));
      Ref.home(tag).aliasMessage(tag, pid);
      break;
    }
  }
}

function answer(node: RuntimeNode, question: Question): unknown {
  switch (question[0]) {
    case "tree":
      return truncate(treesOf(node), -2);
    case "processes":
      return [...node.processes()].map(({ pid }) => pid);
    case "top":
      return truncate(topOf(node, question[1], question[2]));
    case "info": {
      const process = node.processById(question[1]);
      return process === undefined ? null : truncate(infoOf(process));
    }
  }
}

async function runExport(url: string, exportName: string, args: readonly unknown[]): Promise<void> {
  const fn = ((await import(url)) as Record<string, unknown>)[exportName];
  if (typeof fn !== "function") exit(["undef", url, exportName]);
  await (fn as (...args: unknown[]) => unknown)(...args);
}

/**
 * A report with what cannot cross described instead: a log line must not be lost to a function in a
 * state.
 */
function describable(report: Report): unknown {
  try {
    return toWire(report);
  } catch (error) {
    if (!(error instanceof DataCloneError)) throw error;
    return Object.fromEntries(
      Object.entries(report).map(([key, value]) => {
        try {
          return [key, toWire(value)];
        } catch {
          return [key, show(value)];
        }
      }),
    );
  }
}
