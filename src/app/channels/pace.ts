/**
 * How often one connection may do something: so many at once, then one in a while. Kept in the channel's assigns as one
 * number, the time up to which what was done is paid for. Pure.
 */
export interface Pace {
  readonly burst: number;
  /** Milliseconds for one more. */
  readonly everyMs: number;
}

/** `now` is monotonic, so that a wall clock that is set back stops nobody. 0 ms and the number to keep when it may be done now; otherwise how long to wait. */
export function paced(
  { burst, everyMs }: Pace,
  busyUntil: unknown,
  now: number,
): { readonly waitMs: number; readonly busyUntil: number } {
  const from = Math.max(typeof busyUntil === "number" ? busyUntil : 0, now);
  return { waitMs: Math.max(0, from - now - (burst - 1) * everyMs), busyUntil: from + everyMs };
}
