import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Pace, type PaceClock } from "../../../src/app/web/sync/pace.js";

const FRAME_MS = 16;

/** A page that draws 60 pictures a second, or none, and is busy for as long as it is notified. */
class FakePage implements PaceClock {
  drawing = true;
  #now = 0;
  #due: { readonly at: number; readonly run: () => void }[] = [];

  now = (): number => this.#now;

  frame(run: () => void, withinMs: number): () => void {
    const next = (Math.floor(this.#now / FRAME_MS) + 1) * FRAME_MS;
    return this.#at(this.drawing ? next : this.#now + withinMs, run);
  }

  later(run: () => void, ms: number): () => void {
    return this.#at(this.#now + ms, run);
  }

  busy(ms: number): void {
    this.#now += ms;
  }

  /** Lets time pass. */
  run(until: number): void {
    for (;;) {
      this.#due.sort((a, b) => a.at - b.at);
      const next = this.#due[0];
      if (!next || next.at > until) break;
      this.#due.shift();
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = Math.max(this.#now, until);
  }

  #at(at: number, run: () => void): () => void {
    const entry = { at, run };
    this.#due.push(entry);
    return () => {
      this.#due = this.#due.filter((other) => other !== entry);
    };
  }
}

/**
 * Something to show every `everyMs` for `forMs`, each showing taking `costMs`: when it was shown.
 */
function typed(page: FakePage, costMs: number, everyMs: number, forMs: number): readonly number[] {
  const shown: number[] = [];
  const pace = new Pace(() => {
    shown.push(page.now());
    page.busy(costMs);
  }, page);
  for (let at = page.now(); at < forMs; at += everyMs) {
    page.run(at);
    pace.soon();
  }
  page.run(forMs + 10_000);
  return shown;
}

describe("when others' edits are shown", () => {
  test("a quick page shows them in the next frame", () => {
    const page = new FakePage();
    const shown = typed(page, 1, 100, 1_000);
    expect(shown).toHaveLength(10);
    const waits = shown.map((at, i) => at - i * 100);
    expect(Math.max(...waits)).toBeLessThanOrEqual(FRAME_MS);
  });

  test("what comes within one frame is shown once", () => {
    expect(typed(new FakePage(), 0, 1, FRAME_MS).length).toBe(1);
  });

  test("a page in the background, which draws nothing, shows them all the same", () => {
    const page = new FakePage();
    page.drawing = false;
    expect(typed(page, 1, 50, 1_000).length).toBeGreaterThan(3);
  });

  test("what waited is shown at once when something needs it, and not again", () => {
    const page = new FakePage();
    let shown = 0;
    const pace = new Pace(() => (shown += 1), page);
    pace.soon();
    pace.now();
    expect(shown).toBe(1);
    page.run(1_000);
    expect(shown).toBe(1);
  });

  test("nothing is shown after it was cancelled", () => {
    const page = new FakePage();
    let shown = 0;
    const pace = new Pace(() => (shown += 1), page);
    pace.soon();
    pace.cancel();
    page.run(1_000);
    expect(shown).toBe(0);
  });

  test("rendering of remote edits leaves the typing user most of the time", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 40 }), (costMs, everyMs) => {
        const page = new FakePage();
        const shown = typed(page, costMs, everyMs, 5_000);
        const between = shown.at(-1)! - shown[0]!;
        expect((shown.length - 1) * costMs).toBeLessThanOrEqual(between / 4);
        const last = Math.floor(4_999 / everyMs) * everyMs;
        expect(shown.at(-1)).toBeGreaterThanOrEqual(last);
        shown.slice(1).forEach((at, i) => {
          expect(at - shown[i]!).toBeLessThanOrEqual(costMs + 250 + everyMs + 2 * FRAME_MS);
        });
      }),
    );
  });
});
