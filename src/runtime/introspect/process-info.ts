/**
 * What can be seen of a process from outside (OTP: `erlang:process_info/2`).
 */
import { current } from "../kernel/context.js";
import type { RuntimeNode } from "../kernel/node.js";
import { Pid } from "../kernel/pid.js";
import type { Process } from "../kernel/process.js";
import { supervisionOf } from "../supervisor/supervisor-introspection.js";
import { inspectThread } from "./inspect.js";

export interface ProcessInfo {
  /** `[]` when it has none. */
  readonly registered_name: string | readonly [];
  readonly message_queue_len: number;
  readonly links: readonly Pid[];
  readonly monitors: readonly Pid[];
  /** How many watch it. */
  readonly monitored_by: number;
  readonly trap_exit: boolean;
  readonly dictionary: readonly (readonly [unknown, unknown])[];
  readonly label: unknown;
  readonly status: "exiting" | "suspended" | "runnable" | "waiting";
  readonly initial_call: string;
  /** The callback that runs, or ran last. */
  readonly current_callback: string;
  readonly ancestors: readonly Pid[];
  /** Turns handled. */
  readonly reductions: number;
  /** Milliseconds of its longest turn. */
  readonly longest_turn: number;
  /** Milliseconds its code has run, and waited for promises within turns. */
  readonly turn_time: number;
  readonly awaiting_time: number;
  /** Milliseconds since it was started. */
  readonly age: number;
  readonly messages_in: number;
  readonly messages_out: number;
  /** Bytes it has sent to other threads. */
  readonly bytes_out: number;
  /**
   * How often its supervisor has restarted the child it is; undefined when no supervisor of this
   * thread started it.
   */
  readonly restarts: number | undefined;
}

const readers: { readonly [Key in keyof ProcessInfo]: (process: Process) => ProcessInfo[Key] } = {
  registered_name: (process) => process.name ?? [],
  message_queue_len: (process) => process.mailbox.length,
  links: (process) => [...(process.links?.values() ?? [])],
  monitors: (process) => [...(process.monitors?.values() ?? [])].map(({ to }) => to),
  monitored_by: (process) => process.watchers?.size ?? 0,
  trap_exit: (process) => process.trapsExits,
  dictionary: (process) => [...(process.dictionary ?? [])],
  label: (process) => process.label,
  status: (process) => process.status,
  initial_call: (process) => process.initialCall,
  current_callback: (process) => process.callback,
  ancestors: (process) => process.ancestors,
  reductions: (process) => process.turns,
  longest_turn: (process) => process.longestTurnMs,
  turn_time: (process) => process.turnTimeMs,
  awaiting_time: (process) => process.awaitingMs,
  age: (process) => process.node.clock.now() - process.startedAt,
  messages_in: (process) => process.mailbox.arrivals,
  messages_out: (process) => process.messagesOut,
  bytes_out: (process) => process.bytesOut,
  restarts: restartsOf,
};

function restartsOf(process: Process): number | undefined {
  const parent = process.ancestors[0];
  const supervisor = parent === undefined ? undefined : process.node.process(parent);
  const view = supervisor === undefined ? undefined : supervisionOf(supervisor);
  return view?.children().find(({ pid }) => pid instanceof Pid && pid.equals(process.pid))?.restarts;
}

const KEYS = Object.keys(readers) as (keyof ProcessInfo)[];

const read = (process: Process, keys: readonly (keyof ProcessInfo)[]): Partial<ProcessInfo> =>
  Object.fromEntries(keys.map((key) => [key, readers[key](process)]));

/** Everything about a live process of this thread, or the keys asked for; null when it is dead. */
export function processInfo(pid: Pid): ProcessInfo | null;
export function processInfo<Key extends keyof ProcessInfo>(
  pid: Pid,
  keys: readonly Key[],
): Pick<ProcessInfo, Key> | null;
export function processInfo<Key extends keyof ProcessInfo>(pid: Pid, key: Key): ProcessInfo[Key] | null;
export function processInfo(pid: Pid, asked?: keyof ProcessInfo | readonly (keyof ProcessInfo)[]): unknown {
  const process = current("processInfo()").node.process(pid);
  if (process === undefined) return null;
  if (typeof asked === "string") return readers[asked](process);
  return read(process, asked ?? KEYS);
}

/**
 * As `processInfo`, for a process of any thread. Rejects with an `ExitSignal` when its thread does
 * not answer.
 */
export async function processInfoAt(pid: Pid): Promise<ProcessInfo | null> {
  const { node } = current("processInfoAt()");
  return node.isLocal(pid) ? processInfo(pid) : inspectThread(node, pid.node, ["info", pid.id]);
}

/** @internal Everything about a process. */
export const infoOf = (process: Process): ProcessInfo => read(process, KEYS) as ProcessInfo;

/** The live processes of this thread. */
export const processes = (): Pid[] => [...current("processes()").node.processes()].map(({ pid }) => pid);

export interface TopEntry
  extends Pick<ProcessInfo, "message_queue_len" | "reductions" | "longest_turn" | "label" | "initial_call"> {
  readonly pid: Pid;
}

/** How much waits in the mailboxes of this thread: one pass over its processes. */
export function mailboxStatistics(): { readonly messages: number; readonly longest: number } {
  let messages = 0;
  let longest = 0;
  for (const { mailbox } of current("mailboxStatistics()").node.processes()) {
    const { length } = mailbox;
    messages += length;
    if (length > longest) longest = length;
  }
  return { messages, longest };
}

const ORDERS = { queue: "message_queue_len", turns: "reductions", time: "longest_turn" } as const;

/**
 * The `n` processes that have the longest queue, handled the most turns, or had the longest turn.
 */
export function top(n: number, by: keyof typeof ORDERS): TopEntry[] {
  return topOf(current("top()").node, n, by);
}

/** @internal As `top`, for a node. */
export function topOf(node: RuntimeNode, n: number, by: keyof typeof ORDERS): TopEntry[] {
  const key = ORDERS[by];
  return [...node.processes()]
    .map(
      (process) =>
        ({
          pid: process.pid,
          ...read(process, ["message_queue_len", "reductions", "longest_turn", "label", "initial_call"]),
        }) as TopEntry,
    )
    .sort((a, b) => b[key] - a[key])
    .slice(0, n);
}
