/**
 * Too many restarts within a window? Pure: the history goes in and comes out.
 *
 * More than `intensity` restarts within `period` seconds mean that restarting does not help.
 * Intensity 0 allows none. A restart exactly one period ago still counts.
 */
export interface Intensity {
  /** Restarts allowed within the period. */
  readonly intensity: number;
  /** Seconds; fractions are allowed. */
  readonly period: number;
}

/** Times of recent restarts in ms, oldest first. */
export type RestartHistory = readonly number[];

/** Records a restart at `now` (ms) and tells whether there were too many. */
export function addRestart(
  history: RestartHistory,
  now: number,
  { intensity, period }: Intensity,
): { readonly history: RestartHistory; readonly exceeded: boolean } {
  const oldest = now - period * 1000;
  const recent = [...history.filter((time) => time >= oldest), now];
  return { history: recent, exceeded: recent.length > intensity };
}
