/**
 * The edits of a room that are not stored yet, in order: pure. The first of them are being stored,
 * the others wait; those that are stored are confirmed from the front, and only then is anybody
 * answered as stored.
 */
import type { LogEntry } from "../storage/room-log.js";

export interface UnsavedEdit<Waiter> extends LogEntry {
  /** Answered once the edit is stored. */
  readonly waiters: Waiter[];
}

const BATCH_ROWS = 256;
const BATCH_BYTES = 512 * 1024;

export class WriteQueue<Waiter> {
  #edits: UnsavedEdit<Waiter>[] = [];
  #underWay = 0;
  #bytes = 0;
  #added = 0;

  /** How many there have ever been. */
  get added(): number {
    return this.#added;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#edits.length === 0;
  }

  all(): readonly UnsavedEdit<Waiter>[] {
    return this.#edits;
  }

  add(entry: LogEntry, waiter: Waiter): void {
    this.#edits.push({ ...entry, waiters: [waiter] });
    this.#added += 1;
    this.#bytes += entry.bytes.length;
  }

  /** Adds a waiter to the last edit; false when all are stored already. */
  follow(waiter: Waiter): boolean {
    this.#edits.at(-1)?.waiters.push(waiter);
    return this.#edits.length > 0;
  }

  /** What is to be stored next, all that waits if it is not too much at once. */
  take(): readonly UnsavedEdit<Waiter>[] {
    let bytes = 0;
    const fits = this.#edits.findIndex((edit, index) => {
      bytes += edit.bytes.length;
      return index > 0 && (index >= BATCH_ROWS || bytes > BATCH_BYTES);
    });
    this.#underWay = fits === -1 ? this.#edits.length : fits;
    return this.#edits.slice(0, this.#underWay);
  }

  /** What was taken is stored. */
  confirm(): readonly UnsavedEdit<Waiter>[] {
    const stored = this.#edits.splice(0, this.#underWay);
    for (const { bytes } of stored) this.#bytes -= bytes.length;
    this.#underWay = 0;
    return stored;
  }

  /** What was taken may or may not be stored; it is to be taken again. */
  putBack(): void {
    this.#underWay = 0;
  }
}
