/**
 * The ordered queue of one process. Messages are appended at the tail and usually taken from the head; a selective
 * receive takes one from the middle and leaves the rest in place and order.
 *
 * Taking from the head is constant time: the head index moves and the array is cut when half of it is spent.
 */
export class Mailbox {
  #items: unknown[] = [];
  #head = 0;
  /** How many messages have arrived so far. */
  arrivals = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(message: unknown): void {
    this.#items.push(message);
    this.arrivals += 1;
  }

  /** An index before which nothing stands that arrived when there had been fewer than `mark` arrivals or as many. */
  indexAfter(mark: number): number {
    return Math.max(0, this.length - (this.arrivals - mark));
  }

  /** The oldest message. Only valid while `length > 0`. */
  shift(): unknown {
    const message = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head === this.#items.length) {
      // A burst must not leave its largest array behind for ever.
      if (this.#head > 1024) this.#items = [];
      else this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return message;
  }

  /** The message at `index`, counted from the oldest. */
  at(index: number): unknown {
    return this.#items[this.#head + index];
  }

  /** Takes the message at `index` out. */
  remove(index: number): unknown {
    if (index === 0) return this.shift();
    return this.#items.splice(this.#head + index, 1)[0];
  }

  /** Takes out every message that `match` accepts; how many there were. */
  removeWhere(match: (message: unknown) => boolean): number {
    const before = this.length;
    this.#items = this.#items.slice(this.#head).filter((message) => !match(message));
    this.#head = 0;
    return before - this.length;
  }

  /** Puts messages before all others, in their order. */
  restore(messages: readonly unknown[]): void {
    this.#items = [...messages, ...this.toArray()];
    this.#head = 0;
  }

  /** Gives back storage that past messages needed. */
  compact(): void {
    this.#items = this.toArray();
    this.#head = 0;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
  }

  toArray(): unknown[] {
    return this.#items.slice(this.#head);
  }
}
