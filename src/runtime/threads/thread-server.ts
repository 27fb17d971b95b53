/**
 * The process in the main thread that stands for a worker thread: it starts the thread, watches it,
 * and ends with it. A supervisor restarts it like any other child; each time the thread gets a new
 * creation, so that pids of the former one never come to life again.
 *
 *   starting ──"ready"──▶ up ──stop──▶ draining ──thread done──▶ ended
 *      │ task fails        │ task fails, or no sign of life for `stallMs`
 *      └──────────────────▶ ended, with the reason
 *
 * The thread is the only worker of a Piscina pool, and runs one task for as long as it lives.
 * Piscina tells how that task ended: a throw, `process.exit`, out of memory, or our own abort.
 */

import inspector from "node:inspector";
import { extname } from "node:path";
import { MessageChannel, type ResourceLimits, type Worker } from "node:worker_threads";
import { Piscina } from "piscina";
import { GenServer, type GenServerModule, type StartResult } from "../gen-server/gen-server.js";
import { THREAD_ROOT } from "../introspect/inspect.js";
import { onExit, send, trapExit } from "../kernel/bifs.js";
import { current, outside, self } from "../kernel/context.js";
import { ExitSignal } from "../kernel/errors.js";
import type { ExitReason } from "../kernel/exit-reason.js";
import { globalNames } from "../kernel/global.js";
import { NamedTable } from "../kernel/named-table.js";
import type { Pid } from "../kernel/pid.js";
import type { Report } from "../kernel/reports.js";
import { Request } from "../kernel/request.js";
import { sendAfter } from "../kernel/send-after.js";
import type { ChildSpec } from "../supervisor/child-spec.js";
import { type ConnectionLimits, type PeerPort, ThreadConnection } from "./connection.js";
import { heapLimits, pollHeapUsage } from "./heap-guard.js";
import type { ThreadBoot } from "./thread-main.js";

export interface ThreadOptions {
  /** Index of the thread's node; not 0, which is the main thread, and not used by another. */
  readonly index: number;
  /** Module whose export `(args, context)` gives the tree to supervise there. */
  readonly module: URL | string;
  /** Name of that export. Default "start". */
  readonly export?: string;
  /** Plain data for the module; a function is called each time the thread starts. */
  readonly args?: unknown;
  /**
   * Heap limits of the thread; over them it dies, alone: see heap-guard.ts. Default: what Node
   * allows a process.
   */
  readonly resourceLimits?: ResourceLimits;
  /**
   * Milliseconds without a sign of life after which the thread counts as stalled. Default 10,000; 0
   * never.
   */
  readonly stallMs?: number;
  /** What to do with a stalled thread. Default `terminate`. Never while a debugger is attached. */
  readonly onStall?: "terminate" | "report";
  /** Milliseconds its tree may take to stop before the thread is terminated. Default 10,000. */
  readonly shutdown?: number;
  readonly limits?: Partial<ConnectionLimits>;
}

interface ThreadState {
  readonly options: ThreadOptions;
  readonly connection: ThreadConnection;
  readonly pool: Piscina;
  readonly abort: AbortController;
  readonly done: Promise<void>;
  lastSign: number;
  lastTick: number;
}

/** Beside this module and of its kind: built, or the source that a loader translates. */
const THREAD_MAIN = new URL(`./thread-main${extname(import.meta.url)}`, import.meta.url).href;

const creations = new NamedTable<number, number>();

function nextCreation(index: number): number {
  const creation = (creations.get(index) ?? -1) + 1;
  creations.put(index, creation);
  return creation;
}

const threadServer: GenServerModule<ThreadState, ThreadOptions> = {
  name: "ThreadServer",

  async init(options) {
    trapExit(true);
    const { node } = current("ThreadServer");
    const me = self();
    const creation = nextCreation(options.index);
    // Before the thread asks for the names there are.
    globalNames(node);
    const channel = new MessageChannel();
    const peers: PeerPort[] = [{ index: node.index, creation: node.creation, port: channel.port2 }];
    for (const connection of node.connections()) {
      if (connection.index === options.index || !(connection instanceof ThreadConnection)) continue;
      const between = new MessageChannel();
      peers.push({ index: connection.index, creation: connection.creation, port: between.port2 });
      connection.connectPeer({ index: options.index, creation, port: between.port1 });
    }
    const started = deferred<void>();
    const heap = heapLimits(options.resourceLimits);
    const abort = new AbortController();
    const overHeap = (bytes: number): void => {
      if (abort.signal.aborted) return;
      const [used, limit] = [bytes, heap.limitBytes].map((of) => Math.round(of / 1024 / 1024));
      const text = `thread ${options.index} uses ${used} MiB of memory, over its limit of ${limit} MiB; it is terminated`;
      const metadata = { thread: options.index, creation, bytes };
      node.report({ kind: "notice", level: "error", text, pid: me, metadata });
      abort.abort(new Error(`over its heap limit of ${limit} MiB`));
    };
    const state: { current?: ThreadState } = {};
    const connection = new ThreadConnection(node, { index: options.index, creation }, channel.port1, {
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      onControl: (_connection, message) => {
        if (state.current !== undefined) state.current.lastSign = performance.now();
        if (message[0] === "ready") started.resolve();
        else if (message[0] === "report") node.report(message[1] as Report);
        else if (message[0] === "over heap") overHeap(message[1] as number);
      },
    });
    const pool = new Piscina({
      filename: THREAD_MAIN,
      minThreads: 1,
      maxThreads: 1,
      // With the other settings an idle worker blocks in Atomics.wait and sees neither timers nor
      // ports.
      atomics: "disabled",
      idleTimeout: Number.POSITIVE_INFINITY,
      resourceLimits: heap.hard,
    });
    const stopLooking = pollHeapUsage(pool.threads[0] as Worker, heap.alarmBytes, overHeap);
    // The task's promise tells how the thread ended; without a listener the pool would throw it
    // once more.
    pool.on("error", (error: unknown) => started.reject(error as Error));
    const boot: ThreadBoot = {
      index: options.index,
      creation,
      isolation: node.isolation,
      logLevel: node.logLevel,
      heapLimit: heap.limitBytes,
      reportLevel: node.reportLevel,
      peers,
      module: String(options.module),
      exportName: options.export ?? "start",
      args: typeof options.args === "function" ? options.args() : options.args,
    };
    const done: Promise<void> = pool.run(boot, {
      transferList: peers.map(({ port }) => port),
      signal: abort.signal,
    });
    // However this process ends, the thread must not outlive it.
    onExit(me, () => {
      stopLooking();
      abort.abort();
      connection.down();
      void pool.destroy();
    });
    // When this process has exited first, no process is left to notify.
    outside(() =>
      done.then(
        () => send(me, ["thread_exit", "normal"]),
        (error: unknown) => send(me, ["thread_exit", error]),
      ),
    );
    done.catch((error: unknown) => started.reject(error as Error));
    try {
      await started.promise;
    } catch (error) {
      return ["stop", ["thread_failed", options.index, error]];
    }
    const now = performance.now();
    state.current = { options, connection, pool, abort, done, lastSign: now, lastTick: now };
    scheduleTick(state.current);
    return ["ok", state.current];
  },

  handleInfo(message, state) {
    if (message === "tick") return tick(state);
    if (Array.isArray(message) && message[0] === "thread_exit") {
      const reason = message[1] as ExitReason;
      return ["stop", reason === "normal" ? "normal" : ["thread_exit", state.options.index, reason], state];
    }
    return ["noreply", state];
  },

  async terminate(_reason, state) {
    if (!state.connection.alive) return;
    state.connection.control(["stop"]);
    state.connection.flush();
    const late = setTimeout(() => state.abort.abort(), state.options.shutdown ?? 10_000);
    await state.done.catch(() => {});
    clearTimeout(late);
  },

  formatStatus: ({ state }) => ({ thread: state.options.index, creation: state.connection.creation }),
};

const ticksPerStall = 4;

function scheduleTick({ options }: ThreadState): void {
  const stallMs = options.stallMs ?? 10_000;
  if (stallMs > 0) sendAfter(self(), "tick", Math.ceil(stallMs / ticksPerStall));
}

/** Asks for a sign of life and looks how old the last one is. */
function tick(state: ThreadState): readonly ["noreply", ThreadState] {
  const { options, connection } = state;
  const stallMs = options.stallMs ?? 10_000;
  const now = performance.now();
  // If this thread was the one that stood still, the other has had no chance to answer.
  if (now - state.lastTick > (2 * stallMs) / ticksPerStall) state.lastSign = now;
  state.lastTick = now;
  const silentMs = now - state.lastSign;
  if (silentMs > stallMs && inspector.url() === undefined) {
    const terminate = (options.onStall ?? "terminate") === "terminate";
    current("ThreadServer").node.report({
      kind: "notice",
      level: "error",
      text: `thread ${options.index} has shown no sign of life for ${Math.round(silentMs)} ms${terminate ? "; it is terminated" : ""}`,
      pid: self(),
      metadata: { thread: options.index, creation: connection.creation, silentMs },
    });
    if (terminate) state.abort.abort();
    else state.lastSign = now;
  }
  connection.control(["ping", now]);
  connection.flush();
  scheduleTick(state);
  return ["noreply", state];
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  return { promise, resolve, reject };
}

/** Starts a worker thread as a node, linked to the caller. Resolves once its tree is up. */
export function startThread(options: ThreadOptions): Promise<StartResult> {
  return GenServer.startLink(threadServer, options, {
    name: threadName(options.index),
    label: `thread ${options.index}`,
  });
}

/** The registered name of the process that stands for the thread `index`. */
export const threadName = (index: number): string => `simurgh.thread.${index}`;

/** A child spec for a thread, for any supervisor of the main thread. */
export function threadSpec(options: ThreadOptions): ChildSpec {
  return {
    id: threadName(options.index),
    start: [startThread as (...args: unknown[]) => unknown, [options]],
    shutdown: (options.shutdown ?? 10_000) + 1000,
    type: "supervisor",
  };
}

/**
 * Starts a process on another thread: the export `exportName` of the module at `url`, called with
 * `args` (plain data). Never a closure. Rejects with an `ExitSignal` `["nodedown", index]` when the
 * thread is not there.
 */
export async function spawnOn(
  index: number,
  url: URL | string,
  exportName: string,
  args: readonly unknown[] = [],
): Promise<Pid> {
  const caller = current("spawnOn()");
  const connection = caller.node.connection(index);
  const failure = (): ExitReason => ["nodedown", index];
  if (!(connection instanceof ThreadConnection)) throw new ExitSignal(failure());
  return (await Request.sendNamed(
    caller,
    connection,
    THREAD_ROOT,
    { message: ({ tag }) => ["spawn", tag, String(url), exportName, [...args]], failure },
    Number.POSITIVE_INFINITY,
    (order) => connection.control(order as unknown[]),
  )) as Pid;
}
