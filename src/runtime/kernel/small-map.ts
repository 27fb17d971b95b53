/**
 * A map that mostly holds one entry: the links, monitors and watchers of a process, of which there
 * are as many as there are connections. The first entry takes no more than two fields; a `Map` of
 * nearly 200 bytes is made for the second.
 *
 * Entries come in insertion order, as in a `Map`. Nothing may be added while one goes through the
 * entries; use a `Map` where that happens, or where there are many from the start.
 */
export class SmallMap<K, V> {
  #key: K | undefined;
  #value: V | undefined;
  #single = false;
  #more: Map<K, V> | undefined;

  get size(): number {
    return this.#single ? 1 : (this.#more?.size ?? 0);
  }

  has(key: K): boolean {
    return this.#single ? this.#key === key : this.#more?.has(key) === true;
  }

  get(key: K): V | undefined {
    if (this.#single) return this.#key === key ? this.#value : undefined;
    return this.#more?.get(key);
  }

  set(key: K, value: V): void {
    if (this.#more !== undefined) {
      this.#more.set(key, value);
    } else if (!this.#single || this.#key === key) {
      this.#key = key;
      this.#value = value;
      this.#single = true;
    } else {
      this.#more = new Map<K, V>([[this.#key as K, this.#value as V]]).set(key, value);
      this.#forget();
    }
  }

  delete(key: K): boolean {
    if (!this.#single) {
      if (this.#more?.delete(key) !== true) return false;
      if (this.#more.size === 0) this.#more = undefined;
      return true;
    }
    if (this.#key !== key) return false;
    this.#forget();
    return true;
  }

  #forget(): void {
    this.#key = undefined;
    this.#value = undefined;
    this.#single = false;
  }

  keys(): Iterable<K> {
    if (this.#single) return [this.#key as K];
    return this.#more?.keys() ?? [];
  }

  values(): Iterable<V> {
    if (this.#single) return [this.#value as V];
    return this.#more?.values() ?? [];
  }

  [Symbol.iterator](): Iterator<[K, V]> {
    const entries: Iterable<[K, V]> = this.#single
      ? [[this.#key as K, this.#value as V]]
      : (this.#more ?? []);
    return entries[Symbol.iterator]();
  }
}
