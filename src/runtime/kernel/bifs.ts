/**
 * What code inside a process can do: the functions of Erlang's `erlang` module that concern
 * processes.
 *
 * All of them find the running process through the async context, so they work after an await too,
 * and all of them throw `ProcessExited` for code that outlived its process.
 */

import { endAliasOf, openAlias } from "./aliases.js";
import { context, current, currentIfAny } from "./context.js";
import { BadArg, ExitSignal, NotAProcess } from "./errors.js";
import type { ExitReason } from "./exit-reason.js";
import { Global } from "./global.js";
import { isolate } from "./isolation.js";
import type { NodeConnection, RuntimeNode } from "./node.js";
import { isPid, isRef, Pid, pidParts, Ref } from "./pid.js";
import { type MaxQueue, type Monitor, Process } from "./process.js";
import { show } from "./show.js";
import { DEAD, type Target } from "./signal.js";
import { SmallMap } from "./small-map.js";
import { attach, checkTransfer, detach, lift } from "./transfer.js";

/** A registry of another kind that can be named in a destination (OTP: `{via, Module, Term}`). */
export interface ViaModule {
  registerName(term: unknown, pid: Pid): "yes" | "no";
  unregisterName(term: unknown): void;
  whereisName(term: unknown): Pid | undefined;
  /** Throws `BadArg` when the name is not registered. */
  send(term: unknown, message: unknown): void;
}

export type NodeName = { readonly name: string; readonly node: number };
export type ViaName = { readonly via: ViaModule; readonly term: unknown };
/** A name known on every thread; see global-names.ts. */
export type GlobalName = { readonly global: unknown };
/**
 * Where a message can be sent to: a pid, an alias, a local name, a name on another thread, a via or
 * global name.
 */
export type Dest = Pid | Ref | string | NodeName | ViaName | GlobalName;

// ------------------------------------------------------------------ spawn

/**
 * Starts a process that runs `fn`. Returns before any of it runs; never throws because of what it
 * does.
 */
export function spawn(fn: () => unknown): Pid {
  const parent = current("spawn()");
  return parent.node.create(fn, fn.name || "fn", parent).pid;
}

/** As `spawn`, linked to the caller from the first moment. */
export function spawnLink(fn: () => unknown): Pid {
  const parent = current("spawnLink()");
  const child = parent.node.create(fn, fn.name || "fn", parent);
  parent.linkTo(child.pid);
  return child.pid;
}

/** As `spawn`, monitored by the caller from the first moment. */
export function spawnMonitor(fn: () => unknown): [Pid, Ref] {
  const parent = current("spawnMonitor()");
  const child = parent.node.create(fn, fn.name || "fn", parent);
  return [child.pid, monitor(child.pid)];
}

// ------------------------------------------------------------------ send

/**
 * Sends a message and returns it. To a dead process: no effect. To a local name that no process
 * holds: throws `BadArg`. Works outside any process for pids and aliases.
 */
export function send<T>(dest: Dest, message: T, options?: SendOptions): T {
  if (options?.transfer !== undefined) {
    moveTo(dest, message, options.transfer);
    return message;
  }
  const sender = currentIfAny();
  if (sender !== undefined) sender.messagesOut += 1;
  if (dest instanceof Pid) {
    const target = Pid.target(dest);
    target.message(dest, target instanceof Process ? isolate(target.node.isolation, message) : message);
    return message;
  }
  if (dest instanceof Ref) {
    Ref.home(dest).aliasMessage(dest, message);
    return message;
  }
  if (sender === undefined) throw new NotAProcess("send() to a name");
  sendNamed(sender.node, dest, message);
  return message;
}

/**
 * Sends unless that would hold the sender back: false, and nothing sent, when the connection to the
 * other thread is congested (OTP: `send/3` with `nosuspend`). True otherwise, also when no process
 * is there.
 */
export function trySend(dest: Pid | NodeName, message: unknown): boolean {
  const target = dest instanceof Pid ? Pid.target(dest) : current("trySend()").node.connection(dest.node);
  if (target !== undefined && "congested" in target && (target as NodeConnection).congested) return false;
  send(dest, message);
  return true;
}

export interface SendOptions {
  /**
   * ArrayBuffers in the message whose memory goes to the receiver without a copy. The sender's are
   * detached afterwards, also when the receiver is dead, near or far. The destination is a pid or a
   * name that has one here.
   */
  readonly transfer?: readonly ArrayBuffer[];
}

function moveTo(dest: Dest, message: unknown, transfer: readonly ArrayBuffer[]): void {
  checkTransfer(transfer);
  const pid = dest instanceof Ref ? undefined : whereis(dest);
  if (pid === undefined)
    throw new BadArg("badarg: a transfer needs a pid, or a name that has one on this thread");
  const target = Pid.target(pid);
  const lifted = lift(message, transfer);
  if ("messageMoving" in target) {
    (target as NodeConnection).messageMoving(pid, lifted, () => detach(transfer));
  } else {
    const moved = attach(lifted, detach(transfer));
    target.message(pid, target instanceof Process ? isolate(target.node.isolation, moved) : moved);
  }
}

function sendNamed(
  node: RuntimeNode,
  dest: string | NodeName | ViaName | GlobalName,
  message: unknown,
): void {
  if (typeof dest === "string") {
    const pid = node.whereis(dest);
    if (pid === undefined) throw new BadArg(`badarg: no process is registered as ${dest}`);
    Process.deliver(node, pid, message);
  } else if ("via" in dest) {
    dest.via.send(dest.term, message);
  } else if ("global" in dest) {
    Global.send(dest.global, message);
  } else if (dest.node === node.index) {
    const pid = node.whereis(dest.name);
    if (pid !== undefined) Process.deliver(node, pid, message);
  } else {
    node.connection(dest.node)?.messageNamed(dest.name, message);
  }
}

/**
 * The pid of a destination at this moment; undefined when there is none, or for a name on another
 * thread.
 */
export function whereis(dest: Pid | string | NodeName | ViaName | GlobalName): Pid | undefined {
  if (dest instanceof Pid) return dest;
  if (typeof dest === "string") return current("whereis()").node.whereis(dest);
  if ("via" in dest) return dest.via.whereisName(dest.term);
  if ("global" in dest) return Global.whereisName(dest.global);
  const { node } = current("whereis()");
  return dest.node === node.index ? node.whereis(dest.name) : undefined;
}

/**
 * Whether a local process is alive. For a pid of another thread: whether its thread is known to be
 * up.
 */
export function isAlive(pid: Pid): boolean {
  return Pid.target(pid).alive;
}

// ------------------------------------------------------------------ exit

/** Ends the running process with `reason`, by a throw that a `catch` can cancel (OTP: `exit/1`). */
export function exit(reason: ExitReason): never;
/** Sends an exit signal to another process (OTP: `exit/2`). Always true; a dead one is no error. */
export function exit(pid: Pid, reason: ExitReason): true;
export function exit(...args: [ExitReason] | [Pid, ExitReason]): true {
  if (args.length === 1) {
    current("exit()");
    throw new ExitSignal(args[0]);
  }
  const [pid, reason] = args;
  if (!isPid(pid)) throw new BadArg("badarg: exit(pid, reason) takes a pid");
  const sender = currentIfAny();
  const from = sender?.pid ?? new Pid(pid.node, pid.creation, 0, DEAD);
  Pid.target(pid).exitSignal(pid, from, reason, false);
  // An exit signal to oneself acts before the next statement.
  if (sender !== undefined && !sender.alive) throw new ExitSignal(sender.exitReason);
  return true;
}

/** A new unique reference (OTP: `make_ref/0`). */
export function makeRef(): Ref {
  return current("makeRef()").newRef();
}

/**
 * Bounds the mailbox of the running process; undefined takes the bound away. Unbounded by default,
 * as in OTP.
 */
export function maxQueue(limit: MaxQueue | undefined): void {
  const process = current("maxQueue()");
  if (limit !== undefined) {
    const { size, action } = limit;
    if (!Number.isInteger(size) || size < 1 || (action !== "kill" && action !== "report"))
      throw new BadArg('badarg: maxQueue() takes { size: a positive integer, action: "kill" or "report" }');
  }
  process.limitQueue(limit);
}

/**
 * Turns exit signals into `["EXIT", pid, reason]` messages, or stops doing so. Returns the previous
 * setting.
 */
export function trapExit(trap: boolean): boolean {
  const process = current("trapExit()");
  const previous = process.trapsExits;
  process.trapsExits = trap;
  return previous;
}

// ------------------------------------------------------------------ links and monitors

/** Links the caller with `pid`: the end of one reaches the other as an exit signal. */
export function link(pid: Pid): true {
  const process = current("link()");
  process.linkTo(pid);
  if (!process.alive) throw new ExitSignal(process.exitReason);
  return true;
}

/**
 * Removes the link. No exit due to it takes effect afterwards; an `EXIT` already in the mailbox
 * stays.
 */
export function unlink(pid: Pid): true {
  current("unlink()").unlinkFrom(pid);
  return true;
}

export interface MonitorOptions {
  /** Takes the place of `"DOWN"` in the message. */
  readonly tag?: unknown;
  /** Makes the ref an alias as well, for as long as the mode says. */
  readonly alias?: "explicit_unalias" | "demonitor" | "reply_demonitor";
}

/** A monitor that becomes a message when it fires. */
class MessageMonitor implements Monitor {
  readonly ref: Ref;
  readonly to: Pid;
  readonly target: Target;
  readonly #process: Process;
  readonly #tag: unknown;
  readonly #object: unknown;
  readonly #alias: { monitorEnded(): void } | undefined;

  constructor(
    process: Process,
    ref: Ref,
    to: Pid,
    target: Target,
    object: unknown,
    { tag = "DOWN", alias }: MonitorOptions,
  ) {
    this.ref = ref;
    this.to = to;
    this.target = target;
    this.#process = process;
    this.#tag = tag;
    this.#object = object;
    this.#alias = alias === undefined ? undefined : openAlias(process, ref, alias);
  }

  down(_ref: Ref, reason: ExitReason): void {
    const process = this.#process;
    if (!process.monitors?.delete(this.ref.id)) return;
    this.#alias?.monitorEnded();
    process.message(process.pid, [this.#tag, this.ref, "process", this.#object, reason]);
  }
}

const NO_OPTIONS: MonitorOptions = {};

/**
 * Asks for one `["DOWN", ref, "process", object, reason]` when the process ends; at once, with
 * `noproc`, when it is not there. `object` is the pid, or `{name, node}` when monitored by name.
 */
export function monitor(
  dest: Pid | string | NodeName | ViaName | GlobalName,
  options: MonitorOptions = NO_OPTIONS,
): Ref {
  const process = current("monitor()");
  const { node } = process;
  const ref = process.newRef();
  if (!(dest instanceof Pid) && typeof dest === "object" && "node" in dest && dest.node !== node.index) {
    const connection = node.connection(dest.node);
    const far = new MessageMonitor(process, ref, node.outside, connection ?? DEAD, dest, options);
    process.monitors ??= new SmallMap();
    process.monitors.set(ref.id, far);
    if (connection === undefined) far.down(ref, "noconnection");
    else connection.monitorNamed(dest.name, ref, far);
    return ref;
  }
  const pid = whereis(dest);
  let object: unknown = dest;
  if (typeof dest === "string") object = { name: dest, node: node.index };
  else if (pid !== undefined && !("name" in dest)) object = pid;
  const target = pid === undefined ? DEAD : Pid.target(pid);
  process.watch(new MessageMonitor(process, ref, pid ?? node.outside, target, object, options));
  return ref;
}

/**
 * Ends a monitor: no `DOWN` is delivered afterwards. `flush` also removes one that is already in
 * the mailbox; with `info` the result is false when the monitor had fired or was gone.
 */
export function demonitor(
  ref: Ref,
  options: { readonly flush?: boolean; readonly info?: boolean } = {},
): boolean {
  const process = current("demonitor()");
  if (!isRef(ref) || !process.node.isLocal(ref))
    throw new BadArg("badarg: demonitor() takes a monitor of the calling process");
  const active = process.unwatch(ref);
  if (active) endAliasOf(process, ref);
  if (options.flush) {
    process.mailbox.removeWhere(
      (message) => Array.isArray(message) && message[0] === "DOWN" && ref.equals(message[1]),
    );
  }
  return options.info ? active : true;
}

// ------------------------------------------------------------------ names

/** Gives a local process a name. Throws `BadArg` when the name or the process has one already. */
export function register(name: string, pid: Pid): true {
  const { node } = current("register()");
  const process = node.process(pid);
  if (process === undefined) throw new BadArg(`badarg: ${pid} is not a live process of this thread`);
  node.register(name, process);
  return true;
}

export function unregister(name: string): true {
  current("unregister()").node.unregister(name);
  return true;
}

/** All names of this thread. */
export function registered(): string[] {
  return current("registered()").node.registered();
}

// ------------------------------------------------------------------ receive

/**
 * Selective receive: resolves with what `match` returns for the oldest message it accepts; `match`
 * declines a message by returning undefined. Messages it declines stay, in order. With `after`,
 * resolves with undefined once that many ms have passed, counted from the call; 0 polls once. With
 * `since`, a ref this process made, messages that had arrived before it was made are not looked at:
 * for an answer that names the ref, however full the mailbox is.
 */
export function receive<T>(
  match: (message: unknown) => T | undefined,
  options?: { readonly after?: undefined; readonly since?: Ref },
): Promise<T>;
export function receive<T>(
  match: (message: unknown) => T | undefined,
  options: { readonly after?: number | undefined; readonly since?: Ref },
): Promise<T | undefined>;
export function receive<T>(
  match: (message: unknown) => T | undefined,
  options: ReceiveOptions = ANYTIME,
): Promise<T | undefined> {
  try {
    return receiver(options).receive(match, options.after, options.since) as Promise<T | undefined>;
  } catch (error) {
    // An async function would say it the same way, for two promises more.
    return Promise.reject(error);
  }
}

interface ReceiveOptions {
  readonly after?: number | undefined;
  readonly since?: Ref;
}

const ANYTIME: ReceiveOptions = {};

/** The running process, when it may receive that way. */
function receiver(options: ReceiveOptions): Process {
  const process = current("receive()");
  if (process.receiving) throw new BadArg("badarg: a process can wait in one receive at a time");
  if (options.after !== undefined) checkDelay(options.after, "after");
  const { since } = options;
  if (since !== undefined && !(isRef(since) && process.node.isLocal(since)))
    throw new BadArg("badarg: since takes a ref made by this process");
  return process;
}

// ------------------------------------------------------------------ dictionary, label, signal

/** Stores a value private to the process; returns the previous one. */
export function put(key: unknown, value: unknown): unknown {
  const process = current("put()");
  process.dictionary ??= new Map();
  const previous = process.dictionary.get(key);
  process.dictionary.set(key, value);
  return previous;
}

export function get(key: unknown): unknown {
  return current("get()").dictionary?.get(key);
}

/** Removes one key and returns its value; without a key, removes all and returns the entries. */
export function erase(key?: unknown): unknown {
  const process = current("erase()");
  if (key === undefined) {
    const all = [...(process.dictionary ?? [])];
    process.dictionary = undefined;
    return all;
  }
  const previous = process.dictionary?.get(key);
  process.dictionary?.delete(key);
  return previous;
}

/** A description shown in crash reports and tree views. */
export function setLabel(label: unknown): void {
  current("setLabel()").label = label;
}

export function getLabel(pid: Pid): unknown {
  return current("getLabel()").node.process(pid)?.label;
}

/** Fires when the running process ends, so that the I/O it began can stop. */
export function signal(): AbortSignal {
  return current("signal()").signal;
}

/**
 * Runs `cleanup` when a process of this thread ends, before its links and monitors are notified.
 * Runs at once when it is dead already. Returns how to take it back.
 */
export function onExit(pid: Pid, cleanup: (reason: ExitReason) => void): () => void {
  const target = Pid.target(pid);
  if (target instanceof Process) return target.onExit(cleanup);
  if (target.alive)
    throw new BadArg(
      `badarg: onExit() takes a pid of this thread, ${pid} lives on another; monitor it instead`,
    );
  cleanup("noproc");
  return () => {};
}

/** The pid that a printed pid stands for on the caller's node. */
export function parsePid(text: string): Pid {
  const parts = pidParts(text);
  if (parts === undefined)
    throw new BadArg(`badarg: ${JSON.stringify(text)} is not a printed pid such as <0.5.0>`);
  return pidFromParts(current("parsePid()").node, parts);
}

/**
 * @internal The pid with these parts, pointing to its process or thread when that is known and
 * alive.
 */
export function pidFromParts(node: RuntimeNode, parts: { node: number; creation: number; id: number }): Pid {
  if (parts.node === node.index) {
    const local = parts.creation === node.creation ? node.processById(parts.id) : undefined;
    return local?.pid ?? new Pid(parts.node, parts.creation, parts.id, DEAD);
  }
  const connection = node.connection(parts.node);
  return new Pid(
    parts.node,
    parts.creation,
    parts.id,
    connection?.creation === parts.creation ? connection : DEAD,
  );
}

/** @internal Checks a time in ms: a non-negative integer, or Infinity. */
export function checkDelay(ms: unknown, what: string): void {
  if (ms === Number.POSITIVE_INFINITY) return;
  if (typeof ms !== "number" || !Number.isInteger(ms) || ms < 0) {
    throw new BadArg(
      `badarg: ${what} must be a non-negative integer of milliseconds or Infinity, got ${show(ms)}`,
    );
  }
}

/** Whether code is running inside a process at all. */
export const inProcess = (): boolean => context.getStore()?.alive === true;
