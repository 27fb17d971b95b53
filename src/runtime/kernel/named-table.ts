/**
 * A NamedTable holds one value per name on each node (thread), such as the state of the PubSub
 * that is called "pubsub" there. It stands for the named ETS tables of Erlang.
 *
 * A value that belongs to a process is removed as soon as the process exits, before links and
 * monitors are notified, unless a later process of the same name has replaced it. Not for data that
 * other threads need: tables are not shared.
 */
import { onExit } from "./bifs.js";
import { current } from "./context.js";
import { BadArg } from "./errors.js";
import type { RuntimeNode } from "./node.js";
import type { Pid } from "./pid.js";

export class NamedTable<Value, Name = string> {
  readonly #tables = new WeakMap<RuntimeNode, Map<Name, Value>>();
  readonly #missing: (name: Name) => string;

  /** `missing` is the text of the BadArg that `require` throws. */
  constructor(missing: (name: Name) => string = (name) => `badarg: nothing is named ${name}`) {
    this.#missing = missing;
  }

  /** `node` is needed outside of any process, and where a process is exiting. */
  get(name: Name, node: RuntimeNode = current("NamedTable").node): Value | undefined {
    return this.#tables.get(node)?.get(name);
  }

  /** The value of a name. Throws BadArg when there is none. */
  require(name: Name): Value {
    const found = this.get(name);
    if (found === undefined) throw new BadArg(this.#missing(name));
    return found;
  }

  put(name: Name, value: Value, node: RuntimeNode = current("NamedTable").node): void {
    this.#tableOf(node).set(name, value);
  }

  /** Puts a value that is removed when `owner`, a process of this thread, exits. */
  putFor(owner: Pid, name: Name, value: Value): void {
    const table = this.#tableOf(current("NamedTable").node);
    table.set(name, value);
    onExit(owner, () => {
      if (table.get(name) === value) table.delete(name);
    });
  }

  /** Removes a name and returns its value. */
  take(name: Name, node: RuntimeNode = current("NamedTable").node): Value | undefined {
    const table = this.#tables.get(node);
    const value = table?.get(name);
    table?.delete(name);
    return value;
  }

  #tableOf(node: RuntimeNode): Map<Name, Value> {
    let table = this.#tables.get(node);
    if (table === undefined) {
      table = new Map();
      this.#tables.set(node, table);
    }
    return table;
  }
}
