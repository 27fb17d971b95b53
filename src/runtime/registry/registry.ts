/**
 * A registry: keys to processes, with a value for each entry (Elixir: Registry).
 *
 * In a `unique` registry a key belongs to one process, and an entry can serve as that process's
 * name through `{ via: Registry, term: [registry, key] }`. In a `duplicate` registry any number of
 * processes stand under a key, as subscribers of a topic do.
 *
 * A process registers itself. Its entries are removed when it exits, before exit signals are sent:
 * a process that receives the `DOWN` finds the key free. Lookups are plain reads: a registry is
 * local to its thread and never in the way.
 */

import { GenServer, type GenServerModule, type StartResult } from "../gen-server/gen-server.js";
import { context, current } from "../kernel/context.js";
import { BadArg } from "../kernel/errors.js";
import { NamedTable } from "../kernel/named-table.js";
import type { RuntimeNode } from "../kernel/node.js";
import { Pid } from "../kernel/pid.js";
import { Process } from "../kernel/process.js";
import { show } from "../kernel/show.js";
import { termKey } from "../kernel/term-key.js";
import type { ChildSpec } from "../supervisor/child-spec.js";
import { Task } from "../task/task.js";
import { type Entry, RegistryTable } from "./table.js";

export interface RegistryOptions {
  readonly keys: "unique" | "duplicate";
  readonly name: string;
  /** How `dispatch` groups the entries of a duplicate registry. Default 1. */
  readonly partitions?: number;
  /**
   * Registered names of processes that are notified of each register and unregister, but not of
   * exits.
   */
  readonly listeners?: readonly string[];
  readonly meta?: readonly (readonly [unknown, unknown])[];
}

const tables = new NamedTable<RegistryTable>();

function tableIn(node: RuntimeNode, registry: unknown): RegistryTable | undefined {
  return typeof registry === "string" ? tables.get(registry, node) : undefined;
}

function tableOf(registry: string, operation: string): RegistryTable {
  const table = tableIn(current(operation).node, registry);
  if (table === undefined) throw unknown(registry);
  return table;
}

const unknown = (registry: unknown): BadArg => new BadArg(`badarg: unknown registry: ${show(registry)}`);

const keeper: GenServerModule<RegistryTable, RegistryOptions> = {
  name: "Registry",
  init(options) {
    const process = current("Registry");
    const table = new RegistryTable(process.node, options);
    tables.putFor(process.pid, options.name, table);
    process.onExit(() => table.drop());
    return ["ok", table];
  },
  formatStatus: ({ state }) => ({ entries: state.count() }),
};

function checkOptions(options: RegistryOptions): void {
  const { keys, name, partitions = 1, listeners = [], meta = [] } = options ?? {};
  if (keys !== "unique" && keys !== "duplicate")
    throw new BadArg(`badarg: the registry option keys must be "unique" or "duplicate", got ${show(keys)}`);
  if (typeof name !== "string" || name === "")
    throw new BadArg(`badarg: the registry option name must be a non-empty string, got ${show(name)}`);
  if (!Number.isInteger(partitions) || partitions < 1)
    throw new BadArg(
      `badarg: the registry option partitions must be a positive integer, got ${show(partitions)}`,
    );
  if (!Array.isArray(listeners) || listeners.some((listener) => typeof listener !== "string"))
    throw new BadArg("badarg: the registry option listeners must be a list of registered names");
  if (!Array.isArray(meta) || meta.some((pair) => !Array.isArray(pair) || pair.length !== 2))
    throw new BadArg("badarg: the registry option meta must be a list of [key, value] pairs");
}

/** Parts of a via term: `[registry, key]` or `[registry, key, value]`. */
function viaParts(term: unknown): readonly [string, unknown, unknown] {
  if (Array.isArray(term) && (term.length === 2 || term.length === 3)) return [term[0], term[1], term[2]];
  throw new BadArg("badarg: a Registry via term is [registry, key] or [registry, key, value]");
}

/**
 * The table behind a via term. Does not ask for a living process: names are also given back at the
 * end of one.
 */
function viaTable(registry: string): RegistryTable {
  const node = context.getStore()?.node;
  const table = node === undefined ? undefined : tableIn(node, registry);
  if (table === undefined) throw unknown(registry);
  if (!table.unique)
    throw new BadArg(`badarg: via works only with a unique registry, ${registry} is duplicate`);
  return table;
}

type Entries<V> = readonly (readonly [Pid, V])[];

function dispatch<V = unknown>(
  registry: string,
  key: unknown,
  fn: (entries: Entries<V>) => void,
  options?: { readonly parallel?: false },
): "ok";
function dispatch<V = unknown>(
  registry: string,
  key: unknown,
  fn: (entries: Entries<V>) => unknown,
  options: { readonly parallel: true },
): Promise<"ok">;
function dispatch<V>(
  registry: string,
  key: unknown,
  fn: (entries: Entries<V>) => unknown,
  options: { readonly parallel?: boolean } = {},
): "ok" | Promise<"ok"> {
  const parts = tableOf(registry, "Registry.dispatch()")
    .partitioned(key)
    .map((part) => part.map((entry: Entry) => [entry.process.pid, entry.value as V] as const));
  if (!options.parallel) {
    for (const part of parts) fn(part);
    return "ok";
  }
  const tasks = parts.map((part) => Task.async(() => fn(part)));
  return Task.awaitMany(tasks, Number.POSITIVE_INFINITY).then(() => "ok" as const);
}

export const Registry = {
  /**
   * Starts a registry linked to the caller. It lives as long as its process. Throws `BadArg` for
   * wrong options.
   */
  startLink(options: RegistryOptions): Promise<StartResult> {
    checkOptions(options);
    return GenServer.startLink(keeper, options, { name: options.name });
  },

  /** As `startLink`, without a link. */
  start(options: RegistryOptions): Promise<StartResult> {
    checkOptions(options);
    return GenServer.start(keeper, options, { name: options.name });
  },

  childSpec(options: RegistryOptions): ChildSpec {
    checkOptions(options);
    return {
      id: options.name,
      start: [Registry.startLink, [options]],
      type: "supervisor",
      modules: ["Registry"],
    };
  },

  /**
   * Puts the calling process under `key`: `["ok", owner]`, or for unique keys `["error",
   * ["already_registered", pid]]`.
   */
  register(
    registry: string,
    key: unknown,
    value?: unknown,
  ): readonly ["ok", Pid] | readonly ["error", readonly ["already_registered", Pid]] {
    const table = tableOf(registry, "Registry.register()");
    const holder = table.register(current("Registry.register()"), key, value);
    return holder === undefined ? ["ok", table.owner] : ["error", ["already_registered", holder]];
  },

  /** Removes all entries of the calling process under `key`. Always ok. */
  unregister(registry: string, key: unknown): "ok" {
    tableOf(registry, "Registry.unregister()").unregister(current("Registry.unregister()"), key);
    return "ok";
  },

  /** The entries under `key` as `[pid, value]`. */
  lookup<V = unknown>(registry: string, key: unknown): readonly (readonly [Pid, V])[] {
    return tableOf(registry, "Registry.lookup()")
      .entries(key)
      .map((entry) => [entry.process.pid, entry.value as V]);
  },

  /** The keys of a process, one for each entry. */
  keys(registry: string, pid: Pid): readonly unknown[] {
    return tableOf(registry, "Registry.keys()").keysOf(pid);
  },

  /** The values a process has under `key`. */
  values(registry: string, key: unknown, pid: Pid): readonly unknown[] {
    return tableOf(registry, "Registry.values()")
      .entries(key)
      .filter((entry) => entry.process.pid.equals(pid))
      .map((entry) => entry.value);
  },

  /**
   * The entries under `key` whose value `accept` says yes to, as `[pid, value]` (Elixir: a match
   * pattern with guards).
   */
  match<V = unknown>(
    registry: string,
    key: unknown,
    accept: (value: V, pid: Pid) => boolean,
  ): readonly (readonly [Pid, V])[] {
    return Registry.lookup<V>(registry, key).filter(([pid, value]) => accept(value, pid));
  },

  /** How many entries under `key` have a value `accept` says yes to. */
  countMatch<V = unknown>(registry: string, key: unknown, accept: (value: V, pid: Pid) => boolean): number {
    return Registry.match(registry, key, accept).length;
  },

  /** What `pick` makes of each entry of the registry; undefined leaves one out. */
  select<T, K = unknown, V = unknown>(
    registry: string,
    pick: (key: K, pid: Pid, value: V) => T | undefined,
  ): T[] {
    const picked: T[] = [];
    for (const { key, process, value } of tableOf(registry, "Registry.select()").all()) {
      const result = pick(key as K, process.pid, value as V);
      if (result !== undefined) picked.push(result);
    }
    return picked;
  },

  /**
   * Removes those entries of the calling process under `key` whose value `accept` says yes to.
   * Always ok.
   */
  unregisterMatch<V = unknown>(registry: string, key: unknown, accept: (value: V) => boolean): "ok" {
    const me = current("Registry.unregisterMatch()");
    tableOf(registry, "Registry.unregisterMatch()").unregister(me, key, ({ value }) => accept(value as V));
    return "ok";
  },

  /**
   * Runs `fn` while no other process runs one under the same key; those that come meanwhile wait in
   * order. The lock is given back when `fn` is done or throws, and when its process ends.
   */
  lock<T>(registry: string, key: unknown, fn: () => T | Promise<T>): Promise<T> {
    const me = current("Registry.lock()");
    return tableOf(registry, "Registry.lock()").locks.run(me, termKey(key), fn);
  },

  /** How many entries there are. */
  count(registry: string): number {
    return tableOf(registry, "Registry.count()").count();
  },

  /**
   * Replaces the value of the caller's own unique key: `[new, old]`, or `"error"` when it is not
   * the caller's.
   */
  updateValue<V = unknown>(
    registry: string,
    key: unknown,
    update: (value: V) => V,
  ): readonly [V, V] | "error" {
    const table = tableOf(registry, "Registry.updateValue()");
    if (!table.unique) throw new BadArg(`badarg: updateValue() works only with a unique registry`);
    const me = current("Registry.updateValue()");
    const entry = table.entries(key).find((candidate) => candidate.process === me);
    if (entry === undefined) return "error";
    const old = entry.value as V;
    const next = update(old);
    entry.value = next;
    return [next, old];
  },

  /**
   * Calls `fn` with the entries under `key`, once for each partition that has any: in the caller,
   * one after another. With `parallel` each call runs in a task of its own, and the result is a
   * promise of all of them; what one throws makes the caller exit, as `Task.await` does.
   */
  dispatch,

  /** A value kept with the registry: `["ok", value]` or `"error"`. */
  meta(registry: string, key: unknown): readonly ["ok", unknown] | "error" {
    return tableOf(registry, "Registry.meta()").meta(key);
  },

  putMeta(registry: string, key: unknown, value: unknown): "ok" {
    tableOf(registry, "Registry.putMeta()").putMeta(key, value);
    return "ok";
  },

  // ---------------------------------------------------------------- as a via module

  registerName(term: unknown, pid: Pid): "yes" | "no" {
    const [registry, key, value] = viaParts(term);
    const table = viaTable(registry);
    const process = Pid.target(pid);
    if (!(process instanceof Process)) return "no";
    return table.register(process, key, value) === undefined ? "yes" : "no";
  },

  unregisterName(term: unknown): "ok" {
    const [registry, key] = viaParts(term);
    const me = context.getStore();
    if (me !== undefined) viaTable(registry).unregister(me, key);
    return "ok";
  },

  whereisName(term: unknown): Pid | undefined {
    const [registry, key] = viaParts(term);
    return viaTable(registry).entries(key)[0]?.process.pid;
  },

  send(term: unknown, message: unknown): unknown {
    const pid = Registry.whereisName(term);
    if (pid === undefined)
      throw new BadArg(`badarg: no process is registered under ${show(viaParts(term)[1])}`);
    Process.deliver(current("Registry.send()").node, pid, message);
    return message;
  },
};
