/**
 * The writer of a gateway is the only one that writes to the connections of its thread.
 *
 * Pushes and replies of channels, broadcasts and the socket's own frames arrive here in signal
 * order, so a client receives a channel's frames in the order in which they were sent. The writer
 * is a sink, not a process: messages are handled at once, without a mailbox.
 */
import { outside, type Pid, type RuntimeNode, send } from "simurgh/runtime";
import type { Frame } from "../protocol/message.js";
import { websocketFrame } from "./websocket-frame.js";
import type { WriterMessage } from "./writer-messages.js";

/** A frame and its WebSocket bytes, which are made on first use and shared by all receivers. */
export class PreparedFrame {
  readonly frame: Frame;
  #bytes: Buffer | undefined;

  constructor(frame: Frame) {
    this.frame = frame;
  }

  get bytes(): Buffer {
    this.#bytes ??= websocketFrame(this.frame);
    return this.#bytes;
  }
}

/** A client's connection, of any transport. */
export interface Connection {
  write(outgoing: PreparedFrame): void;
}

interface Entry {
  readonly connection: Connection;
  /** At most one per joined topic. */
  lanes: readonly string[];
}

const NO_LANES: readonly string[] = [];

export class Writer {
  /** Processes of any thread send frames to this pid. */
  readonly pid: Pid;
  readonly #connections = new Map<number, Entry>();
  readonly #lanes = new Map<string, Set<number>>();
  #nextConnection = 1;

  constructor(node: RuntimeNode) {
    this.pid = node.openSink((message) => this.handle(message as WriterMessage));
  }

  get size(): number {
    return this.#connections.size;
  }

  get laneCount(): number {
    return this.#lanes.size;
  }

  /** The number for a connection that is about to open. */
  reserve(): number {
    const id = this.#nextConnection;
    this.#nextConnection += 1;
    return id;
  }

  open(id: number, connection: Connection): void {
    this.#connections.set(id, { connection, lanes: NO_LANES });
  }

  close(id: number): void {
    const entry = this.#connections.get(id);
    if (entry === undefined) return;
    this.#connections.delete(id);
    for (const lane of entry.lanes) this.#leave(lane, id);
  }

  /** Removes the lanes of a thread that is gone. */
  dropLanesOf(node: number, creation: number): void {
    const prefix = `${node}.${creation}.`;
    for (const [lane, members] of this.#lanes) {
      if (!lane.startsWith(prefix)) continue;
      this.#lanes.delete(lane);
      for (const id of members) this.#forget(id, lane);
    }
  }

  handle(message: WriterMessage): void {
    switch (message[0]) {
      case "send":
        this.send(message[1], message[2]);
        break;
      case "report": {
        const [, connection, frames, to, notification] = message;
        for (const frame of frames) this.send(connection, frame);
        outside(() => send(to, notification));
        break;
      }
      case "lane":
        this.#fanOut(message[1], message[2], message[3]);
        break;
      case "lane+":
        this.#join(message[1], message[2]);
        break;
      case "lane-":
        this.#forget(message[2], message[1]);
        this.#leave(message[1], message[2]);
        break;
    }
  }

  /** Writes to one connection; does nothing when it is gone. */
  send(id: number, frame: Frame): void {
    this.#connections.get(id)?.connection.write(new PreparedFrame(frame));
  }

  #fanOut(lane: string, frame: Frame, except: number): void {
    const members = this.#lanes.get(lane);
    if (members === undefined) return;
    const outgoing = new PreparedFrame(frame);
    for (const id of members) if (id !== except) this.#connections.get(id)?.connection.write(outgoing);
  }

  #join(lane: string, id: number): void {
    const entry = this.#connections.get(id);
    if (entry === undefined) return;
    if (!entry.lanes.includes(lane)) entry.lanes = [...entry.lanes, lane];
    const members = this.#lanes.get(lane);
    if (members === undefined) this.#lanes.set(lane, new Set([id]));
    else members.add(id);
  }

  #forget(id: number, lane: string): void {
    const entry = this.#connections.get(id);
    if (entry === undefined) return;
    const rest = entry.lanes.filter((other) => other !== lane);
    entry.lanes = rest.length === 0 ? NO_LANES : rest;
  }

  #leave(lane: string, id: number): void {
    const members = this.#lanes.get(lane);
    if (members?.delete(id) && members.size === 0) this.#lanes.delete(lane);
  }
}
