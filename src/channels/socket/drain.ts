/**
 * When each connection is sent away by a gateway that stops. Pure: numbers in, times out.
 *
 * Connections go in rounds, as with Phoenix's drainer, and within a round one after another over
 * its time, each at a random moment of its own share: clients that were sent away together would
 * come back together, and meet a server that has just begun, or its neighbour that has to take them
 * all.
 */

/**
 * How connections are sent away when the endpoint stops (Phoenix.Socket's drainer): in rounds, and
 * spread over the time of each.
 */
export interface DrainOptions {
  /** Connections sent away in one round. Default 10,000. */
  readonly batchSize: number;
  /** Milliseconds of a round, less for fewer than ten clients a second of it. Default 2,000. */
  readonly batchIntervalMs: number;
  /** Milliseconds all of it may take; who is still there is cut off. Default 30,000. */
  readonly shutdownMs: number;
}

export interface DrainRound {
  /** Milliseconds from the beginning of the drain to the beginning of this round. */
  readonly at: number;
  /** For each of its connections, milliseconds from the beginning of the drain. */
  readonly times: readonly number[];
}

/** What one connection may add to the time of a drain: few clients need no long one. */
const SHARE_MS = 100;

/** Of the time of a drain the spreading takes this part at most; the rest is for closing. */
const SPREAD_PART = 0.7;

export function planDrain(
  total: number,
  { batchSize, batchIntervalMs, shutdownMs }: DrainOptions,
  random: () => number = Math.random,
): readonly DrainRound[] {
  const count = Math.floor(total / batchSize) + 1;
  const intervalMs = Math.min(batchIntervalMs, (shutdownMs * SPREAD_PART) / count);
  return Array.from({ length: count }, (_, round) => {
    const size = Math.min(batchSize, total - round * batchSize);
    const at = round * intervalMs;
    const share = Math.min(SHARE_MS, intervalMs / Math.max(1, size));
    return { at, times: Array.from({ length: size }, (_, n) => at + (n + random()) * share) };
  });
}
