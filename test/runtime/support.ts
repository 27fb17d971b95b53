/** What the runtime's tests share: nodes that stop by themselves, and processes to play with. */
import {
  createNode,
  type ExitReason,
  exit,
  type Isolation,
  monitor,
  type NodeOptions,
  type Pid,
  type Report,
  type RuntimeNode,
  receive,
  spawn,
  trapExit,
} from "simurgh/runtime";
import { afterEach } from "vitest";

const nodes: RuntimeNode[] = [];

afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
});

export interface Lab {
  readonly node: RuntimeNode;
  readonly reports: Report[];
  /** Reports of one kind. */
  of<K extends Report["kind"]>(kind: K): Extract<Report, { kind: K }>[];
}

/** The isolation this run is under (see vitest.config.ts). */
export const ISOLATION = (process.env.SIMURGH_TEST_ISOLATION ?? "freeze") as Isolation;

/** A node that keeps its reports and is stopped after the test. */
export function lab(options: NodeOptions = {}): Lab {
  const reports: Report[] = [];
  const node = createNode({
    isolation: ISOLATION,
    onReport: (report) => void reports.push(report),
    ...options,
  });
  nodes.push(node);
  return {
    node,
    reports,
    of: (kind) => reports.filter((report) => report.kind === kind) as never,
  };
}

/** Runs `fn` as a process of a fresh node. */
export const inLab = <T>(fn: (lab: Lab) => T | Promise<T>, options: NodeOptions = {}): Promise<T> => {
  const here = lab(options);
  return here.node.run(() => fn(here));
};

/** The next message, whatever it is; undefined when none comes within `ms`. */
export const next = (ms = 1000): Promise<unknown> =>
  receive((message) => (message === undefined ? null : message), { after: ms });

/** Asserts nothing by itself: undefined when the mailbox stays empty for `ms`. */
export const nothing = (ms = 20): Promise<unknown> => next(ms);

/** Monitors `pid` and gives the reason it ends with. */
export async function reasonOf(pid: Pid): Promise<ExitReason> {
  const ref = monitor(pid);
  const down = await receive((message) =>
    Array.isArray(message) && message[0] === "DOWN" && ref.equals(message[1]) ? message : undefined,
  );
  return down[4];
}

/** A process that waits forever. */
export const idle = (): Pid => spawn(() => new Promise(() => {}));

/** A process that traps exits and sends on every message it gets as `[label, message]`. */
export function trapper(to: Pid, send: (to: Pid, message: unknown) => void, label: unknown = "got"): Pid {
  return spawn(async () => {
    trapExit(true);
    for (;;) send(to, [label, await receive((message) => [message])]);
  });
}

/** Ends the calling process with `reason` once notified to go. */
export async function waitThenExit(reason: ExitReason): Promise<never> {
  await receive((message) => (message === "go" ? true : undefined));
  return exit(reason);
}

/** Runs until the other processes had their turn. */
export const settle = (): Promise<void> =>
  new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
