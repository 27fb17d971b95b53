/**
 * The edits of a room that are not stored yet, in order: pure. The first of them are being stored,
 * the others wait; those that are stored are confirmed from the front, and only then is anybody
 * told that they are safe.
 */
import type { LogEntry } from "../storage/room-log.js";

export interface UnsavedEdit<Told> extends LogEntry {
  /** Who is told once it is stored. */
  readonly told: Told[];
}

const BATCH_ROWS = 256;
const BATCH_BYTES = 512 * 1024;

export class WriteQueue<Told> {
  #edits: UnsavedEdit<Told>[] = [];
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

  all(): readonly UnsavedEdit<Told>[] {
    return this.#edits;
  }

  add(entry: LogEntry, told: Told): void {
    this.#edits.push({ ...entry, told: [told] });
    this.#added += 1;
    this.#bytes += entry.bytes.length;
  }

  /** `told` is told together with the last edit there is; false when all are stored already. */
  follow(told: Told): boolean {
    this.#edits.at(-1)?.told.push(told);
    return this.#edits.length > 0;
  }

  /** What is to be stored next, all that waits if it is not too much at once. */
  take(): readonly UnsavedEdit<Told>[] {
    let bytes = 0;
    const fits = this.#edits.findIndex((edit, index) => {
      bytes += edit.bytes.length;
      return index > 0 && (index >= BATCH_ROWS || bytes > BATCH_BYTES);
    });
    this.#underWay = fits === -1 ? this.#edits.length : fits;
    return this.#edits.slice(0, this.#underWay);
  }

  /** What was taken is stored. */
  confirm(): readonly UnsavedEdit<Told>[] {
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
