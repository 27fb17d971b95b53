/**
 * What somebody who only knows whole texts has done: pure. Such a client sends the text it has come to; the edit is the
 * difference to the text it came from, carried over to what the text is by now. Without that, its every keystroke would undo what
 * others have typed since.
 *
 * It does not say which text it came from. So of those it was sent, and those it sent itself, the nearest counts.
 */
import type { ChangeSet } from "@codemirror/state";
import { changesBetween, diff, distance, type Hunk } from "./text-diff.js";

/** Texts remembered of one client: as many as can be under way to it while it types. */
const REMEMBERED = 8;

/** The texts that a client can have before it, the newest last. Strings are shared, not copied. */
export class SeenTexts {
  #texts: readonly string[] = [];
  /** The last text it sent itself. */
  #own: string | undefined;

  /** A text that the client has sent. */
  wrote(text: string): void {
    this.#own = text;
    this.add(text);
  }

  add(text: string): void {
    if (this.#texts.at(-1) !== text) this.#texts = [...this.#texts.slice(1 - REMEMBERED), text];
  }

  /** A text that was refused: nothing was made of it here. */
  forget(text: string): void {
    this.#texts = this.#texts.filter((seen) => seen !== text);
  }

  get newest(): string | undefined {
    return this.#texts.at(-1);
  }

  /** The edit of `current` that corresponds to what made `text` out of a text seen here. */
  editOf(text: string, current: string): readonly Hunk[] {
    // Nobody else has written since it did: whatever looks nearer, this is the text it had.
    const base = this.#own === current ? current : (this.#nearest(text) ?? current);
    if (base === current) return diff(current, text);
    return hunks(changesBetween(base, text).map(changesBetween(base, current)));
  }

  #nearest(text: string): string | undefined {
    let best: string | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const seen of this.#texts.toReversed()) {
      const { cost } = distance(seen, text);
      if (cost < least) [best, least] = [seen, cost];
      if (cost === 0) break;
    }
    return best;
  }
}

function hunks(changes: ChangeSet): readonly Hunk[] {
  const found: Hunk[] = [];
  changes.iterChanges((from, to, _fromB, _toB, insert) => {
    found.push({ from, to, insert: insert.sliceString(0, insert.length, "\n") });
  }, true);
  return found;
}
