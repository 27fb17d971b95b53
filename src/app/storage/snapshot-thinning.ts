/**
 * Which snapshots of a room need not be kept: pure. The two newest always stay, for the second is
 * what a room is loaded from when the first is damaged. Of the older ones the more is kept the
 * younger they are: the history that people look back on.
 */
export interface KeptSnapshot {
  readonly seq: number;
  /** When it was made, ms since the epoch. */
  readonly at: number;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ALWAYS = 2;
const AT_MOST = 100;

/** How far apart snapshots of that age are kept. */
const spacing = (age: number): number => (age < HOUR ? MINUTE : age < DAY ? 15 * MINUTE : DAY);

/** The sequence numbers of those to delete; `snapshots` has the newest first. */
export function superfluous(snapshots: readonly KeptSnapshot[], now: number): readonly number[] {
  const gone: number[] = [];
  let kept = 0;
  // Older ones may have later times: the clock has been set back in between.
  let last = Number.POSITIVE_INFINITY;
  for (const { seq, at } of snapshots) {
    if (kept >= ALWAYS && (kept >= AT_MOST || Math.abs(last - at) < spacing(now - at))) {
      gone.push(seq);
    } else {
      kept += 1;
      last = at;
    }
  }
  return gone;
}
