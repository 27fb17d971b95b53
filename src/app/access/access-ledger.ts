/**
 * AccessLedger is what one thread knows of the access of those who are in its rooms: pure, no
 * process, no clock.
 *
 * An entry is a channel: a person in a room by a session. It is `due` when the database is to be
 * asked about it, and `certain` while nothing can have been taken away since the database answered:
 *
 *     joined ──▶ due ──answer──▶ certain ──change announced or missed, time──▶ due
 *                 └──no answer──▶ due, and `unsure` (a change was announced) or `suspended` (a
 *                                 change may have been missed: message lost, engine away)
 *
 * A role is widened by an answer of the database alone.
 *
 * Of a person whose last channel ends while their role is certain, the role is kept for one to two
 * rechecks: a connection that breaks while the database is away comes back to it. It is forgotten
 * once it may have changed (`announce`, `doubt`, `roomEnded`).
 */
import type { Role } from "./role.js";

/** A channel that is in a room. */
export interface Presence {
  readonly channel: string;
  readonly challengeId: number;
  readonly userId: number;
  readonly sessionId: string;
}

/** A question of access: what this person may do in that room, by a session of theirs. */
export type AccessQuestion = Omit<Presence, "channel">;

/** Questions that are answered at once. */
export const MOST_QUESTIONS = 100;

/** People whose roles are kept from one recheck to the next, after they have left. */
const MOST_DEPARTED = 10_000;

/** What the database says of an entry. */
export type AccessAnswer = Role | "forbidden" | "not_found" | "session_ended";

/**
 * What an entry may do. `unsure`: its access has been changed, and the database cannot be asked
 * how. `suspended`: a change may have been missed, and the database cannot be asked.
 */
export type AccessState = AccessAnswer | "unsure" | "suspended";

/** A channel whose access is another one now. */
export interface AccessChange {
  readonly channel: string;
  readonly state: AccessState;
}

interface Entry extends Presence {
  sessionId: string;
  role: Role;
  /** What the channel goes by. */
  state: AccessState;
  due: boolean;
  certain: boolean;
  /** Its room has ended, through which changes are announced: it is certain of nothing any more. */
  unannounced: boolean;
}

export class AccessLedger {
  readonly #entries = new Map<string, Entry>();
  /** Those of one person in one room, by `challenge:user`. */
  readonly #people = new Map<string, Set<Entry>>();
  /** Entries to ask about, in the order in which they became due. */
  readonly #due = new Set<Entry>();
  /**
   * People in rooms whose access was changed, until the database has been asked: `challenge:user`.
   */
  readonly #announced = new Set<string>();
  /**
   * Roles that were certain when their people left, by `challenge:user`: since the last recheck,
   * and since the one before.
   */
  #departed = new Map<string, Role>();
  #departedBefore = new Map<string, Role>();
  /** Whether every change is announced to this thread at present. */
  #reachable = true;

  get size(): number {
    return this.#entries.size;
  }

  get hasDue(): boolean {
    return this.#due.size > 0;
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  /**
   * A channel has joined with this role, `remembered` from another one of the same person or as the
   * database had it. It is asked about once more: the role may have changed meanwhile.
   */
  enter(presence: Presence, role: Role, remembered: boolean): void {
    const { challengeId, userId } = presence;
    const certain = remembered && this.certainRole(challengeId, userId) === role;
    const entry: Entry = { ...presence, role, state: role, due: true, certain, unannounced: false };
    this.#entries.set(presence.channel, entry);
    this.#due.add(entry);
    const key = keyOf(entry);
    const siblings = this.#people.get(key);
    if (siblings === undefined) this.#people.set(key, new Set([entry]));
    else siblings.add(entry);
  }

  /** The channel goes by another session of the same person. */
  renew(channel: string, sessionId: string): void {
    const entry = this.#entries.get(channel);
    if (entry !== undefined) entry.sessionId = sessionId;
  }

  /** The channel has ended. */
  leave(channel: string): void {
    const entry = this.#entries.get(channel);
    if (entry === undefined) return;
    if (entry.certain && this.#departed.size < MOST_DEPARTED) this.#departed.set(keyOf(entry), entry.role);
    this.#remove(entry);
  }

  /**
   * The access of a person to a room has been changed; that of all people without `userId`. Not
   * `stored` for certain: the database has not said so, and people keep what they have until it
   * answers.
   */
  announce(challengeId: number, userId?: number, stored = true): void {
    for (const entry of this.#entries.values()) {
      if (entry.challengeId !== challengeId || (userId !== undefined && entry.userId !== userId)) continue;
      if (stored) {
        this.#announced.add(keyOf(entry));
        entry.certain = false;
      }
      this.#ask(entry);
    }
    this.#forget(challengeId, userId);
  }

  /**
   * Without their room, changes are announced neither for people who have left it nor for channels
   * that are about to end with it.
   */
  roomEnded(challengeId: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.challengeId !== challengeId) continue;
      entry.unannounced = true;
      entry.certain = false;
      this.#ask(entry);
    }
    this.#forget(challengeId);
  }

  /** Messages may have been lost, or get lost from now on: what was certain is so no longer. */
  doubt(reachable: boolean): void {
    this.#reachable = reachable;
    this.#departed.clear();
    this.#departedBefore.clear();
    for (const entry of this.#entries.values()) {
      entry.certain = false;
      this.#ask(entry);
    }
  }

  /** Time has passed: everything is asked about again. */
  recheck(): void {
    this.#departedBefore = this.#departed;
    this.#departed = new Map();
    for (const entry of this.#entries.values()) this.#ask(entry);
  }

  /** Some of those that are due; they are so no longer. */
  take(most: number): readonly Presence[] {
    const taken: Entry[] = [];
    for (const entry of this.#due) {
      if (taken.length === most) break;
      taken.push(entry);
    }
    for (const entry of taken) {
      this.#due.delete(entry);
      entry.due = false;
    }
    return taken;
  }

  /** The database has answered for those that were taken, in their order. */
  answered(taken: readonly Presence[], answers: readonly AccessAnswer[]): AccessChange[] {
    const changes: AccessChange[] = [];
    taken.forEach((presence, n) => {
      const entry = this.#entries.get(presence.channel);
      // It has left, or has been asked about again meanwhile: that answer counts.
      if (entry === undefined || entry !== presence || entry.due) return;
      const answer = answers[n] as AccessAnswer;
      this.#announced.delete(keyOf(entry));
      if (isRole(answer)) {
        entry.role = answer;
        entry.certain = this.#reachable && !entry.unannounced;
      } else {
        this.#forget(entry.challengeId, entry.userId);
        this.#remove(entry);
      }
      this.#become(entry, answer, changes);
    });
    this.#forgetAbsent();
    return changes;
  }

  /**
   * The database has not answered: those that were taken are due again, and all that are due go by
   * what is certain.
   */
  failed(taken: readonly Presence[]): AccessChange[] {
    for (const presence of taken) {
      const entry = this.#entries.get(presence.channel);
      if (entry !== undefined && entry === presence) this.#ask(entry);
    }
    const changes: AccessChange[] = [];
    for (const entry of [...this.#due]) {
      if (this.#announced.has(keyOf(entry))) {
        this.#remove(entry);
        this.#become(entry, "unsure", changes);
      } else if (!entry.certain) this.#become(entry, "suspended", changes);
    }
    return changes;
  }

  /**
   * What a person who is or was in the room has for certain; undefined where the database must be
   * asked.
   */
  certainRole(challengeId: number, userId: number): Role | undefined {
    const key = `${challengeId}:${userId}`;
    const present = this.#people.get(key);
    if (present === undefined) return this.#departed.get(key) ?? this.#departedBefore.get(key);
    for (const entry of present) if (entry.certain) return entry.role;
    return undefined;
  }

  /** What people had when they left. */
  #forget(challengeId: number, userId?: number): void {
    for (const departed of [this.#departed, this.#departedBefore]) {
      if (userId !== undefined) departed.delete(`${challengeId}:${userId}`);
      else for (const key of departed.keys()) if (key.startsWith(`${challengeId}:`)) departed.delete(key);
    }
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.channel);
    this.#due.delete(entry);
    const key = keyOf(entry);
    const siblings = this.#people.get(key);
    siblings?.delete(entry);
    if (siblings?.size === 0) this.#people.delete(key);
  }

  #ask(entry: Entry): void {
    entry.due = true;
    this.#due.add(entry);
  }

  #become(entry: Entry, state: AccessState, changes: AccessChange[]): void {
    if (entry.state === state) return;
    entry.state = state;
    changes.push({ channel: entry.channel, state });
  }

  /** Of those who have left, the next join asks the database by itself. */
  #forgetAbsent(): void {
    for (const key of this.#announced) if (!this.#people.has(key)) this.#announced.delete(key);
  }
}

const keyOf = ({ challengeId, userId }: Presence): string => `${challengeId}:${userId}`;

const isRole = (answer: AccessAnswer): answer is Role =>
  answer === "owner" || answer === "edit" || answer === "view";
