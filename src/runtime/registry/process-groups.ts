/**
 * Process groups: which processes, of all threads, belong together under a name (OTP: `pg`).
 *
 * Each thread that uses a scope runs its scope process; they tell each other of joins and leaves,
 * so every thread knows all members a moment later, in no common order. A lost thread takes its
 * members along.
 *
 * A process may join a group several times and must leave it as often. Members leave when they die,
 * before links and monitors are notified. A process that monitors a group, or all groups of a
 * scope, gets `[ref, "join" | "leave", group, pids]`.
 */

import { GenServer, type GenServerModule, type StartResult } from "../gen-server/gen-server.js";
import { onExit, send } from "../kernel/bifs.js";
import { current } from "../kernel/context.js";
import { BadArg } from "../kernel/errors.js";
import { NamedTable } from "../kernel/named-table.js";
import type { RuntimeNode } from "../kernel/node.js";
import { isPid, type Pid, type Ref } from "../kernel/pid.js";
import { termKey } from "../kernel/term-key.js";

const DEFAULT_SCOPE = "pg";

interface Group {
  readonly name: unknown;
  /** A member as often as it joined, in joining order. */
  members: Pid[];
}

interface Watch {
  readonly ref: Ref;
  readonly pid: Pid;
  /** Undefined watches every group of the scope. */
  readonly group: unknown;
}

/** What scope processes tell each other. */
type Gossip =
  /**
   * A scope begins: who is there? Answered with `sync`, and that with `state`; from then on with
   * each change.
   */
  | readonly ["discover", node: number]
  | readonly [
      "sync" | "state",
      node: number,
      groups: readonly (readonly [group: unknown, pids: readonly Pid[]])[],
    ]
  | readonly ["join" | "leave", group: unknown, pids: readonly Pid[]];

class Scope {
  readonly groups = new Map<unknown, Group>();
  readonly #node: RuntimeNode;
  /** The registered name of the scope process, on every thread. */
  readonly #name: string;
  readonly #watches = new Map<number, Watch>();
  readonly #memberships = new Map<number, number>();
  /** The threads whose scope processes know our members and get changes. */
  readonly #peers = new Set<number>();

  constructor(node: RuntimeNode, name: string) {
    this.#node = node;
    this.#name = name;
    for (const connection of node.connections())
      connection.messageNamed(name, ["discover", node.index] satisfies Gossip);
  }

  /** Local processes join. */
  join(name: unknown, pids: readonly Pid[]): void {
    for (const pid of pids) {
      const count = this.#memberships.get(pid.id) ?? 0;
      this.#memberships.set(pid.id, count + 1);
      // The first membership of its life: one clean-up serves them all.
      if (count === 0) onExit(pid, () => this.#gone(pid));
    }
    this.#tellOthers(["join", name, pids]);
    this.#add(name, pids);
  }

  #add(name: unknown, pids: readonly Pid[]): void {
    const key = termKey(name);
    let group = this.groups.get(key);
    if (group === undefined) {
      group = { name, members: [] };
      this.groups.set(key, group);
    }
    group.members.push(...pids);
    this.#tell("join", name, pids);
  }

  /** Local processes leave. */
  leave(name: unknown, pids: readonly Pid[]): "ok" | "not_joined" {
    const left = this.#remove(name, pids);
    if (left.length === 0) return "not_joined";
    this.#tellOthers(["leave", name, left]);
    return "ok";
  }

  #remove(name: unknown, pids: readonly Pid[]): readonly Pid[] {
    const key = termKey(name);
    const group = this.groups.get(key);
    const left: Pid[] = [];
    for (const pid of pids) {
      const index = group?.members.findLastIndex((member) => member.equals(pid)) ?? -1;
      if (index < 0 || group === undefined) continue;
      group.members.splice(index, 1);
      left.push(pid);
    }
    if (group?.members.length === 0) this.groups.delete(key);
    if (left.length > 0) this.#tell("leave", name, left);
    return left;
  }

  #gone(pid: Pid): void {
    this.#memberships.delete(pid.id);
    for (const [name, left] of this.#forget((member) => member.equals(pid)))
      this.#tellOthers(["leave", name, left]);
  }

  /** The thread has died, or its scope process has restarted: its members are gone. */
  lost(node: number): void {
    this.#peers.delete(node);
    this.#forget((member) => member.node === node);
  }

  #forget(gone: (member: Pid) => boolean): (readonly [unknown, readonly Pid[]])[] {
    const all: (readonly [unknown, readonly Pid[]])[] = [];
    for (const [key, group] of [...this.groups]) {
      const left = group.members.filter(gone);
      if (left.length === 0) continue;
      group.members = group.members.filter((member) => !gone(member));
      if (group.members.length === 0) this.groups.delete(key);
      this.#tell("leave", group.name, left);
      all.push([group.name, left]);
    }
    return all;
  }

  /** From the scope process of another thread. */
  hear(message: Gossip): void {
    switch (message[0]) {
      case "discover":
        this.#tellAll(message[1], "sync");
        break;
      case "sync":
      case "state":
        this.#replace(message[1], message[2]);
        if (message[0] === "sync") this.#tellAll(message[1], "state");
        else this.#peers.add(message[1]);
        break;
      case "join":
        this.#add(message[1], message[2]);
        break;
      case "leave":
        this.#remove(message[1], message[2]);
        break;
    }
  }

  /** All members of a thread; monitors get only the difference. */
  #replace(node: number, groups: readonly (readonly [unknown, readonly Pid[]])[]): void {
    const now = new Map(groups.map(([name, pids]) => [termKey(name), [...pids]]));
    for (const [key, { name, members }] of [...this.groups]) {
      const said = now.get(key) ?? [];
      const gone: Pid[] = [];
      for (const member of members) {
        if (member.node !== node) continue;
        const index = said.findIndex((pid) => pid.equals(member));
        if (index < 0) gone.push(member);
        else said.splice(index, 1);
      }
      if (gone.length > 0) this.#remove(name, gone);
    }
    for (const [name] of groups) {
      const fresh = now.get(termKey(name)) ?? [];
      if (fresh.length > 0) this.#add(name, fresh);
    }
  }

  #tellOthers(message: Gossip): void {
    for (const peer of this.#peers) this.#node.connection(peer)?.messageNamed(this.#name, message);
  }

  #tellAll(peer: number, what: "sync" | "state"): void {
    this.#peers.add(peer);
    const local = [...this.groups.values()]
      .map(({ name, members }) => [name, members.filter((member) => this.#node.isLocal(member))] as const)
      .filter(([, members]) => members.length > 0);
    this.#node.connection(peer)?.messageNamed(this.#name, [what, this.#node.index, local] satisfies Gossip);
  }

  watch(pid: Pid, ref: Ref, group: unknown): void {
    this.#watches.set(ref.id, { ref, pid, group });
    onExit(pid, () => void this.#watches.delete(ref.id));
  }

  unwatch(ref: Ref): boolean {
    return this.#watches.delete(ref.id);
  }

  #tell(what: "join" | "leave", name: unknown, pids: readonly Pid[]): void {
    for (const { ref, pid, group } of this.#watches.values()) {
      if (group === undefined || termKey(group) === termKey(name)) send(pid, [ref, what, name, pids]);
    }
  }
}

const nameOf = (scope: string): string => `groups.${scope}`;

const scopes = new NamedTable<Scope>(
  (name) => `badarg: the group scope ${name} is not running; start it with Groups.startLink()`,
);

const scopeNamed = (name: string): Scope => scopes.require(name);

const server: GenServerModule<Scope, string> = {
  name: "Groups",
  init(name) {
    const { node, pid } = current("Groups");
    const scope = new Scope(node, nameOf(name));
    scopes.putFor(pid, name, scope);
    onExit(
      pid,
      node.onNodeDown(({ index }) => scope.lost(index)),
    );
    return ["ok", scope];
  },
  handleInfo(message: Gossip, scope) {
    scope.hear(message);
    return ["noreply", scope];
  },
  formatStatus: ({ state }) => ({ groups: state.groups.size }),
};

function pidsOf(pids: Pid | readonly Pid[]): readonly Pid[] {
  const list = isPid(pids) ? [pids] : pids;
  if (!Array.isArray(list) || !list.every(isPid))
    throw new BadArg("badarg: a pid or a list of pids is expected");
  const { node } = current("groups");
  for (const pid of list) {
    if (!node.isLocal(pid))
      throw new BadArg(`badarg: ${pid} lives on another thread; a process joins where it lives`);
  }
  return list as readonly Pid[];
}

export const Groups = {
  /** Starts a scope, "pg" by default, linked to the caller. */
  startLink: (scope = DEFAULT_SCOPE): Promise<StartResult> =>
    GenServer.startLink(server, scope, { name: nameOf(scope) }),
  childSpec: (scope = DEFAULT_SCOPE) => ({
    id: nameOf(scope),
    start: [Groups.startLink, [scope]] as const,
  }),

  /** Adds a process, or several, to a group; joining twice counts twice. */
  join(group: unknown, pids: Pid | readonly Pid[], scope = DEFAULT_SCOPE): "ok" {
    scopeNamed(scope).join(group, pidsOf(pids));
    return "ok";
  },

  /** Takes a process, or several, out once. `"not_joined"` when none of them was in. */
  leave: (group: unknown, pids: Pid | readonly Pid[], scope = DEFAULT_SCOPE): "ok" | "not_joined" =>
    scopeNamed(scope).leave(group, pidsOf(pids)),

  getMembers: (group: unknown, scope = DEFAULT_SCOPE): readonly Pid[] => [
    ...(scopeNamed(scope).groups.get(termKey(group))?.members ?? []),
  ],
  /** Those members that live on this thread. */
  getLocalMembers(group: unknown, scope = DEFAULT_SCOPE): readonly Pid[] {
    const { node } = current("Groups.getLocalMembers()");
    return Groups.getMembers(group, scope).filter((pid) => node.isLocal(pid));
  },

  whichGroups: (scope = DEFAULT_SCOPE): readonly unknown[] =>
    [...scopeNamed(scope).groups.values()].map(({ name }) => name),

  /** The members now, and a message for each change from now on. */
  monitor(group: unknown, scope = DEFAULT_SCOPE): readonly [Ref, readonly Pid[]] {
    const { node, pid } = current("Groups.monitor()");
    const ref = node.newRef();
    scopeNamed(scope).watch(pid, ref, group);
    return [ref, Groups.getMembers(group, scope)];
  },

  /** As `monitor`, for every group of the scope. */
  monitorScope(scope = DEFAULT_SCOPE): readonly [Ref, ReadonlyMap<unknown, readonly Pid[]>] {
    const { node, pid } = current("Groups.monitorScope()");
    const ref = node.newRef();
    const { groups } = scopeNamed(scope);
    scopeNamed(scope).watch(pid, ref, undefined);
    return [ref, new Map([...groups.values()].map(({ name, members }) => [name, [...members]]))];
  },

  demonitor: (ref: Ref, scope = DEFAULT_SCOPE): boolean => scopeNamed(scope).unwatch(ref),
};
