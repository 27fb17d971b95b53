/**
 * Flow control between a connection and its channels. Each channel grants its connection a window
 * of 256 frames or 1 MiB. Frames beyond it are queued in the connection's process, which keeps
 * reading, so that a slow channel delays neither the heartbeat nor other topics. When the queues of
 * a connection reach its limit, its socket is paused until they are half empty: TCP then pushes
 * back on the client, and memory stays bounded. (Phoenix has no such limit: the channel's mailbox
 * grows.)
 *
 * A channel returns credits every 64 frames or 256 KiB, less than half a window. What it has not
 * returned yet does not count against the connection, so that a paused connection always resumes.
 */

/** The window of a channel, in frames and bytes. */
const WINDOW_FRAMES = 256;
const WINDOW_BYTES = 1024 * 1024;

/** A channel returns credits after this much. */
const CREDIT_FRAMES = 64;
const CREDIT_BYTES = 256 * 1024;

export interface Credits {
  readonly frames: number;
  readonly bytes: number;
}

/** Limits on what one connection may queue. */
export interface BacklogLimits {
  readonly frames: number;
  readonly bytes: number;
}

export const DEFAULT_BACKLOG: BacklogLimits = { frames: 4096, bytes: 4 * 1024 * 1024 };

/** At the connection: what is queued, for all its channels. */
export class Backlog {
  readonly #limits: BacklogLimits;
  #frames = 0;
  #bytes = 0;
  /** The socket must not be read. */
  isFull = false;

  constructor(limits: BacklogLimits) {
    this.#limits = limits;
  }

  /** Adds to the counts, or subtracts. Returns whether `isFull` has changed. */
  count(frames: number, bytes: number): boolean {
    this.#frames += frames;
    this.#bytes += bytes;
    const { frames: mostFrames, bytes: mostBytes } = this.#limits;
    const isFull = this.isFull
      ? this.#frames > mostFrames / 2 || this.#bytes > mostBytes / 2
      : this.#frames >= mostFrames || this.#bytes >= mostBytes;
    if (isFull === this.isFull) return false;
    this.isFull = isFull;
    return true;
  }
}

/** At the connection: what one channel has been sent and has not returned as credits. */
export class CreditWindow {
  #frames = 0;
  #bytes = 0;
  /** Frames returned as credits so far. */
  handled = 0;

  sent(size: number): void {
    this.#frames += 1;
    this.#bytes += size;
  }

  returned({ frames, bytes }: Credits): void {
    this.#frames -= frames;
    this.#bytes -= bytes;
    this.handled += frames;
  }

  /** More may be sent to the channel. */
  get hasCredit(): boolean {
    return this.#frames < WINDOW_FRAMES && this.#bytes < WINDOW_BYTES;
  }

  /** At most half of the window is in use: worth sending more. */
  get isHalfEmpty(): boolean {
    return this.#frames <= WINDOW_FRAMES / 2 && this.#bytes <= WINDOW_BYTES / 2;
  }

  get credit(): { readonly frames: number; readonly bytes: number } {
    return { frames: WINDOW_FRAMES - this.#frames, bytes: WINDOW_BYTES - this.#bytes };
  }

  /** Whether more is outstanding than the channel may have handled without returning credits. */
  get hasSurplus(): boolean {
    return this.#frames > CREDIT_FRAMES || this.#bytes > CREDIT_BYTES;
  }

  get surplusFrames(): number {
    return Math.max(0, this.#frames - CREDIT_FRAMES);
  }

  get surplusBytes(): number {
    return Math.max(0, this.#bytes - CREDIT_BYTES);
  }
}

/** The credit of a new channel. */
export const FULL_CREDIT = new CreditWindow().credit;

/** In the channel: what has been handled since credits were last returned. */
export class CreditCounter {
  #frames = 0;
  #bytes = 0;

  /** Counts a frame. Returns the credits to send, when they are due. */
  count(size: number): Credits | undefined {
    this.#frames += 1;
    this.#bytes += size;
    if (this.#frames < CREDIT_FRAMES && this.#bytes < CREDIT_BYTES) return undefined;
    const credits = { frames: this.#frames, bytes: this.#bytes };
    this.#frames = 0;
    this.#bytes = 0;
    return credits;
  }
}
