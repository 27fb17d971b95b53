/**
 * A first-in, first-out queue of objects that forgets what it has given out. A ring: unlike an
 * array that is emptied by its length or cut, it does no more per object than two writes, and
 * nothing at all when it runs empty.
 */
export class Ring<T extends object> {
  /** Its length is a power of two. */
  #slots: (T | undefined)[] = new Array(16).fill(undefined);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#resize(this.#length * 2);
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item;
    this.#length += 1;
  }

  /** The oldest, or undefined when there is none. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length -= 1;
    // Room that a rush has left is given back.
    if (this.#length * 8 < this.#slots.length && this.#slots.length > 1024)
      this.#resize(this.#slots.length / 2);
    return item;
  }

  #resize(size: number): void {
    const slots = new Array<T | undefined>(size).fill(undefined);
    for (let n = 0; n < this.#length; n += 1) {
      slots[n] = this.#slots[(this.#head + n) & (this.#slots.length - 1)];
    }
    this.#slots = slots;
    this.#head = 0;
  }
}
