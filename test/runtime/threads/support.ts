/**
 * Two nodes of one thread joined by a real port: everything a connection does, without a worker.
 */
import { MessageChannel } from "node:worker_threads";
import { createNode, type NodeOptions, type Report, type RuntimeNode } from "simurgh/runtime";
import { type ConnectionLimits, ThreadConnection } from "../../../src/runtime/threads/connection.js";

export interface Pair {
  readonly near: RuntimeNode;
  readonly far: RuntimeNode;
  readonly toFar: ThreadConnection;
  readonly toNear: ThreadConnection;
  readonly reports: Report[];
  stop(): Promise<void>;
}

export function joinedNodes(limits: Partial<ConnectionLimits> = {}, options: NodeOptions = {}): Pair {
  const reports: Report[] = [];
  const onReport = (report: Report): void => void reports.push(report);
  const near = createNode({ index: 0, onReport, ...options });
  const far = createNode({ index: 1, onReport, ...options });
  const { port1, port2 } = new MessageChannel();
  const toFar = new ThreadConnection(near, far, port1, { limits, onControl() {} });
  const toNear = new ThreadConnection(far, near, port2, { limits, onControl() {} });
  return {
    near,
    far,
    toFar,
    toNear,
    reports,
    async stop() {
      toFar.down();
      toNear.down();
      await near.stop();
      await far.stop();
    },
  };
}

/** Resolves once `condition` holds; fails with what was seen when it does not within `ms`. */
export async function eventually(condition: () => boolean, what: string, ms = 5000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`still not so after ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
