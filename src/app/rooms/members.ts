/**
 * Who is in a room, and what the room keeps of each connection: pure.
 */

import { randomUUID } from "node:crypto";
import { TokenBucket } from "simurgh/channels";
import type { Pid } from "simurgh/runtime";
import type { Role } from "../access/role.js";
import { SeenTexts } from "./whole-text.js";

/** Colours there are for people. */
const COLORS = 12;

/** Connections of a room on a node, and of one user: no user can fill it for the others. */
const MOST = 300;
const MOST_OF_ONE = 100;

export interface JoinRequest {
  /** The channel of the connection. */
  readonly pid: Pid;
  readonly userId: number;
  readonly name: string;
  readonly role: Role;
  readonly canWrite: boolean;
  /** Exchanges updates of the document; otherwise whole texts. */
  readonly document: boolean;
  /**
   * The id under which it edits the document, if given: no other client may use it meanwhile.
   */
  readonly client: number | undefined;
}

/** How others see a connection. */
export interface Participant {
  readonly id: string;
  readonly user_id: number;
  readonly name: string;
  readonly color: number;
}

export interface Cursor {
  readonly cursor: { readonly anchor: string; readonly head: string } | null;
  readonly top?: string | undefined;
}

export interface Member extends JoinRequest {
  readonly face: Participant;
  canWrite: boolean;
  cursor: Cursor | undefined;
  /** Until when its user counts as typing; 0: does not. */
  typingUntil: number;
  readonly seen: SeenTexts;
  readonly updates: TokenBucket;
  readonly bytes: TokenBucket;
  readonly cursors: TokenBucket;
}

export class Members {
  readonly #byPid = new Map<string, Member>();

  get size(): number {
    return this.#byPid.size;
  }

  /** Whether anybody has to be sent whole texts. */
  get hasReaders(): boolean {
    for (const { document } of this.#byPid.values()) if (!document) return true;
    return false;
  }

  all(): Iterable<Member> {
    return this.#byPid.values();
  }

  get(pid: Pid): Member | undefined {
    return this.#byPid.get(String(pid));
  }

  /** Whether another connection of this user has room. */
  hasRoomFor(userId: number): boolean {
    if (this.#byPid.size >= MOST) return false;
    let own = 0;
    for (const member of this.#byPid.values()) if (member.userId === userId) own += 1;
    return own < MOST_OF_ONE;
  }

  enter(entrant: JoinRequest): Member {
    const member: Member = {
      ...entrant,
      face: {
        id: randomUUID().slice(0, 13),
        user_id: entrant.userId,
        name: entrant.name,
        color: this.#colorFor(entrant.userId),
      },
      cursor: undefined,
      typingUntil: 0,
      seen: new SeenTexts(),
      updates: new TokenBucket({ perSecond: 30, burst: 120 }),
      bytes: new TokenBucket({ perSecond: 1024 * 1024, burst: 4 * 1024 * 1024 }),
      cursors: new TokenBucket({ perSecond: 10, burst: 20 }),
    };
    this.#byPid.set(String(entrant.pid), member);
    return member;
  }

  leave(pid: Pid): Member | undefined {
    const member = this.get(pid);
    this.#byPid.delete(String(pid));
    return member;
  }

  /** Whether this user may add to what the document's client of that id has written. */
  mayExtend(userId: number, client: number): boolean {
    for (const member of this.#byPid.values())
      if (member.client === client && member.userId !== userId) return false;
    return true;
  }

  /** The user's colour in this room, else a free one, else a random one. */
  #colorFor(userId: number): number {
    const taken = new Set<number>();
    for (const { face } of this.#byPid.values()) {
      if (face.user_id === userId) return face.color;
      taken.add(face.color);
    }
    for (let n = 0; n < COLORS; n += 1) {
      const color = (userId + n) % COLORS;
      if (!taken.has(color)) return color;
    }
    return userId % COLORS;
  }
}
