/**
 * The connection from one thread to another: one port that carries every signal between the two in
 * one order.
 *
 * Signals are packed when they are sent and posted together at the end of the loop run, or when a
 * batch is full: a port costs tens of microseconds per posting and next to nothing per byte.
 *
 * Both ends keep records of the links and monitors that cross, so that the end of the other thread
 * is sent to each of them as `noconnection`, after everything that arrived before it.
 *
 * Flow control: the far end acknowledges what it has handled. A process that sends while too much
 * is outstanding is held back after its current turn until the connection is clear again; exit,
 * link and monitor signals always pass.
 *
 * One concept in one file: all of it is about the order of signals on one port.
 */

import type { MessagePort } from "node:worker_threads";
import { context, currentIfAny } from "../kernel/context.js";
import { ExitSignal } from "../kernel/errors.js";
import type { ExitReason } from "../kernel/exit-reason.js";
import type { ConnectionStats, NodeConnection, RuntimeNode } from "../kernel/node.js";
import { Pid, type Ref } from "../kernel/pid.js";
import type { Process } from "../kernel/process.js";
import { show } from "../kernel/show.js";
import { DEAD, type Watcher } from "../kernel/signal.js";
import { attach } from "../kernel/transfer.js";
import { toWire } from "../kernel/wire-data.js";
import { unpackAll } from "./codec.js";
import { SendBuffer } from "./send-buffer.js";

/** Signal kinds on the wire. Numbers, because they lead every signal. */
const Op = {
  message: 0,
  named: 1,
  alias: 2,
  exit: 3,
  linkExit: 4,
  link: 5,
  unlink: 6,
  unlinkAck: 7,
  monitor: 8,
  monitorNamed: 9,
  demonitor: 10,
  down: 11,
  ack: 12,
  control: 13,
} as const;

export interface ConnectionLimits {
  /**
   * Bytes gathered before a batch is posted without waiting for the end of the loop run. Default 64
   * KiB.
   */
  readonly batchBytes: number;
  /** Signals gathered likewise. Default 256. */
  readonly batchSignals: number;
  /** Bytes sent and not yet handled over there at which senders are held back. Default 8 MiB. */
  readonly highWaterBytes: number;
  /** Signals likewise. Default 10,000. */
  readonly highWaterSignals: number;
}

export const DEFAULT_LIMITS: ConnectionLimits = {
  batchBytes: 64 * 1024,
  batchSignals: 256,
  highWaterBytes: 8 * 1024 * 1024,
  highWaterSignals: 10_000,
};

/** A synchronous flood beyond this many times the high-water mark ends its sender. */
const FLOOD_FACTOR = 4;

/** What a connection needs of its port: a `MessagePort`, or a simulation's. */
export interface ConnectionPort {
  on(event: "message" | "close", listener: (message: unknown) => void): unknown;
  postMessage(message: unknown, transfer?: readonly (ArrayBuffer | MessagePort)[]): void;
  close(): void;
}

/** A third thread and the port that leads to it. */
export interface PeerPort {
  readonly index: number;
  readonly creation: number;
  readonly port: MessagePort;
}

/** A posting that is more than bytes. */
interface Batch {
  readonly payload: Uint8Array;
  /** Its size as the sender counts it. */
  readonly bytes: number;
  readonly buffers: readonly ArrayBuffer[];
}

const NO_BUFFERS: readonly ArrayBuffer[] = [];

interface IncomingMonitor {
  readonly pid: Pid;
  readonly ref: Ref;
}

export class ThreadConnection implements NodeConnection {
  readonly index: number;
  readonly creation: number;
  readonly #node: RuntimeNode;
  readonly #port: ConnectionPort;
  readonly #limits: ConnectionLimits;
  /** Handles control messages: spawn requests, heartbeats, introductions. */
  readonly #onControl: (connection: ThreadConnection, message: readonly unknown[]) => void;
  readonly #onDown: (connection: ThreadConnection) => void;
  #alive = true;

  readonly #sendBuffer = new SendBuffer();
  #flushQueued = false;

  #outstandingBytes = 0;
  #outstandingSignals = 0;
  #unacknowledgedBytes = 0;
  #unacknowledgedSignals = 0;
  readonly #held = new Set<Process>();

  /** Monitors of ours on processes over there, by ref id. */
  readonly #outgoing = new Map<number, { readonly ref: Ref; readonly watcher: Watcher }>();
  /** Monitors from over there on processes of ours, by ref id. */
  readonly #incoming = new Map<number, IncomingMonitor>();
  /** Links that cross, by "local id.remote id". */
  readonly #links = new Map<string, { readonly local: Pid; readonly remote: Pid }>();
  /** Unlinks the far end has not confirmed: an exit that crosses one is void. */
  readonly #unlinking = new Map<string, number>();
  #signalsOut = 0;
  #signalsIn = 0;
  #bytesOut = 0;
  #bytesIn = 0;

  constructor(
    node: RuntimeNode,
    far: { readonly index: number; readonly creation: number },
    port: ConnectionPort,
    handlers: {
      readonly onControl: (connection: ThreadConnection, message: readonly unknown[]) => void;
      readonly onIntroduction?: (introduction: PeerPort) => void;
      readonly onDown?: (connection: ThreadConnection) => void;
      readonly limits?: Partial<ConnectionLimits>;
      /** How signals are put on the port. Default "msgpack". The far end takes either. */
    },
  ) {
    this.#node = node;
    this.index = far.index;
    this.creation = far.creation;
    this.#port = port;
    this.#limits = { ...DEFAULT_LIMITS, ...handlers.limits };
    this.#onControl = handlers.onControl;
    this.#onDown = handlers.onDown ?? (() => {});
    port.on("message", (message: unknown) => {
      const posted = message as Uint8Array | Batch | PeerPort;
      if (posted instanceof Uint8Array) this.#receive(posted, posted.length, NO_BUFFERS);
      else if ("payload" in posted) this.#receive(posted.payload, posted.bytes, posted.buffers);
      else if (this.#alive) handlers.onIntroduction?.(posted);
    });
    port.on("close", () => this.down());
    node.addConnection(this);
  }

  get alive(): boolean {
    return this.#alive;
  }

  get port(): ConnectionPort {
    return this.#port;
  }

  stats(): ConnectionStats {
    return {
      node: this.index,
      signalsOut: this.#signalsOut,
      signalsIn: this.#signalsIn,
      bytesOut: this.#bytesOut,
      bytesIn: this.#bytesIn,
      outstandingBytes: this.#outstandingBytes,
      heldProcesses: this.#held.size,
    };
  }

  // ---------------------------------------------------------------- what goes out

  message(to: Pid, message: unknown): void {
    if (to.creation !== this.creation) return;
    this.#send([Op.message, to.id, toWire(message)]);
    this.#throttle();
  }

  messageMoving(to: Pid, message: unknown, detach: () => readonly ArrayBuffer[]): void {
    const wire = toWire(message);
    const buffers = detach();
    if (to.creation !== this.creation || !this.#alive) return;
    this.flush();
    this.#count(this.#sendBuffer.add([Op.message, to.id, wire]));
    this.#signalsOut += 1;
    this.#outstandingSignals += 1;
    this.#post(buffers);
    this.#throttle();
  }

  messageNamed(name: string, message: unknown): void {
    this.#send([Op.named, name, toWire(message)]);
    this.#throttle();
  }

  aliasMessage(ref: Ref, message: unknown): void {
    this.#send([Op.alias, ref.id, toWire(message)]);
    this.#throttle();
  }

  exitSignal(to: Pid, from: Pid, reason: ExitReason, viaLink: boolean): void {
    if (!viaLink) {
      this.#send([Op.exit, to.id, from.id, toWire(reason)]);
      return;
    }
    if (this.#links.delete(linkKey(from, to)))
      this.#send([Op.linkExit, to.id, from.id, reasonToWire(reason)]);
  }

  link(to: Pid, from: Pid): void {
    if (!this.#alive || to.creation !== this.creation) {
      Pid.target(from).exitSignal(from, to, this.#alive ? "noproc" : "noconnection", true);
      return;
    }
    this.#links.set(linkKey(from, to), { local: from, remote: to });
    this.#send([Op.link, to.id, from.id]);
  }

  unlink(to: Pid, from: Pid): void {
    const key = linkKey(from, to);
    if (!this.#links.delete(key)) return;
    this.#unlinking.set(key, (this.#unlinking.get(key) ?? 0) + 1);
    this.#send([Op.unlink, to.id, from.id]);
  }

  monitor(to: Pid, ref: Ref, watcher: Watcher): void {
    if (!this.#alive || to.creation !== this.creation) {
      watcher.down(ref, this.#alive ? "noproc" : "noconnection");
      return;
    }
    this.#outgoing.set(ref.id, { ref, watcher });
    this.#send([Op.monitor, ref.id, to.id]);
  }

  monitorNamed(name: string, ref: Ref, watcher: Watcher): void {
    if (!this.#alive) {
      watcher.down(ref, "noconnection");
      return;
    }
    this.#outgoing.set(ref.id, { ref, watcher });
    this.#send([Op.monitorNamed, ref.id, name]);
  }

  demonitor(_to: Pid, ref: Ref): void {
    if (this.#outgoing.delete(ref.id)) this.#send([Op.demonitor, ref.id]);
  }

  /** Sends a control message. Plain data only; not counted against flow control. */
  control(message: readonly unknown[]): void {
    this.#send([Op.control, toWire(message)]);
  }

  /** Hands the far end a port to a third thread, in order with the signals. */
  connectPeer(introduction: PeerPort): void {
    if (!this.#alive) return;
    this.flush();
    this.#port.postMessage(introduction, [introduction.port]);
  }

  #send(signal: readonly unknown[]): void {
    if (!this.#alive) return;
    this.#count(this.#sendBuffer.add(signal));
    this.#signalsOut += 1;
    this.#outstandingSignals += 1;
    if (
      this.#sendBuffer.signals >= this.#limits.batchSignals ||
      this.#sendBuffer.bytes >= this.#limits.batchBytes
    )
      this.flush();
    else if (!this.#flushQueued) {
      this.#flushQueued = true;
      this.#node.scheduler.defer(this.#flushNow);
    }
  }

  #count(bytes: number): void {
    const sender = context.getStore();
    if (sender !== undefined) sender.bytesOut += bytes;
    this.#bytesOut += bytes;
    this.#outstandingBytes += bytes;
  }

  readonly #flushNow = (): void => {
    this.#flushQueued = false;
    this.flush();
  };

  /** Posts what has been gathered. */
  flush(): void {
    if (this.#sendBuffer.signals > 0 && this.#alive) this.#post(NO_BUFFERS);
  }

  #post(buffers: readonly ArrayBuffer[]): void {
    const { bytes } = this.#sendBuffer;
    const payload = this.#sendBuffer.take();
    const memory = payload.buffer as ArrayBuffer;
    if (buffers.length === 0) this.#port.postMessage(payload, [memory]);
    else this.#port.postMessage({ payload, bytes, buffers } satisfies Batch, [memory, ...buffers]);
  }

  // ---------------------------------------------------------------- flow control

  get congested(): boolean {
    return this.#over(1);
  }

  #over(factor: number): boolean {
    return (
      this.#outstandingBytes > this.#limits.highWaterBytes * factor ||
      this.#outstandingSignals > this.#limits.highWaterSignals * factor
    );
  }

  #throttle(): void {
    if (!this.#over(1)) return;
    const sender = currentIfAny();
    if (sender === undefined) return;
    if (this.#over(FLOOD_FACTOR)) {
      sender.terminate("system_limit");
      throw new ExitSignal("system_limit");
    }
    if (!this.#held.has(sender)) {
      this.#held.add(sender);
      sender.hold();
    }
  }

  #acknowledged(bytes: number, signals: number): void {
    this.#outstandingBytes -= bytes;
    this.#outstandingSignals -= signals;
    if (this.#held.size > 0 && !this.#over(0.5)) this.#releaseHeld();
  }

  #releaseHeld(): void {
    for (const process of this.#held) process.unhold();
    this.#held.clear();
  }

  // ---------------------------------------------------------------- what comes in

  #receive(payload: Uint8Array, bytes: number, buffers: readonly ArrayBuffer[]): void {
    if (!this.#alive) return;
    this.#bytesIn += bytes;
    if (buffers.length > 0) {
      // Memory travels with the one message it belongs to.
      unpackAll(this.#node, payload, ([op, to, message]) => this.#handle([op, to, attach(message, buffers)]));
    } else unpackAll(this.#node, payload, this.#handle);
    this.#unacknowledgedBytes += bytes;
    if (
      this.#unacknowledgedBytes >= this.#limits.highWaterBytes / 8 ||
      this.#unacknowledgedSignals >= this.#limits.highWaterSignals / 8
    ) {
      const bytes = this.#unacknowledgedBytes;
      const signals = this.#unacknowledgedSignals;
      this.#unacknowledgedBytes = 0;
      this.#unacknowledgedSignals = 0;
      this.#send([Op.ack, bytes, signals]);
    }
  }

  readonly #handle = (signal: readonly unknown[]): void => {
    const [op, a, b, c] = signal as readonly [number, number, never, never];
    this.#signalsIn += 1;
    this.#unacknowledgedSignals += 1;
    const node = this.#node;
    switch (op) {
      case Op.message: {
        const process = node.processById(a);
        process?.message(process.pid, b);
        break;
      }
      case Op.named: {
        const pid = node.whereis(a as unknown as string);
        if (pid !== undefined) Pid.target(pid).message(pid, b);
        break;
      }
      case Op.alias:
        node.aliasMessageById(a, b);
        break;
      case Op.exit: {
        const process = node.processById(a);
        process?.exitSignal(process.pid, this.#remotePid(b), c, false);
        break;
      }
      case Op.linkExit:
        this.#linkExit(a, b, c);
        break;
      case Op.link:
        this.#linkFrom(a, b);
        break;
      case Op.unlink:
        this.#unlinkFrom(a, b);
        break;
      case Op.unlinkAck: {
        const key = `${a}.${b as number}`;
        const open = (this.#unlinking.get(key) ?? 1) - 1;
        if (open === 0) this.#unlinking.delete(key);
        else this.#unlinking.set(key, open);
        break;
      }
      case Op.monitor: {
        const process = node.processById(b);
        if (process === undefined) this.#send([Op.down, a, "noproc"]);
        else this.#watch(process.pid, a);
        break;
      }
      case Op.monitorNamed: {
        const pid = node.whereis(b);
        if (pid === undefined) this.#send([Op.down, a, "noproc"]);
        else this.#watch(pid, a);
        break;
      }
      case Op.demonitor: {
        const monitor = this.#incoming.get(a);
        this.#incoming.delete(a);
        if (monitor !== undefined) Pid.target(monitor.pid).demonitor(monitor.pid, monitor.ref);
        break;
      }
      case Op.down: {
        const monitor = this.#outgoing.get(a);
        this.#outgoing.delete(a);
        monitor?.watcher.down(monitor.ref, b);
        break;
      }
      case Op.ack:
        this.#acknowledged(a, b);
        break;
      case Op.control:
        this.#onControl(this, a as unknown as readonly unknown[]);
        break;
    }
  };

  #remotePid(id: number): Pid {
    return new Pid(this.index, this.creation, id, this.#alive ? this : DEAD);
  }

  #linkFrom(localId: number, remoteId: number): void {
    const remote = this.#remotePid(remoteId);
    const process = this.#node.processById(localId);
    if (process === undefined) {
      this.#send([Op.linkExit, remoteId, localId, "noproc"]);
      return;
    }
    this.#links.set(`${localId}.${remoteId}`, { local: process.pid, remote });
    process.link(process.pid, remote);
  }

  #unlinkFrom(localId: number, remoteId: number): void {
    this.#send([Op.unlinkAck, remoteId, localId]);
    const link = this.#links.get(`${localId}.${remoteId}`);
    if (link === undefined) return;
    this.#links.delete(`${localId}.${remoteId}`);
    const process = this.#node.processById(localId);
    process?.unlink(process.pid, link.remote);
  }

  #linkExit(localId: number, remoteId: number, reason: ExitReason): void {
    const key = `${localId}.${remoteId}`;
    if (this.#unlinking.has(key)) return;
    const link = this.#links.get(key);
    if (link === undefined) return;
    this.#links.delete(key);
    Pid.target(link.local).exitSignal(link.local, link.remote, reason, true);
  }

  #watch(pid: Pid, refId: number): void {
    const ref = this.#node.remoteRef(this, refId);
    this.#incoming.set(refId, { pid, ref });
    Pid.target(pid).monitor(pid, ref, {
      down: (_ref, reason) => {
        if (this.#incoming.delete(refId)) this.#send([Op.down, refId, reasonToWire(reason)]);
      },
    });
  }

  // ---------------------------------------------------------------- the end of the far thread

  /** The far thread is gone: tells every link and monitor, once, and gives the connection up. */
  down(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#port.close();
    this.#node.removeConnection(this);
    this.#releaseHeld();
    const links = [...this.#links.values()];
    const outgoing = [...this.#outgoing.values()];
    const incoming = [...this.#incoming.values()];
    this.#links.clear();
    this.#outgoing.clear();
    this.#incoming.clear();
    this.#unlinking.clear();
    for (const { pid, ref } of incoming) Pid.target(pid).demonitor(pid, ref);
    for (const { local, remote } of links) Pid.target(local).exitSignal(local, remote, "noconnection", true);
    for (const { ref, watcher } of outgoing) watcher.down(ref, "noconnection");
    this.#onDown(this);
  }
}

const linkKey = (local: Pid, remote: Pid): string => `${local.id}.${remote.id}`;

/** Exit reasons must always get through: what cannot be sent is described instead. */
function reasonToWire(reason: ExitReason): unknown {
  try {
    return toWire(reason);
  } catch {
    return Array.isArray(reason) && reason[0] instanceof Error
      ? [toWire(reason[0]), show(reason[1])]
      : show(reason);
  }
}
