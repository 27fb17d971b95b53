/** SendBuffer gathers encoded signals for the next posting, as bytes in one array. */
import { pack } from "./codec.js";

export class SendBuffer {
  #batch = new Uint8Array(16 * 1024);
  /** Bytes and number of the gathered signals. */
  bytes = 0;
  signals = 0;

  /** Adds a signal whose parts have been through `toWire`. Returns its size in bytes. */
  add(signal: readonly unknown[]): number {
    const packed = pack(signal);
    const length = this.bytes + packed.length;
    if (length > this.#batch.length) {
      const larger = new Uint8Array(Math.max(length, this.#batch.length * 2));
      larger.set(this.#batch.subarray(0, this.bytes));
      this.#batch = larger;
    }
    this.#batch.set(packed, this.bytes);
    this.bytes = length;
    this.signals += 1;
    return packed.length;
  }

  /** Returns the gathered signals, and empties the buffer. */
  take(): Uint8Array {
    const payload = this.#batch.slice(0, this.bytes);
    // One very large message must not keep its memory.
    if (this.#batch.length > 1024 * 1024) this.#batch = new Uint8Array(16 * 1024);
    this.bytes = 0;
    this.signals = 0;
    return payload;
  }
}
