/**
 * Names known on every thread of the runtime (OTP: `global`). `{ global: term }` stands for the
 * process wherever a destination is expected, and as the name of a server.
 *
 * The main thread decides who gets a name; every thread keeps a copy of the table, so that looking
 * a name up needs no message. A name is released when its process, or its thread, exits.
 */

import { context, current } from "./context.js";
import { BadArg, ExitSignal } from "./errors.js";
import type { RuntimeNode } from "./node.js";
import { Pid, Ref } from "./pid.js";
import { Process } from "./process.js";
import { type From, type Question, Request } from "./request.js";
import { show } from "./show.js";
import { termKey } from "./term-key.js";

/** The registered name of the process that keeps the table on each thread. */
const KEEPER = "simurgh.global";
/** The node that decides. */
const COORDINATOR = 0;
const DEADLINE_MS = 5000;

type Order =
  | readonly ["register", From, unknown, Pid]
  | readonly ["unregister", From, unknown]
  | readonly ["hello", node: number]
  | readonly ["set", unknown, Pid]
  | readonly ["drop", unknown];

class GlobalNames {
  readonly #node: RuntimeNode;
  readonly #keeper: Process;
  readonly #names = new Map<unknown, { readonly term: unknown; readonly pid: Pid }>();

  constructor(node: RuntimeNode) {
    this.#node = node;
    const pid = node.openSink((message) => this.#handle(message as Order));
    this.#keeper = node.process(pid) as Process;
    node.register(KEEPER, this.#keeper);
    if (node.index !== COORDINATOR) node.connection(COORDINATOR)?.messageNamed(KEEPER, ["hello", node.index]);
  }

  get(term: unknown): Pid | undefined {
    const pid = this.#names.get(termKey(term))?.pid;
    return pid !== undefined && Pid.target(pid).alive ? pid : undefined;
  }

  all(): unknown[] {
    return [...this.#names.values()].map(({ term }) => term);
  }

  /** Asks the coordinator. */
  ask(caller: Process, make: (from: From) => Order): Promise<unknown> {
    const connection = this.#node.connection(COORDINATOR);
    const question: Question = { message: make, failure: (reason) => [reason, ["global", COORDINATOR]] };
    if (this.#node.index === COORDINATOR)
      return Request.send(caller, this.#keeper.pid, question, DEADLINE_MS);
    if (connection === undefined) return Promise.reject(new ExitSignal(["nodedown", COORDINATOR]));
    return Request.sendNamed(caller, connection, KEEPER, question, DEADLINE_MS);
  }

  #handle(order: Order): void {
    switch (order[0]) {
      case "register":
        Ref.home(order[1].tag).aliasMessage(order[1].tag, this.#register(order[2], order[3]));
        break;
      case "unregister":
        this.#drop(order[2]);
        Ref.home(order[1].tag).aliasMessage(order[1].tag, "ok");
        break;
      case "hello":
        for (const { term, pid } of this.#names.values())
          this.#node.connection(order[1])?.messageNamed(KEEPER, ["set", term, pid]);
        break;
      case "set":
        this.#names.set(termKey(order[1]), { term: order[1], pid: order[2] });
        break;
      case "drop":
        this.#names.delete(termKey(order[1]));
        break;
    }
  }

  #register(term: unknown, pid: Pid): "yes" | "no" {
    if (this.get(term) !== undefined || !Pid.target(pid).alive) return "no";
    this.#names.set(termKey(term), { term, pid });
    this.#tellOthers(["set", term, pid]);
    this.#keeper.watch({
      ref: this.#node.newRef(),
      to: pid,
      target: Pid.target(pid),
      down: (ref) => {
        this.#keeper.monitors?.delete(ref.id);
        if (this.#names.get(termKey(term))?.pid.equals(pid)) this.#drop(term);
      },
    });
    return "yes";
  }

  #drop(term: unknown): void {
    if (this.#names.delete(termKey(term))) this.#tellOthers(["drop", term]);
  }

  /**
   * Before the answer is sent, on the same connection: the caller that gets the answer finds the
   * table changed.
   */
  #tellOthers(order: Order): void {
    for (const connection of this.#node.connections()) connection.messageNamed(KEEPER, order);
  }
}

const tables = new WeakMap<RuntimeNode, GlobalNames>();

/** @internal The table of a node; made at the first use, and at the start of a thread. */
export function globalNames(node: RuntimeNode): GlobalNames {
  let names = tables.get(node);
  if (names === undefined) {
    names = new GlobalNames(node);
    tables.set(node, names);
  }
  return names;
}

export const Global = {
  /**
   * Gives a process a name on every thread. `"no"` when a living process has it. Rejects when the
   * main thread is away.
   */
  async registerName(term: unknown, pid: Pid): Promise<"yes" | "no"> {
    const caller = current("Global.registerName()");
    if (!(pid instanceof Pid)) throw new BadArg("badarg: Global.registerName() takes a term and a pid");
    return (await globalNames(caller.node).ask(caller, (from) => ["register", from, term, pid])) as
      | "yes"
      | "no";
  },

  async unregisterName(term: unknown): Promise<"ok"> {
    const caller = current("Global.unregisterName()");
    return (await globalNames(caller.node).ask(caller, (from) => ["unregister", from, term])) as "ok";
  },

  /** The process of that name, by this thread's copy of the table. */
  whereisName(term: unknown): Pid | undefined {
    const node = context.getStore()?.node;
    return node === undefined ? undefined : globalNames(node).get(term);
  },

  /** Sends to the process of that name. Throws `BadArg` when there is none. */
  send<T>(term: unknown, message: T): T {
    const { node } = current("Global.send()");
    const pid = globalNames(node).get(term);
    if (pid === undefined) throw new BadArg(`badarg: no process has the global name ${show(term)}`);
    Process.deliver(node, pid, message);
    return message;
  },

  registeredNames: (): unknown[] => globalNames(current("Global.registeredNames()").node).all(),
};
