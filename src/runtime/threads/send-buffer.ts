/**
 * Where signals wait for the next posting, in the form they will cross in: bytes in one array, or
 * copies in a list.
 */
import { pack } from "./codec.js";
import { toClone } from "./wire-clone.js";

/** How signals are put on a port; sender and receiver use the same. */
export type Encoding = "msgpack" | "clone";

export interface Posting {
  readonly payload: Uint8Array | readonly unknown[];
  readonly transfer: readonly ArrayBuffer[];
}

export interface SendBuffer {
  readonly signals: number;
  /** Adds a signal whose parts have been through `toWire`. Gives its size in bytes. */
  add(signal: readonly unknown[]): number;
  readonly bytes: number;
  /** Returns the gathered signals, and empties the buffer. */
  take(): Posting;
}

export const openOutbox = (encoding: Encoding): SendBuffer =>
  encoding === "msgpack" ? new BytesOutbox() : new CopyingSendBuffer();

class BytesOutbox implements SendBuffer {
  #batch = new Uint8Array(16 * 1024);
  bytes = 0;
  signals = 0;

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

  take(): Posting {
    const payload = this.#batch.slice(0, this.bytes);
    // One very large message must not leave its room behind.
    if (this.#batch.length > 1024 * 1024) this.#batch = new Uint8Array(16 * 1024);
    this.bytes = 0;
    this.signals = 0;
    return { payload, transfer: [payload.buffer as ArrayBuffer] };
  }
}

class CopyingSendBuffer implements SendBuffer {
  #copies: unknown[] = [];
  bytes = 0;

  get signals(): number {
    return this.#copies.length;
  }

  add(signal: readonly unknown[]): number {
    const { copy, size } = toClone(signal);
    this.#copies.push(copy);
    this.bytes += size;
    return size;
  }

  take(): Posting {
    const payload = this.#copies;
    this.#copies = [];
    this.bytes = 0;
    return { payload, transfer: [] };
  }
}
