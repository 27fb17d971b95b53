/**
 * Handles errors that escape every handler: a promise that is not awaited, a throw in a timer or
 * emitter callback.
 *
 * The async context tells which process made the promise or callback; that process ends with the
 * error, as if its handler had thrown. What no process owns goes to the listeners that were there
 * before, or is reported.
 *
 * Node's two events are process-wide. While any runtime node of the thread lives, listeners that
 * were installed earlier are kept aside and called only for errors no process owns.
 */

import { context } from "./context.js";
import type { RuntimeNode } from "./node.js";
import { show } from "./show.js";

type Listener = (...args: unknown[]) => void;
const EVENTS = ["unhandledRejection", "uncaughtException"] as const;
type EventName = (typeof EVENTS)[number];

const nodes = new Set<RuntimeNode>();
const aside = new Map<EventName, Listener[]>();

/** Starts attributing orphan errors for `node`; the returned function stops it. */
export function attributeUnhandledErrors(node: RuntimeNode): () => void {
  if (nodes.size === 0) install();
  nodes.add(node);
  return () => {
    if (nodes.delete(node) && nodes.size === 0) uninstall();
  };
}

const onRejection = (error: unknown, ...rest: unknown[]): void => handle("unhandledRejection", error, rest);
const onException = (error: unknown, ...rest: unknown[]): void => handle("uncaughtException", error, rest);
const handlers: Record<EventName, Listener> = {
  unhandledRejection: onRejection,
  uncaughtException: onException,
};

function install(): void {
  for (const event of EVENTS) {
    aside.set(event, process.listeners(event as "uncaughtException") as Listener[]);
    process.removeAllListeners(event);
    process.on(event, handlers[event]);
  }
}

function uninstall(): void {
  for (const event of EVENTS) {
    process.off(event, handlers[event]);
    for (const listener of aside.get(event) ?? []) process.on(event, listener);
    aside.delete(event);
  }
}

/**
 * Ends the thread with `error`, past every process and listener: in the main thread, the program.
 */
export function failThread(error: Error): void {
  uninstall();
  nodes.clear();
  process.removeAllListeners("uncaughtException");
  context.exit(() => {
    setImmediate(() => {
      throw error;
    });
  });
}

function handle(event: EventName, error: unknown, rest: unknown[]): void {
  const owner = context.getStore();
  if (owner !== undefined && nodes.has(owner.node)) {
    if (owner.alive) {
      const stack = error instanceof Error ? (error.stack ?? show(error)) : "";
      owner.terminate([
        [event === "unhandledRejection" ? "unhandled_rejection" : "uncaught_exception", error],
        stack,
      ]);
    } else {
      owner.node.errorAfterExit(owner, error);
    }
    return;
  }
  const earlier = aside.get(event) ?? [];
  if (earlier.length > 0) {
    for (const listener of earlier) listener(error, ...rest);
    return;
  }
  const [node] = nodes;
  if (node === undefined) return;
  node.report({ kind: "orphan_error", error, pid: undefined });
  if (node.onOrphanError === "crash") {
    // Thrown outside of this listener, so that Node treats it as it would have without us.
    uninstall();
    nodes.clear();
    setImmediate(() => {
      throw error;
    });
  }
}
