/**
 * How long to wait before trying again what has failed `tries` times: twice as long each time up to
 * `mostMs`, and up to a quarter more or less, so that many who failed together do not try together.
 */
export function backoff(tries: number, firstMs: number, mostMs: number): number {
  return Math.min(mostMs, firstMs * 2 ** Math.min(tries, 30)) * (0.75 + Math.random() / 2);
}
