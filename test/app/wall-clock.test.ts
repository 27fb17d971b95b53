/**
 * The wall clock of the machine is set back by an hour: what was let through before is let through
 * as soon after.
 */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Attempts } from "../../src/app/http/attempts.js";
import { SessionMemory } from "../../src/app/storage/session-memory.js";
import { superfluous } from "../../src/app/storage/snapshot-thinning.js";

const HOUR = 3_600_000;
beforeEach(() => void vi.useFakeTimers({ toFake: ["Date", "performance"] }));
afterEach(() => void vi.useRealTimers());
const setBack = (): void => void vi.setSystemTime(Date.now() - HOUR);

test("who has to wait after failed attempts waits no longer", () => {
  const attempts = new Attempts({ most: 1, windowMs: 60_000 });
  attempts.count("ann");
  setBack();
  expect(attempts.waitFor("ann")).toBeLessThanOrEqual(60_000);
  vi.advanceTimersByTime(60_000);
  expect(attempts.waitFor("ann")).toBe(0);
});

test("a session is remembered for as long as before, and no longer", () => {
  const memory = new SessionMemory();
  memory.saw("id", { id: 1 } as never);
  setBack();
  expect(memory.recall("id", 1)).toBeDefined();
  vi.advanceTimersByTime(15 * 60_000 + 1);
  expect(memory.recall("id", 1)).toBeUndefined();
});

test("the history of a room from before stays", () => {
  const minutes = (n: number): number => 100 * HOUR + n * 60_000;
  // Three each minute apart, made before; then two more, an hour back.
  const before = [3, 2, 1].map((n) => ({ seq: n, at: minutes(n) }));
  const after = [5, 4].map((n) => ({ seq: n, at: minutes(n) - HOUR }));
  expect(superfluous([...after, ...before], minutes(5) - HOUR)).toEqual([]);
});
