/**
 * When to show what others do. It is gathered and shown together, at most once in a frame, and the
 * more a page needs for showing it the rarer: so the typing of a crowd never takes the page away
 * from its reader, whose own keys are shown at once. On a quick machine with one partner that is
 * every frame.
 */
export interface PaceClock {
  /** Milliseconds. */
  now(): number;
  /**
   * Calls once, before the next picture is drawn, or after `withinMs` in a page that draws none.
   */
  frame(run: () => void, withinMs: number): () => void;
  /** Calls once, later; in the frame of the caller that is after its picture was drawn. */
  later(run: () => void, ms: number): () => void;
}

/** Of the page's time, showing takes one part and leaves so many to the reader. */
const REST = 3;
/** Milliseconds that something waits at most, however slow the page is. */
const LONGEST_MS = 250;

export class Pace {
  readonly #show: () => void;
  readonly #clock: PaceClock;
  #cancel: (() => void) | undefined;
  #notBefore = 0;

  constructor(show: () => void, clock: PaceClock) {
    this.#show = show;
    this.#clock = clock;
  }

  /** There is something to show. */
  soon(): void {
    if (this.#cancel) return;
    const wait = this.#notBefore - this.#clock.now();
    this.#cancel =
      wait > 0
        ? this.#clock.later(() => this.#nextFrame(), wait)
        : this.#clock.frame(() => this.now(), LONGEST_MS);
  }

  /** Shows it without waiting for anything. */
  now(): void {
    this.cancel();
    const began = this.#clock.now();
    // What an editor measures once the text stands is part of the price, and comes a frame later.
    this.#clock.frame(() => this.#addDrawing(), LONGEST_MS);
    this.#show();
    this.#addCost(this.#clock.now() - began);
    this.#addDrawing();
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #nextFrame(): void {
    this.#cancel = this.#clock.frame(() => this.now(), LONGEST_MS);
  }

  /** From here to the end of the frame. */
  #addDrawing(): void {
    const began = this.#clock.now();
    this.#clock.later(() => this.#addCost(this.#clock.now() - began), 0);
  }

  #addCost(ms: number): void {
    const now = this.#clock.now();
    const longest = now + LONGEST_MS;
    this.#notBefore = Math.min(longest, Math.max(now, this.#notBefore) + ms * REST);
  }
}
