/**
 * Aliases: refs that messages can be sent to in place of a pid, and that their process can switch
 * off (OTP: process aliases). What is sent to an alias that is off never reaches the mailbox; what
 * is in the mailbox already stays.
 */
import { current } from "./context.js";
import { BadArg } from "./errors.js";
import { isolate } from "./isolation.js";
import type { AliasEntry } from "./node.js";
import { isRef, type Ref } from "./pid.js";
import type { Process } from "./process.js";

/**
 * When an alias goes off by itself. `explicit_unalias`: never. `reply`: with the first message
 * through it. `demonitor` (for a monitor's ref): with the monitor. `reply_demonitor`: with the
 * first message, and takes the monitor along.
 */
export type AliasMode = "explicit_unalias" | "reply" | "demonitor" | "reply_demonitor";

class ProcessAlias implements AliasEntry {
  readonly #process: Process;
  readonly #ref: Ref;
  readonly #mode: AliasMode;

  constructor(process: Process, ref: Ref, mode: AliasMode) {
    this.#process = process;
    this.#ref = ref;
    this.#mode = mode;
  }

  aliasMessage(message: unknown): void {
    const process = this.#process;
    if (this.#mode === "reply" || this.#mode === "reply_demonitor") dropAlias(process, this.#ref);
    if (this.#mode === "reply_demonitor") process.unwatch(this.#ref);
    process.message(process.pid, isolate(process.node.isolation, message));
  }

  /** The monitor under the same ref has fired or was ended. */
  monitorEnded(): void {
    if (this.#mode !== "explicit_unalias") dropAlias(this.#process, this.#ref);
  }
}

/**
 * @internal Makes `ref` an alias of `process`, for as long as the mode says and at most for its
 * life.
 */
export function openAlias(process: Process, ref: Ref, mode: AliasMode): { monitorEnded(): void } {
  const entry = new ProcessAlias(process, ref, mode);
  process.node.setAlias(ref, entry);
  process.aliases ??= new Map();
  process.aliases.set(ref.id, ref);
  return entry;
}

/** @internal The monitor `ref` was ended by its owner; an alias that goes with it goes off. */
export function endAliasOf(process: Process, ref: Ref): void {
  const entry = process.aliases?.has(ref.id) ? process.node.aliasEntry(ref) : undefined;
  if (entry instanceof ProcessAlias) entry.monitorEnded();
}

function dropAlias(process: Process, ref: Ref): boolean {
  process.aliases?.delete(ref.id);
  return process.node.dropAlias(ref);
}

/** A new alias of the calling process. With `reply: true` it is off after the first message. */
export function alias(options: { readonly reply?: boolean } = {}): Ref {
  const process = current("alias()");
  const ref = process.newRef();
  openAlias(process, ref, options.reply ? "reply" : "explicit_unalias");
  return ref;
}

/** Switches an alias of the calling process off. Whether it was on. */
export function unalias(ref: Ref): boolean {
  const process = current("unalias()");
  if (!isRef(ref)) throw new BadArg("badarg: unalias() takes an alias");
  return process.aliases?.has(ref.id) === true && process.node.isLocal(ref) ? dropAlias(process, ref) : false;
}
