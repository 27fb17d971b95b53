/**
 * TopicQueue holds the frames of one topic in order: diffs, and states for clients that join. A
 * state contains every change of the diffs before it, and none of those after it.
 *
 * An item may have to be completed first by `fetch`; items behind it wait, other topics do not. An
 * item is delivered in parts, one per turn of the process, so that a large one does not block
 * others.
 */

export interface Item {
  /** Its parts in order; undefined while it is being completed. */
  parts: readonly (() => void)[] | undefined;
}

export class TopicQueue {
  readonly #items: Item[] = [];
  #part = 0;

  get empty(): boolean {
    return this.#items.length === 0;
  }

  get length(): number {
    return this.#items.length;
  }

  put(item: Item): void {
    this.#items.push(item);
  }

  /** Delivers the next part, if it is ready. Whether another one can follow at once. */
  deliver(): boolean {
    const item = this.#items[0];
    if (item?.parts === undefined) return false;
    const part = item.parts[this.#part];
    this.#part += 1;
    if (this.#part >= item.parts.length) {
      this.#items.shift();
      this.#part = 0;
    }
    part?.();
    return this.#items[0]?.parts !== undefined;
  }
}
