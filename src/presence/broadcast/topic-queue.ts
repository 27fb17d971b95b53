/**
 * What goes to the clients of one topic, in order: diffs, and states for those who join. Nothing
 * overtakes: a state contains every change of every diff before it and none of those after it.
 *
 * An item may have to be completed first (by `fetch`); those behind it wait, those of other topics
 * do not. One item is delivered part by part, a turn of the process each, so that a large one does
 * not hold up everything else.
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
