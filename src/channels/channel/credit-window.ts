/**
 * How much of what a client sends may wait. One channel is given so many frames; what is more waits
 * in the connection's process, which reads on, so that a slow channel holds up neither the
 * heartbeat nor the other topics. When too much waits on the whole connection it is not read until
 * half of that is left: the client is held back by TCP, and memory stays bounded (Phoenix: the
 * mailbox grows).
 *
 * The connection's process counts what it has handed over; a channel reports from time to time what
 * it has begun to handle. What it has not reported yet does not count against the connection, so
 * that one that was held back always continues.
 */

/** Frames and bytes that a channel may have before it. */
const MOST_FRAMES = 256;
const MOST_BYTES = 1024 * 1024;

/** A channel reports after this much. */
const REPORT_FRAMES = 64;
const REPORT_BYTES = 256 * 1024;

export interface Taken {
  readonly frames: number;
  readonly bytes: number;
}

/** What may wait on one connection. */
export interface WaitingLimits {
  readonly frames: number;
  readonly bytes: number;
}

export const DEFAULT_WAITING: WaitingLimits = { frames: 4096, bytes: 4 * 1024 * 1024 };

/** At the connection: what waits on it, for all its channels. */
export class Backlog {
  readonly #limits: WaitingLimits;
  #frames = 0;
  #bytes = 0;
  /** The connection is not to be read. */
  held = false;

  constructor(limits: WaitingLimits) {
    this.#limits = limits;
  }

  /**
   * Counts what has come or gone. Whether the connection is to be held, or no longer: `held` has
   * changed.
   */
  count(frames: number, bytes: number): boolean {
    this.#frames += frames;
    this.#bytes += bytes;
    const { frames: mostFrames, bytes: mostBytes } = this.#limits;
    const held = this.held
      ? this.#frames > mostFrames / 2 || this.#bytes > mostBytes / 2
      : this.#frames >= mostFrames || this.#bytes >= mostBytes;
    if (held === this.held) return false;
    this.held = held;
    return true;
  }
}

/** At the connection: what one channel has been handed and has not reported. */
export class Window {
  #frames = 0;
  #bytes = 0;
  /** Frames it has reported so far. */
  handled = 0;

  handed(size: number): void {
    this.#frames += 1;
    this.#bytes += size;
  }

  taken({ frames, bytes }: Taken): void {
    this.#frames -= frames;
    this.#bytes -= bytes;
    this.handled += frames;
  }

  /** It may be handed more. */
  get hasRoom(): boolean {
    return this.#frames < MOST_FRAMES && this.#bytes < MOST_BYTES;
  }

  /** Half of what it may have is left, or less: worth handing it more. */
  get isLow(): boolean {
    return this.#frames <= MOST_FRAMES / 2 && this.#bytes <= MOST_BYTES / 2;
  }

  get room(): { readonly frames: number; readonly bytes: number } {
    return { frames: MOST_FRAMES - this.#frames, bytes: MOST_BYTES - this.#bytes };
  }

  /** Whether some of it surely waits: all but what it may have handled without a report. */
  get hasSurplus(): boolean {
    return this.#frames > REPORT_FRAMES || this.#bytes > REPORT_BYTES;
  }

  get surplusFrames(): number {
    return Math.max(0, this.#frames - REPORT_FRAMES);
  }

  get surplusBytes(): number {
    return Math.max(0, this.#bytes - REPORT_BYTES);
  }
}

/** A channel that has just begun. */
export const FULL_ROOM = new Window().room;

/** In the channel: what has been taken since the last report. */
export class Intake {
  #frames = 0;
  #bytes = 0;

  /** Gives what is to be reported, when it is time. */
  take(size: number): Taken | undefined {
    this.#frames += 1;
    this.#bytes += size;
    if (this.#frames < REPORT_FRAMES && this.#bytes < REPORT_BYTES) return undefined;
    const taken = { frames: this.#frames, bytes: this.#bytes };
    this.#frames = 0;
    this.#bytes = 0;
    return taken;
  }
}
