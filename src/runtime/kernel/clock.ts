/**
 * Time as the runtime sees it: a monotonic "now" and one-shot alarms. Production uses the system's;
 * tests and the simulator replace it. Wall-clock jumps have no effect.
 */
export interface Clock {
  /** Monotonic milliseconds, fractional. */
  now(): number;
  /**
   * Calls `fire` after about `delay` ms; never keeps the event loop alive. Returns its
   * cancellation.
   */
  alarm(delay: number, fire: () => void): () => void;
}

/**
 * The system's monotonic milliseconds. Bound once: on each turn of each process, the look-up of the
 * global and the check of `this` would cost as much as the reading.
 */
export const now: () => number = performance.now.bind(performance);

/** Node turns longer delays into 1 ms, so longer waits are made of several. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

export const systemClock: Clock = {
  now,
  alarm(delay, fire) {
    const timer = setTimeout(fire, Math.min(Math.max(Math.ceil(delay), 0), LONGEST_TIMEOUT));
    timer.unref();
    return () => clearTimeout(timer);
  },
};
