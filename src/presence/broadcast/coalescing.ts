/**
 * Decides when the next presence frame of a topic is sent. Pure: the caller gives the time.
 *
 * A frame is sent to all clients of a topic, so its cost grows with the number of clients. Between
 * two frames there is a window in which changes are merged:
 *
 *   idle     After a quiet time the first change is sent at once, on a topic of any size.
 *   base     Then follows a window: none on small topics, 50 ms on others, longer on large ones.
 *   stream   While many join or leave, each further frame doubles the window, up to `streamMs`.
 *            After a pause of an eighth of that, changes are sent once two thirds of the window are
 *            over. Each `streamMs` without a change halves the window.
 *   urgent   An update of a key that clients know, such as "is typing", waits for the base window
 *            only.
 *
 * While a room fills, in 30 s or at once, each client is sent fewer than 20 frames: ADR 7.
 */

export interface CoalesceOptions {
  /** Topics with fewer clients get every change at once. Default 50. */
  readonly smallRoom?: number;
  /**
   * Ms between two frames of a topic that is not small. Default 50. 0 sends every change at once,
   * like Phoenix.
   */
  readonly windowMs?: number;
  /**
   * Larger topics get longer windows: a tenth of a ms for each client, up to `longestMs`.
   * Default 1,000.
   */
  readonly largeRoom?: number;
  /** The longest window for the size of a topic alone, in ms. Default 1,000. */
  readonly longestMs?: number;
  /**
   * The longest window while many join or leave, in ms. Default 2,000. 0: only the size of the
   * topic counts.
   */
  readonly streamMs?: number;
  /** A window with this many changed keys ends early. Default 500. */
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

/** The state of a topic. Times in ms. */
export interface CoalesceState {
  readonly flushedAt: number;
  readonly changedAt: number;
  /** Frames of the present stream, less one for each of its pauses. */
  readonly frames: number;
}

export const IDLE: CoalesceState = {
  flushedAt: Number.NEGATIVE_INFINITY,
  changedAt: Number.NEGATIVE_INFINITY,
  frames: 0,
};

/** The changes that wait for the next frame. */
export interface Waiting {
  /** Members or subscribers, whichever are more. */
  readonly size: number;
  readonly changes: number;
  /** Whether a change is among them that must not wait longer than the base window. */
  readonly urgent: boolean;
}

/** Notes a change. */
export function changed(coalescing: CoalesceState, now: number, { streamMs }: Coalesce): CoalesceState {
  const pauses = streamMs === 0 ? 0 : Math.floor((now - coalescing.changedAt) / streamMs);
  return { ...coalescing, changedAt: now, frames: Math.max(0, coalescing.frames - pauses) };
}

/** When the next frame has to be sent. */
export function nextFlushAt(
  coalescing: CoalesceState,
  { size, changes, urgent }: Waiting,
  options: Coalesce,
): number {
  const base = windowOf(size, options);
  if (base === 0 || changes >= options.mostKeys) return Number.NEGATIVE_INFINITY;
  const soonest = coalescing.flushedAt + base;
  if (urgent) return soonest;
  const window = stretched(base, coalescing, options);
  const paused = Math.max(
    coalescing.changedAt + options.streamMs / 8,
    coalescing.flushedAt + (window * 2) / 3,
  );
  return Math.max(soonest, Math.min(coalescing.flushedAt + window, paused));
}

/** A frame was sent to a topic of this size. */
export function flushed(
  coalescing: CoalesceState,
  now: number,
  size: number,
  options: Coalesce,
): CoalesceState {
  const base = windowOf(size, options);
  // Beyond the longest window one more frame would only take longer to be forgotten.
  const grows =
    base > 0 && (coalescing.frames === 0 || stretched(base, coalescing, options) < options.streamMs);
  return { ...coalescing, flushedAt: now, frames: coalescing.frames + (grows ? 1 : 0) };
}

/**
 * The first frame of a stream is followed by the base window, each further one by twice the window
 * before.
 */
const stretched = (base: number, { frames }: CoalesceState, { streamMs }: Coalesce): number =>
  Math.max(base, Math.min(base * 2 ** (frames - 1), streamMs));
