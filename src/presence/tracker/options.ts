/** The replication options of a tracker: defaults and checks. Times in ms. */

export interface ReplicationOptions {
  /** The interval of a replica's ticks. Default 1,500. */
  readonly broadcastPeriod?: number;
  /**
   * Idle periods between two heartbeats; they are never further apart than a quarter of
   * `downPeriod`. Default 10.
   */
  readonly maxSilentPeriods?: number;
  /**
   * Silence after which a replica counts as down and its entries are hidden. Default
   * `broadcastPeriod × maxSilentPeriods × 2`.
   */
  readonly downPeriod?: number;
  /** Silence after which a replica is forgotten. Default 1,200,000. */
  readonly permdownPeriod?: number;
  /** Periods between two transfer requests of a replica that lacks changes. Default 2. */
  readonly clockSamplePeriods?: number;
  /**
   * Phoenix's generation sizes. Only the last one counts here: how many changes the log holds for
   * replicas that missed some. Default [100, 1000, 10000].
   */
  readonly maxDeltaSizes?: readonly number[];
  /** How long a change waits for further ones before it is published. Default 20. */
  readonly flushAfter?: number;
  /**
   * Whether the entries of a tracker that is stopped in order leave the other nodes at once. With
   * false they stay until `downPeriod` has passed, except for those whose processes have ended
   * before. Default true.
   */
  readonly permdownOnShutdown?: boolean;
}

export interface Settings {
  readonly broadcastPeriod: number;
  readonly downPeriod: number;
  readonly permdownPeriod: number;
  readonly clockSamplePeriods: number;
  readonly flushAfter: number;
  readonly permdownOnShutdown: boolean;
  /** Between two heartbeats of a replica without changes. */
  readonly idleInterval: number;
  /** Between two checks for missing changes. */
  readonly samplePeriod: number;
  readonly maxKept: number;
}

/** The settings, or `["error", why]`. The order of the checks is Phoenix's. */
export function settingsOf(options: ReplicationOptions = {}): Settings | readonly ["error", string] {
  const {
    broadcastPeriod = 1500,
    maxSilentPeriods = 10,
    permdownPeriod = 1_200_000,
    clockSamplePeriods = 2,
    maxDeltaSizes = [100, 1000, 10_000],
    flushAfter = 20,
    permdownOnShutdown = true,
  } = options;
  if (!isWhole(broadcastPeriod, 1))
    return ["error", `broadcast_period must be a whole number of ms of at least 1, got ${broadcastPeriod}`];
  if (!isWhole(maxSilentPeriods, 0))
    return [
      "error",
      `max_silent_periods must be a whole number and must not be negative, got ${maxSilentPeriods}`,
    ];
  const downPeriod = options.downPeriod ?? Math.max(1, maxSilentPeriods) * broadcastPeriod * 2;
  if (!(downPeriod >= 2 * broadcastPeriod))
    return ["error", "down_period must be at least twice as large as the broadcast_period"];
  if (!(permdownPeriod > downPeriod))
    return ["error", "permdown_period must be at least larger than the down_period"];
  if (!isWhole(clockSamplePeriods, 1))
    return [
      "error",
      `clock_sample_periods must be a whole number of at least 1, or nothing missing is ever asked for; got ${clockSamplePeriods}`,
    ];
  const ascending = maxDeltaSizes.every(
    (size, index) => isWhole(size, 1) && size > (maxDeltaSizes[index - 1] ?? 0),
  );
  if (maxDeltaSizes.length === 0 || !ascending)
    return [
      "error",
      `max_delta_sizes must be whole numbers, each larger than the one before, got [${maxDeltaSizes}]`,
    ];
  if (!(flushAfter >= 0)) return ["error", `flush_after must not be negative, got ${flushAfter}`];
  return {
    broadcastPeriod,
    downPeriod,
    permdownPeriod,
    clockSamplePeriods,
    flushAfter,
    permdownOnShutdown,
    // Three heartbeats in succession may be lost before a replica counts as down.
    idleInterval: Math.min((maxSilentPeriods + 1) * broadcastPeriod, downPeriod / 4),
    samplePeriod: clockSamplePeriods * broadcastPeriod,
    maxKept: maxDeltaSizes.at(-1) as number,
  };
}

const isWhole = (value: number, least: number): boolean => Number.isInteger(value) && value >= least;
