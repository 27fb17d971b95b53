/**
 * Sessions that were seen lately, for when the database does not answer: who was let in a while
 * ago, with a token that is still valid, is not shut out by an outage. Never asked while there is
 * an answer. Whatever is ended is forgotten, here and, by a message, on other nodes; while such
 * messages may get lost nothing is remembered. Pure.
 */
import type { UserView } from "./users.js";

/** How long ago the database may have spoken for a session: as long as an access token lives. */
export const REMEMBERED_MS = 15 * 60_000;
const MOST = 50_000;

interface Seen {
  readonly user: UserView;
  readonly at: number;
}

export class SessionMemory {
  readonly #now: () => number;
  readonly #seen = new Map<string, Seen>();
  /** Threads that do not get what other nodes publish. */
  readonly #cutOff = new Set<number>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The database says that the session is valid. */
  saw(id: string, user: UserView): void {
    this.#seen.delete(id);
    if (this.#cutOff.size > 0) return;
    this.#seen.set(id, { user, at: this.#now() });
    if (this.#seen.size > MOST) this.#seen.delete(this.#seen.keys().next().value as string);
  }

  forget(id: string): void {
    this.#seen.delete(id);
  }

  forgetUser(userId: number): void {
    for (const [id, { user }] of this.#seen) if (user.id === userId) this.#seen.delete(id);
  }

  /**
   * Whether a thread gets what other nodes publish. When that changes, something may have been
   * missed.
   */
  trust(thread: number, reachable: boolean): void {
    if (reachable ? this.#cutOff.delete(thread) : !this.#cutOff.has(thread)) this.#seen.clear();
    if (!reachable) this.#cutOff.add(thread);
  }

  recall(id: string, userId: number): UserView | undefined {
    const seen = this.#seen.get(id);
    return seen !== undefined && seen.user.id === userId && this.#now() - seen.at <= REMEMBERED_MS
      ? seen.user
      : undefined;
  }
}
