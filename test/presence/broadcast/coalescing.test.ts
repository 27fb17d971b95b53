/**
 * When frames are due, on a clock of the test's own: what a burst costs, and how long anybody
 * waits.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Coalesce,
  type CoalesceState,
  changed,
  DEFAULT_COALESCE,
  flushed,
  IDLE,
  nextFlushAt,
  windowOf,
} from "../../../src/presence/broadcast/coalescing.js";

/** Ms that sums of fractions may be off. */
const ROUNDING = 1e-6;

interface Change {
  readonly at: number;
  /** How many more, or fewer, are there; 0 is an update. */
  readonly by: number;
}

interface Run {
  /** Frames to all together: each goes to everyone there. */
  readonly frames: number;
  /** When each frame went. */
  readonly times: readonly number[];
  /** The longest that one who came or went, and one who changed, waited to be flushed of. */
  readonly longest: number;
  readonly longestUpdate: number;
  /** When the last was flushed of. */
  readonly end: number;
}

/**
 * What a room does that begins with `size` members and in which these changes happen, in order of
 * time.
 */
function run(changes: readonly Change[], size = 0, options: Coalesce = DEFAULT_COALESCE): Run {
  let pace: CoalesceState = IDLE;
  const times: number[] = [];
  let waiting: Change[] = [];
  let [frames, longest, longestUpdate] = [0, 0, 0];
  const due = (): number =>
    nextFlushAt(pace, { size, changes: waiting.length, urgent: waiting.some(({ by }) => by === 0) }, options);
  const tell = (now: number): void => {
    frames += size;
    times.push(now);
    for (const { at, by } of waiting) {
      if (by === 0) longestUpdate = Math.max(longestUpdate, now - at);
      else longest = Math.max(longest, now - at);
    }
    waiting = [];
    pace = flushed(pace, now, size, options);
  };
  for (const change of changes) {
    while (waiting.length > 0 && due() < change.at) tell(due());
    size += change.by;
    waiting.push(change);
    pace = changed(pace, change.at, options);
    if (due() <= change.at) tell(change.at);
  }
  if (waiting.length > 0) tell(due());
  return { frames, times, longest, longestUpdate, end: times.at(-1) as number };
}

/** So many come within so many ms, one as long after the other as the next. */
const evenly = (count: number, ms: number): Change[] =>
  Array.from({ length: count }, (_, n) => ({ at: (n * ms) / count, by: 1 }));

/** Two thirds of the longest window: what the last of a stream waits for. */
const SOONER = (DEFAULT_COALESCE.streamMs * 2) / 3 + ROUNDING;

/** Gaps between changes: of one clump, of a stream, of stalls. */
const gap = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 5, arbitrary: fc.double({ min: 0, max: 20, noNaN: true }) },
  { weight: 3, arbitrary: fc.double({ min: 20, max: 300, noNaN: true }) },
  { weight: 1, arbitrary: fc.double({ min: 300, max: 3000, noNaN: true }) },
);

describe("the window", () => {
  test("windows: none below 50, 50 ms, then a tenth of a ms per client (P-301, P-723)", () => {
    const windows = [0, 49, 50, 500, 1000, 2000, 10_000, 100_000].map((size) =>
      windowOf(size, DEFAULT_COALESCE),
    );
    expect(windows).toEqual([0, 0, 50, 50, 50, 200, 1000, 1000]);
    expect(windowOf(10_000, { ...DEFAULT_COALESCE, windowMs: 0 })).toBe(0);
  });

  test("on an idle topic a change is sent at once, the next after the base window (P-301)", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20_000 }),
        fc.double({ min: 0, max: 40, noNaN: true }),
        (size, after) => {
          expect(run([{ at: 5000, by: 1 }], size).end).toBe(5000);
          const two = run(
            [
              { at: 5000, by: 1 },
              { at: 5000 + after, by: 1 },
            ],
            size,
          );
          expect(two.times[0]).toBe(5000);
          expect(two.longest).toBeLessThanOrEqual(windowOf(size + 2, DEFAULT_COALESCE) + ROUNDING);
          // Also when a burst has just been.
          const burst = evenly(200, 5000);
          expect(run([...burst, { at: 10_000, by: 1 }], size).end).toBe(10_000);
        },
      ),
    );
  });

  test("each frame of a stream doubles the window, and a stall ends the wait (P-301)", () => {
    const stream = (stall: number): Change[] =>
      Array.from({ length: 1000 }, (_, n) => ({ at: n * 10 + (n < 400 ? 0 : stall), by: 1 }));
    const times = (stall: number): number[] => run(stream(stall), 100).times.map(Math.round);
    const doubling = [0, 50, 150, 350, 750, 1550, 3150];
    // Who comes last, at 9990, does not wait for the end of a window of 2 s that began at 9150.
    expect(times(0)).toEqual([...doubling, 5150, 7150, 9150, 10_483]);
    // Nor does who comes last before the stall, at 3990. Afterwards all continues as before.
    expect(times(1000)).toEqual([...doubling, 4483, 6483, 8483, 10_483, 11_817]);
    // After one that is longer the first is flushed at once, and windows begin to grow again a step
    // or two further down.
    expect(times(5000)).toEqual([...doubling, 4483, 9000, 10_600, 12_600, 14_600, 15_933]);
  });
});

describe("what a burst costs", () => {
  // 500 that join at once may cost 10,000 frames, others in proportion; an answer and a state for
  // each are among them.
  const PER_JOIN = 10_000 / 500;
  const OWN = 2;

  test("up to 5,000 joins cost less than 20 frames each (P-300, P-301, P-303)", () => {
    for (const count of [500, 1000, 5000])
      for (const seconds of [0, 0.1, 0.3, 1, 3, 10, 30]) {
        const { frames, end } = run(evenly(count, seconds * 1000));
        expect(frames + OWN * count, `${count} in ${seconds} s`).toBeLessThan(PER_JOIN * count);
        const window = seconds > 1 ? DEFAULT_COALESCE.streamMs : windowOf(count, DEFAULT_COALESCE);
        expect(end - seconds * 1000).toBeLessThanOrEqual(2 * window + 500);
      }
  });

  test("joins in clumps with stalls cost less than 20 frames each, too (P-300, P-303)", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(500, 1000, 5000),
        fc.array(gap, { minLength: 20, maxLength: 200 }),
        fc.double({ min: 1000, max: 30_000, noNaN: true }),
        (count, gaps, ms) => {
          const all = Array.from({ length: count }, (_, n) => gaps[n % gaps.length] as number);
          const scale =
            ms /
            Math.max(
              1,
              all.reduce((sum, each) => sum + each, 0),
            );
          let at = 0;
          const joins = all.map((each): Change => {
            at += each * scale;
            return { at, by: 1 };
          });
          const { frames, longest, end } = run(joins);
          expect(frames + OWN * count).toBeLessThan(PER_JOIN * count);
          expect(longest).toBeLessThanOrEqual(DEFAULT_COALESCE.streamMs + ROUNDING);
          expect(end - at).toBeLessThanOrEqual(SOONER);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("those who go cost what those who come cost (P-300)", () => {
    for (const count of [500, 1000, 5000])
      for (const seconds of [1, 3, 10, 30]) {
        const leaves = evenly(count, seconds * 1000).map(({ at }) => ({ at, by: -1 }));
        expect(run(leaves, count).frames, `${count} in ${seconds} s`).toBeLessThan(PER_JOIN * count);
      }
  });

  test("without `streamMs` a frame is sent per base window (P-301)", () => {
    const joins = evenly(500, 10_000);
    expect(run(joins, 0, { ...DEFAULT_COALESCE, streamMs: 0 }).frames).toBeGreaterThan(40_000);
    expect(run(joins, 0, { ...DEFAULT_COALESCE, windowMs: 0 }).frames).toBe((500 * 501) / 2);
  });
});

describe("who waits", () => {
  test("no change waits longer than `streamMs`, and an update the base window (P-301, P-723)", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 50, max: 20_000 }),
        fc.array(fc.tuple(gap, fc.constantFrom(1, 1, 1, -1, 0)), { minLength: 1, maxLength: 200 }),
        (size, steps) => {
          let at = 0;
          const changes = steps.map(([after, by]): Change => {
            at += after;
            return { at, by };
          });
          const { longest, longestUpdate, times, end } = run(changes, size + 200);
          const base = windowOf(size + 400, DEFAULT_COALESCE) + ROUNDING;
          expect(longest).toBeLessThanOrEqual(DEFAULT_COALESCE.streamMs + ROUNDING);
          expect(longestUpdate).toBeLessThanOrEqual(base);
          expect(end - at).toBeLessThanOrEqual(Math.max(base, SOONER));
          const least = windowOf(size, DEFAULT_COALESCE);
          for (const [index, time] of times.entries())
            if (index > 0)
              expect(time - (times[index - 1] as number)).toBeGreaterThanOrEqual(least - ROUNDING);
        },
      ),
    );
  });
});
