/**
 * RemoteCursors holds the cursors of users whose Room runs on another node. That Room reports when
 * they leave. When its node or thread has died or is disconnected, they expire. Pure.
 */
import type { Cursor, Participant } from "./members.js";

export type CursorState = Participant & Cursor;

/**
 * The interval in which rooms confirm their cursors; a cursor expires after three of them.
 */
export const HERE_EVERY_MS = 15_000;
const SILENT_MS = 3 * HERE_EVERY_MS;

interface Far {
  readonly state: CursorState;
  readonly lastSeenAt: number;
}

export class RemoteCursors {
  readonly #known = new Map<string, Far>();

  /** Gives those that were not known before. */
  received(states: readonly CursorState[], gone: readonly string[], now: number): readonly CursorState[] {
    for (const id of gone) this.#known.delete(id);
    const fresh = states.filter(({ id }) => !this.#known.has(id));
    for (const state of states) this.#known.set(state.id, { state, lastSeenAt: now });
    return fresh;
  }

  /** Removes cursors without a sign for too long; returns their ids. */
  silent(now: number): readonly string[] {
    const ids = [...this.#known]
      .filter(([, { lastSeenAt }]) => now - lastSeenAt > SILENT_MS)
      .map(([id]) => id);
    for (const id of ids) this.#known.delete(id);
    return ids;
  }

  all(): readonly CursorState[] {
    return [...this.#known.values()].map(({ state }) => state);
  }
}
