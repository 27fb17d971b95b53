/**
 * What a supervisor shows of itself to tree views, without being asked by a message: a look at a
 * busy or stuck supervisor must not wait for it.
 */
import type { Pid } from "../kernel/pid.js";
import type { Process } from "../kernel/process.js";

export interface SupervisionView {
  readonly strategy: string;
  /** Restart attempts since it started. */
  restarts(): number;
  /** In start order. */
  children(): readonly {
    readonly id: unknown;
    readonly type: "worker" | "supervisor";
    readonly pid: Pid | undefined | "restarting";
    readonly restarts: number;
  }[];
}

const views = new WeakMap<Process, SupervisionView>();

export const announceSupervisor = (process: Process, view: SupervisionView): void => {
  views.set(process, view);
};

export const supervisionOf = (process: Process): SupervisionView | undefined => views.get(process);
