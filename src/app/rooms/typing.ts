/** Typing notifies channels when their user begins to type, and when the last edit is 3 s ago. */
import { type Pid, send } from "simurgh/runtime";
import type { Member, Members } from "./members.js";
import { now } from "./persistence.js";
import type { RoomNews } from "./room-messages.js";
import type { Timers } from "./timers.js";

/** Typing ends so long after the last edit. */
export const TYPING_MS = 3000;

export class Typing {
  readonly #members: Members;
  readonly #timers: Timers;

  constructor(members: Members, timers: Timers) {
    this.#members = members;
    this.#timers = timers;
  }

  typed(member: Member): void {
    if (member.typingUntil === 0) send(member.pid, ["room", "typing", true] satisfies RoomNews);
    member.typingUntil = now() + TYPING_MS;
    this.#timers.arm("typing", TYPING_MS);
  }

  /** The user has left the text. */
  stopped(pid: Pid): void {
    const member = this.#members.get(pid);
    if (member !== undefined) member.typingUntil = 0;
  }

  /** The timer "typing" has fired. */
  expire(): void {
    const time = now();
    let next = Number.POSITIVE_INFINITY;
    for (const member of this.#members.all()) {
      if (member.typingUntil === 0) continue;
      if (member.typingUntil > time) {
        next = Math.min(next, member.typingUntil);
        continue;
      }
      member.typingUntil = 0;
      send(member.pid, ["room", "typing", false] satisfies RoomNews);
    }
    if (next < Number.POSITIVE_INFINITY) this.#timers.arm("typing", next - time);
  }
}
