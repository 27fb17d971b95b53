/**
 * Cursors of people whose Room is on another node. That Room says when they go; when it cannot say
 * anything any more, because its node or thread has died or is cut off, they are gone after a while
 * of silence. Pure.
 */
import type { Cursor, Participant } from "./members.js";

export type CursorState = Participant & Cursor;

/**
 * Rooms say so often that their cursors are still there, and are believed for three times as long.
 */
export const HERE_EVERY_MS = 15_000;
const SILENT_MS = 3 * HERE_EVERY_MS;

interface Far {
  readonly state: CursorState;
  readonly heardAt: number;
}

export class FarCursors {
  readonly #known = new Map<string, Far>();

  /** Gives those that were not known before. */
  heard(states: readonly CursorState[], gone: readonly string[], now: number): readonly CursorState[] {
    for (const id of gone) this.#known.delete(id);
    const fresh = states.filter(({ id }) => !this.#known.has(id));
    for (const state of states) this.#known.set(state.id, { state, heardAt: now });
    return fresh;
  }

  /** Forgets those of which nothing was heard for too long; gives their ids. */
  silent(now: number): readonly string[] {
    const ids = [...this.#known].filter(([, { heardAt }]) => now - heardAt > SILENT_MS).map(([id]) => id);
    for (const id of ids) this.#known.delete(id);
    return ids;
  }

  all(): readonly CursorState[] {
    return [...this.#known.values()].map(({ state }) => state);
  }
}
