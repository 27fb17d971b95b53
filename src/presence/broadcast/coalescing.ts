/**
 * When the next frame of a topic is due. Pure: the clock is an argument.
 *
 * A frame goes to everybody in the room, so what it costs grows with the room and what it says does
 * not. Hence a window between two frames, in which changes are merged:
 *
 *   quiet      the first change after quiet is told at once, in a room of any size
 *   base       then comes a window: none in small rooms, 50 ms in others, longer in very large ones
 *   stream     while people stream in or out, each further frame doubles the window, up to `streamMs`; when they pause for an
 *              eighth of that, what has come is told once two thirds of the window are over. Each `streamMs` without a change
 *              halves the window again
 *   urgent     an update of somebody whom clients know, such as "is typing", waits for the base window only
 *
 * So while a room fills, for 30 s or in an instant, each member is sent fewer than 20 frames,
 * however they come: ADR 7.
 */

export interface CoalesceOptions {
  /** Rooms below this size get every change at once. Default 50. */
  readonly smallRoom?: number;
  /**
   * Ms between two frames of a room that is not small. Default 50. 0 tells every change at once, as
   * Phoenix does.
   */
  readonly windowMs?: number;
  /**
   * Rooms above this size get longer windows: a tenth of a ms for each member, up to `longestMs`.
   * Default 1,000.
   */
  readonly largeRoom?: number;
  /** The longest window that the size of a room alone makes, in ms. Default 1,000. */
  readonly longestMs?: number;
  /**
   * The longest window while people stream in or out, in ms. Default 2,000. 0 leaves windows as the
   * size of the room makes them.
   */
  readonly streamMs?: number;
  /** A window with this many changed keys is told early. Default 500. */
  readonly mostKeys?: number;
}

export type Coalesce = Required<CoalesceOptions>;

export const DEFAULT_COALESCE: Coalesce = {
  smallRoom: 50,
  windowMs: 50,
  largeRoom: 1000,
  longestMs: 1000,
  streamMs: 2000,
  mostKeys: 500,
};

/**
 * Ms between two frames of a quiet topic with this many members or subscribers, whichever are more.
 */
export function windowOf(size: number, { smallRoom, windowMs, largeRoom, longestMs }: Coalesce): number {
  if (size < smallRoom || windowMs === 0) return 0;
  if (size <= largeRoom) return windowMs;
  return Math.min(Math.max(windowMs, size / 10), longestMs);
}

/** What is remembered of a topic. Times in ms. */
export interface Pace {
  readonly toldAt: number;
  readonly changedAt: number;
  /** Frames of the present stream, less one for each of its pauses. */
  readonly frames: number;
}

export const QUIET: Pace = {
  toldAt: Number.NEGATIVE_INFINITY,
  changedAt: Number.NEGATIVE_INFINITY,
  frames: 0,
};

/** What waits to be told. */
export interface Waiting {
  /** Members or subscribers, whichever are more. */
  readonly size: number;
  readonly changes: number;
  /** Something that must not wait for longer than the base window is among it. */
  readonly urgent: boolean;
}

/** Somebody came, went or changed. */
export function changed(pace: Pace, now: number, { streamMs }: Coalesce): Pace {
  const pauses = streamMs === 0 ? 0 : Math.floor((now - pace.changedAt) / streamMs);
  return { ...pace, changedAt: now, frames: Math.max(0, pace.frames - pauses) };
}

/** When what waits is to be told. */
export function dueAt(pace: Pace, { size, changes, urgent }: Waiting, options: Coalesce): number {
  const base = windowOf(size, options);
  if (base === 0 || changes >= options.mostKeys) return Number.NEGATIVE_INFINITY;
  const soonest = pace.toldAt + base;
  if (urgent) return soonest;
  const window = stretched(base, pace, options);
  const paused = Math.max(pace.changedAt + options.streamMs / 8, pace.toldAt + (window * 2) / 3);
  return Math.max(soonest, Math.min(pace.toldAt + window, paused));
}

/** A frame was sent to a topic of this size. */
export function told(pace: Pace, now: number, size: number, options: Coalesce): Pace {
  const base = windowOf(size, options);
  // Beyond the longest window one more frame would only take longer to be forgotten.
  const grows = base > 0 && (pace.frames === 0 || stretched(base, pace, options) < options.streamMs);
  return { ...pace, toldAt: now, frames: pace.frames + (grows ? 1 : 0) };
}

/**
 * The first frame of a stream is followed by the base window, each further one by twice the window
 * before.
 */
const stretched = (base: number, { frames }: Pace, { streamMs }: Coalesce): number =>
  Math.max(base, Math.min(base * 2 ** (frames - 1), streamMs));
