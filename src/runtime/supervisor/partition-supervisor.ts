/**
 * The same child several times, and a way to reach the one that belongs to a key (Elixir:
 * PartitionSupervisor). For a process that would be a bottleneck alone: work that is about one key
 * goes to one partition, always the same.
 *
 *     const options = { name: "counters", childSpec: counterSpec, partitions: 4 };
 *     await PartitionSupervisor.startLink(options);
 *     GenServer.call(PartitionSupervisor.via("counters", userId), "next");
 */

import { availableParallelism } from "node:os";
import type { StartResult } from "../gen-server/gen-server.js";
import { onExit, type ViaModule, type ViaName } from "../kernel/bifs.js";
import { current } from "../kernel/context.js";
import { BadArg } from "../kernel/errors.js";
import { fnv1a } from "../kernel/hash.js";
import { NamedTable } from "../kernel/named-table.js";
import { Pid } from "../kernel/pid.js";
import { show, showTerm } from "../kernel/show.js";
import { termKey } from "../kernel/term-key.js";
import type { ChildSpec } from "./child-spec.js";
import { type Strategy, Supervisor } from "./supervisor.js";

export interface PartitionSupervisorOptions {
  /** Registered name; required. */
  readonly name: string;
  /** What each partition runs; required. Its id is replaced by the partition's number. */
  readonly childSpec: Omit<ChildSpec, "id">;
  /** Default: the cores. */
  readonly partitions?: number;
  readonly strategy?: Strategy;
  readonly intensity?: number;
  readonly period?: number;
  /** Makes a partition's start arguments of the spec's and its number. Default: the spec's. */
  readonly withArguments?: (args: readonly unknown[], partition: number) => readonly unknown[];
}

interface Partitions {
  readonly supervisor: Pid;
  readonly all: number;
  active: number;
  readonly pids: (Pid | undefined)[];
}

const tables = new NamedTable<Partitions>();

/** The partition of a key: a whole number by itself, anything else by its hash. */
export function partitionOf(key: unknown, partitions: number): number {
  if (partitions === 0) throw new BadArg("badarg: there are no partitions to route to");
  if (typeof key === "number" && Number.isInteger(key)) return Math.abs(key) % partitions;
  if (typeof key === "bigint") return Number((key < 0n ? -key : key) % BigInt(partitions));
  return fnv1a(typeof key === "string" ? key : String(termKey(key))) % partitions;
}

const router: ViaModule = {
  registerName: () => "no",
  unregisterName() {},
  whereisName(term) {
    const { name, key } = term as { name: string; key: unknown };
    const table = tables.get(name);
    return table === undefined ? undefined : table.pids[partitionOf(key, table.active)];
  },
  send(term, message) {
    const pid = router.whereisName(term);
    if (pid === undefined) throw new BadArg(`badarg: no partition for ${showTerm(term)}`);
    Pid.target(pid).message(pid, message);
  },
};

async function startLink(options: PartitionSupervisorOptions): Promise<StartResult> {
  const {
    name,
    childSpec,
    partitions = availableParallelism(),
    withArguments = (args) => args,
  } = (options ?? {}) as PartitionSupervisorOptions;
  if (typeof name !== "string") throw new BadArg("badarg: a PartitionSupervisor needs a name");
  if (typeof childSpec !== "object" || childSpec === null)
    throw new BadArg("badarg: a PartitionSupervisor needs a childSpec");
  if (!Number.isInteger(partitions) || partitions < 1)
    throw new BadArg(`badarg: partitions must be a whole number above 0, got ${show(partitions)}`);
  const { node } = current("PartitionSupervisor.startLink()");
  const pids: (Pid | undefined)[] = new Array(partitions).fill(undefined);
  const [start, args] = childSpec.start;
  const children = pids.map((_, partition): ChildSpec => {
    const own = withArguments(args, partition);
    if (!Array.isArray(own)) throw new BadArg("badarg: withArguments must return a list of arguments");
    // Each start, restarts included, tells the table where the partition is.
    const tracked = async (...given: unknown[]): Promise<unknown> => {
      const result = await start(...given);
      const pid = Array.isArray(result) && result[0] === "ok" ? (result[1] as Pid) : undefined;
      pids[partition] = pid;
      if (pid !== undefined && node.isLocal(pid)) {
        onExit(pid, () => {
          if (pids[partition] === pid) pids[partition] = undefined;
        });
      }
      return result;
    };
    return { ...childSpec, id: partition, start: [tracked, own] };
  });
  const { strategy = "one_for_one", intensity = 3, period = 5 } = options;
  const result = await Supervisor.startLink(children, { strategy, intensity, period, name });
  if (result[0] === "ok" && result !== "ignore") {
    const supervisor = result[1] as Pid;
    tables.putFor(supervisor, name, { supervisor, all: partitions, active: partitions, pids });
  }
  return result;
}

function running(name: string): Partitions {
  const table = tables.get(name);
  if (table === undefined) throw new BadArg(`badarg: no PartitionSupervisor named ${name} is running`);
  return table;
}

export const PartitionSupervisor = {
  startLink,
  childSpec: (options: PartitionSupervisorOptions): ChildSpec => ({
    id: options.name,
    start: [startLink, [options]],
    type: "supervisor",
  }),

  /** Where messages about `key` go: a destination for `GenServer.call`, `send` and the like. */
  via: (name: string, key: unknown): ViaName => ({ via: router, term: { name, key } }),

  /** How many partitions take work. */
  partitions: (name: string): number => running(name).active,

  /**
   * Takes fewer partitions into use, or more again, at most as many as there were at the start.
   * Gives the former number.
   */
  async resize(name: string, partitions: number): Promise<number> {
    const table = running(name);
    if (!Number.isInteger(partitions) || partitions < 0 || partitions > table.all) {
      throw new BadArg(
        `badarg: partitions must be a whole number from 0 to ${table.all}, got ${show(partitions)}`,
      );
    }
    const before = table.active;
    table.active = Math.min(before, partitions);
    for (let id = partitions; id < before; id += 1) await Supervisor.terminateChild(table.supervisor, id);
    for (let id = before; id < partitions; id += 1) await Supervisor.restartChild(table.supervisor, id);
    table.active = partitions;
    return before;
  },

  whichChildren: (name: string) => Supervisor.whichChildren(running(name).supervisor),
  countChildren: (name: string) => Supervisor.countChildren(running(name).supervisor),
};
