/**
 * A digest of entries per slot: equal entries give equal digests, in whatever order they came. It
 * lets replicas notice that they list different things although their clocks agree.
 */
import { slot } from "#pubsub";
import { fnv1a } from "#runtime";
import { type Entry, entryId } from "./delta.js";

export class Digest {
  readonly #slots = new Map<number, number>();

  /** Adds the entry; the second time it takes it out again. */
  toggle(entry: Entry): void {
    const at = slot(entry.topic);
    const sum = (this.#slots.get(at) ?? 0) ^ fnv1a(`${entryId(entry)} ${entry.version}`);
    if (sum === 0) this.#slots.delete(at);
    else this.#slots.set(at, sum);
  }

  of(slotNumber: number): number {
    return this.#slots.get(slotNumber) ?? 0;
  }

  /** Slots with entries, and their sums. */
  entries(): readonly (readonly [slot: number, sum: number])[] {
    return [...this.#slots];
  }
}
