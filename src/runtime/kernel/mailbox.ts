/**
 * The ordered queue of one process. Messages are appended at the tail and usually taken from the
 * head; a selective receive takes one from the middle and leaves the rest in place and order.
 *
 * Most mailboxes hold one message at most, most of the time: that one needs no array. Taking from
 * the head of a longer one is constant time: the head index moves and the array is cut when half of
 * it is spent.
 */
export class Mailbox {
  /** The oldest message, while there is one. */
  #first: unknown;
  #length = 0;
  /** Those behind it. */
  #rest: unknown[] | undefined;
  #head = 0;
  /** How many messages have arrived so far. */
  arrivals = 0;

  get length(): number {
    return this.#length;
  }

  push(message: unknown): void {
    if (this.#length === 0) this.#first = message;
    else if (this.#rest === undefined) this.#rest = [message];
    else this.#rest.push(message);
    this.#length += 1;
    this.arrivals += 1;
  }

  /**
   * An index before which nothing stands that arrived when there had been fewer than `mark`
   * arrivals or as many.
   */
  indexAfter(mark: number): number {
    return Math.max(0, this.length - (this.arrivals - mark));
  }

  /** The oldest message. Only valid while `length > 0`. */
  shift(): unknown {
    const message = this.#first;
    this.#length -= 1;
    const rest = this.#rest;
    if (rest === undefined) {
      this.#first = undefined;
      return message;
    }
    this.#first = rest[this.#head];
    rest[this.#head] = undefined;
    this.#head += 1;
    if (this.#head === rest.length) {
      this.#rest = undefined;
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 >= rest.length) {
      this.#rest = rest.slice(this.#head);
      this.#head = 0;
    }
    return message;
  }

  /** The message at `index`, counted from the oldest. */
  at(index: number): unknown {
    return index === 0 ? this.#first : this.#rest?.[this.#head + index - 1];
  }

  /** Takes the message at `index` out. */
  remove(index: number): unknown {
    if (index === 0) return this.shift();
    const [message] = this.#rest?.splice(this.#head + index - 1, 1) ?? [];
    this.#length -= 1;
    if (this.#length === 1) this.compact();
    return message;
  }

  /** Takes out every message that `match` accepts; how many there were. */
  removeWhere(match: (message: unknown) => boolean): number {
    const before = this.length;
    if (before === 0) return 0;
    this.#fill(this.toArray().filter((message) => !match(message)));
    return before - this.length;
  }

  /** Puts messages before all others, in their order. */
  restore(messages: readonly unknown[]): void {
    this.#fill([...messages, ...this.toArray()]);
  }

  /** Gives back storage that past messages needed. */
  compact(): void {
    this.#fill(this.toArray());
  }

  clear(): void {
    this.#fill([]);
  }

  toArray(): unknown[] {
    if (this.#length === 0) return [];
    return [this.#first, ...(this.#rest?.slice(this.#head) ?? [])];
  }

  #fill(messages: unknown[]): void {
    this.#length = messages.length;
    this.#first = messages[0];
    this.#rest = messages.length > 1 ? messages.slice(1) : undefined;
    this.#head = 0;
  }
}
