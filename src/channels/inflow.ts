/**
 * How much of what a client sends may wait for one of its channels. When a channel is slower than its client, the connection is not
 * read until the channel has caught up: the client is held back by TCP, and memory stays bounded (Phoenix: the mailbox grows).
 *
 * The connection's process counts what it has handed over; the channel says from time to time what it has begun to handle. What
 * it has not said yet is less than half of what may wait, so that a connection that was held back always goes on.
 */
import type { RawPayload } from "./frame-scanner.js";

/** Frames and bytes that may wait for one channel. */
const MOST_FRAMES = 256;
const MOST_BYTES = 1024 * 1024;

/** A channel says so after this much. */
const SAID_FRAMES = 64;
const SAID_BYTES = 256 * 1024;

const sizeOf = (payload: RawPayload): number =>
  typeof payload === "string" ? payload.length : payload instanceof Uint8Array ? payload.byteLength : 0;

/** At the connection: what waits for one channel. */
export class Waiting {
  #frames = 0;
  #bytes = 0;

  handed(payload: RawPayload): void {
    this.#frames += 1;
    this.#bytes += sizeOf(payload);
  }

  taken({ frames, bytes }: Taken): void {
    this.#frames -= frames;
    this.#bytes -= bytes;
  }

  /** No more is to be read. */
  get isMuch(): boolean {
    return this.#frames >= MOST_FRAMES || this.#bytes >= MOST_BYTES;
  }

  /** Reading goes on. */
  get isLittle(): boolean {
    return this.#frames <= MOST_FRAMES / 2 && this.#bytes <= MOST_BYTES / 2;
  }
}

export interface Taken {
  readonly frames: number;
  readonly bytes: number;
}

/** In the channel: what has been taken since it last said so. */
export class Intake {
  #frames = 0;
  #bytes = 0;

  /** Gives what is to be said, when it is time. */
  take(payload: RawPayload): Taken | undefined {
    this.#frames += 1;
    this.#bytes += sizeOf(payload);
    if (this.#frames < SAID_FRAMES && this.#bytes < SAID_BYTES) return undefined;
    const taken = { frames: this.#frames, bytes: this.#bytes };
    this.#frames = 0;
    this.#bytes = 0;
    return taken;
  }
}

/** Frames of a client that wait for a join to be answered; what is more is refused. */
export const MOST_QUEUED = MOST_FRAMES;
