/**
 * Identities: a `Pid` names a process, a `Ref` names an event (a monitor, a timer, an open call, an
 * alias).
 *
 * Both are immutable values `{node, creation, id}`: `node` is the thread's index, `creation` the
 * incarnation of that thread, `id` a counter that is never reused within an incarnation. Equality
 * is by value, so a pid that crossed a thread and came back equals the original (OTP: pid(),
 * reference()).
 *
 * A pid also knows, privately, where its signals go: the process itself, another thread, or nowhere
 * any more. That pointer is not part of the value; it never crosses a thread and is re-established
 * on arrival.
 */
import type { Target } from "./signal.js";

const inspect = Symbol.for("nodejs.util.inspect.custom");

abstract class Identity {
  readonly node: number;
  readonly creation: number;
  readonly id: number;

  constructor(node: number, creation: number, id: number) {
    this.node = node;
    this.creation = creation;
    this.id = id;
  }

  /** Whether both name the same thing: same kind, node, creation and id. */
  equals(other: unknown): boolean {
    return (
      other === this ||
      (other instanceof Identity &&
        other.constructor === this.constructor &&
        other.id === this.id &&
        other.node === this.node &&
        other.creation === this.creation)
    );
  }

  abstract toString(): string;

  toJSON(): string {
    return this.toString();
  }

  [inspect](): string {
    return this.toString();
  }
}

/** The identity of a process. Prints as `<node.id.creation>`. */
export class Pid extends Identity {
  #target: Target;

  constructor(node: number, creation: number, id: number, target: Target) {
    super(node, creation, id);
    this.#target = target;
  }

  toString(): string {
    return `<${this.node}.${this.id}.${this.creation}>`;
  }

  /** @internal Where signals to this pid go. */
  static target(pid: Pid): Target {
    return pid.#target;
  }

  /**
   * @internal Called when the process or its thread dies, or when a decoded pid finds its process.
   */
  static retarget(pid: Pid, target: Target): void {
    pid.#target = target;
  }
}

/**
 * Receives what is sent to an alias of one node: the node itself, the connection to it, or the open
 * request it stands for.
 */
export interface AliasHome {
  aliasMessage(ref: Ref, message: unknown): void;
  /** The ref leaves the thread: messages to it may come from there, by its id. */
  exported?(ref: Ref): void;
}

/** A unique reference. As an alias it is also a send target for the process that made it. */
export class Ref extends Identity {
  #home: AliasHome;
  /** How many messages its maker had been sent by then: none of them can contain it. */
  #mark = 0;

  constructor(node: number, creation: number, id: number, home: AliasHome) {
    super(node, creation, id);
    this.#home = home;
  }

  toString(): string {
    return `#Ref<${this.node}.${this.id}.${this.creation}>`;
  }

  /** @internal */
  static home(ref: Ref): AliasHome {
    return ref.#home;
  }

  /** @internal */
  static moveHome(ref: Ref, home: AliasHome): void {
    ref.#home = home;
  }

  /** @internal The ref's id, for the wire. */
  static exportedId(ref: Ref): number {
    ref.#home.exported?.(ref);
    return ref.id;
  }

  /** @internal */
  static mark(ref: Ref): number {
    return ref.#mark;
  }

  /** @internal */
  static setMark(ref: Ref, arrivals: number): void {
    ref.#mark = arrivals;
  }
}

export const isPid = (value: unknown): value is Pid => value instanceof Pid;
export const isRef = (value: unknown): value is Ref => value instanceof Ref;

/** The parts of a printed pid, or undefined when the text is not one. */
export function pidParts(text: string): { node: number; creation: number; id: number } | undefined {
  const match = /^<(\d+)\.(\d+)\.(\d+)>$/.exec(text);
  if (match === null) return undefined;
  return { node: Number(match[1]), id: Number(match[2]), creation: Number(match[3]) };
}

/** A key for maps that hold identities of many nodes: equal values give equal keys. */
export const identityKey = (identity: { node: number; creation: number; id: number }): string =>
  `${identity.node}.${identity.creation}.${identity.id}`;
