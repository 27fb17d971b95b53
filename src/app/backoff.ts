/** How long to wait before asking again: longer each time, and never all callers at the same moment. Pure but for chance. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** Milliseconds before attempt `n`; the first repetition is 1. */
export const backoffMs = (n: number, { firstMs, mostMs }: Backoff): number =>
  Math.min(mostMs, firstMs * 2 ** (n - 1)) * (0.5 + Math.random() / 2);
