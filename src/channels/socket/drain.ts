/**
 * The drain plan: when a stopping gateway closes each of its connections. Pure.
 *
 * Connections close in rounds, like Phoenix's drainer. Within a round they are spread over its
 * interval, each at a random moment of its own share: clients that were closed together would
 * reconnect together and overload a server that has just started, or the one that takes over.
 */

/**
 * How connections are closed when the endpoint stops (Phoenix.Socket's drainer): in rounds, spread
 * over the interval of each.
 */
export interface DrainOptions {
  /** Connections closed in one round. Default 10,000. */
  readonly batchSize: number;
  /**
   * Milliseconds of a round; shorter when it closes fewer than ten clients a second. Default 2,000.
   */
  readonly batchIntervalMs: number;
  /**
   * Milliseconds for the whole drain; remaining connections are then terminated. Default 30,000.
   */
  readonly shutdownMs: number;
}

export interface DrainRound {
  /** Milliseconds from the start of the drain to the start of this round. */
  readonly at: number;
  /** When each of its connections closes, in milliseconds from the start of the drain. */
  readonly times: readonly number[];
}

/** The most that one connection adds to the time of a drain: few clients need no long one. */
const SHARE_MS = 100;

/**
 * The share of `shutdownMs` over which connections are spread; the rest is for closing handshakes.
 */
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
