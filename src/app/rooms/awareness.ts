/**
 * Awareness knows the cursors of a room: those of its own clients, and those of other nodes. Moves
 * are broadcast together, every 50 ms. Rooms confirm their cursors to each other; those of a silent
 * room expire.
 */
import type { Pid } from "simurgh/runtime";
import type { Cursor, Member, Members } from "./members.js";
import { now } from "./persistence.js";
import { type CursorState, HERE_EVERY_MS, RemoteCursors } from "./remote-cursors.js";
import { CURSORS_HERE } from "./room-messages.js";
import type { Timers } from "./timers.js";

const BROADCAST_MS = 50;

export interface AwarenessOptions {
  readonly members: Members;
  readonly timers: Timers;
  /** To all clients, on all nodes. */
  readonly broadcast: (event: string, payload: object) => void;
  /** To the clients of this node. */
  readonly broadcastLocal: (event: string, payload: object) => void;
}

export class Awareness {
  readonly #options: AwarenessOptions;
  readonly #remote = new RemoteCursors();
  readonly #moved = new Set<Member>();
  #gone: string[] = [];

  constructor(options: AwarenessOptions) {
    this.#options = options;
  }

  /** A client has joined: its room confirms cursors from now on. */
  joined(): void {
    this.#options.timers.arm("here", HERE_EVERY_MS);
  }

  left(member: Member): void {
    this.#moved.delete(member);
    if (member.cursor === undefined) return;
    this.#gone.push(member.face.id);
    this.#options.timers.arm("cursors", BROADCAST_MS);
  }

  move(pid: Pid, cursor: Cursor): void {
    const { members, timers } = this.#options;
    const member = members.get(pid);
    if (member === undefined || member.cursors.take(now()) > 0) return;
    member.cursor = cursor;
    this.#moved.add(member);
    timers.arm("cursors", BROADCAST_MS);
  }

  /** All cursors, of this room and of others. */
  states(): readonly CursorState[] {
    this.#expire();
    return [...this.#local(), ...this.#remote.all()];
  }

  /** The timer "cursors" has fired. */
  broadcastMoves(): void {
    const states = [...this.#moved].map(({ face, cursor }) => ({ ...face, ...cursor }));
    this.#options.broadcast("y:awareness", { states, gone: this.#gone });
    this.#moved.clear();
    this.#gone = [];
  }

  /** The timer "here" has fired: confirms the own cursors to other rooms, and expires theirs. */
  confirm(): void {
    const { members, timers, broadcast } = this.#options;
    const states = this.#local();
    if (states.length > 0) broadcast(CURSORS_HERE, { states });
    this.#expire();
    if (members.size > 0) timers.arm("here", HERE_EVERY_MS);
  }

  /** The room of another node has broadcast moves. */
  received({
    states,
    gone,
  }: {
    readonly states: readonly CursorState[];
    readonly gone: readonly string[];
  }): void {
    this.#remote.received(states, gone, now());
  }

  /** The room of another node has confirmed its cursors. */
  confirmed({ states }: { readonly states: readonly CursorState[] }): void {
    // Cursors that had expired, or are older than this room.
    const back = this.#remote.received(states, [], now());
    if (back.length > 0) this.#options.broadcastLocal("y:awareness", { states: back, gone: [] });
  }

  #local(): readonly CursorState[] {
    const states: CursorState[] = [];
    for (const { face, cursor } of this.#options.members.all())
      if (cursor !== undefined) states.push({ ...face, ...cursor });
    return states;
  }

  #expire(): void {
    const gone = this.#remote.silent(now());
    if (gone.length > 0) this.#options.broadcastLocal("y:awareness", { states: [], gone });
  }
}
