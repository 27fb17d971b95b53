/**
 * What somebody who only knows whole texts has done: pure. Such a client sends the text it has come to; the edit is the
 * difference to the text it came from, carried over to what the text is by now. Without that, its every keystroke would undo what
 * others have typed since.
 *
 * It does not say which text it came from. While nobody else has written, that does not matter: the text becomes what it sent.
 * Otherwise, of the texts it was sent, and those it sent itself, the nearest counts; but nobody sends the same text twice in a row
 * without another in between, so then it came from one it was told since.
 */
import type { ChangeSet } from "@codemirror/state";
import { changesBetween, diff, distance, type Hunk } from "./text-diff.js";

/** Texts remembered of one client: as many as can be under way to it while it types, on a link that is a second long. */
const REMEMBERED = 64;
/** Long ones are looked through for each that it sends: of texts that would be more than so many characters, only the newest are kept. */
const REMEMBERED_LENGTH = 512 * 1024;
const REMEMBERED_LONG = 8;

/** A client has what it was sent so long ago: it comes from that text, or from a later one. */
const ARRIVED_MS = 3000;

/** Above what any two texts differ by. */
const FAR = 2 ** 30;

/** The texts that a client can have before it, the newest last. Strings are shared, not copied. */
export class SeenTexts {
  #texts: readonly string[] = [];
  /** When each of them came, in milliseconds of a clock that is never set back. */
  #times: readonly number[] = [];
  /** The place of the text it last came from among them. */
  #from = 0;
  /** Texts it has sent. They stand where they arrived: it may have been told the ones before afterwards. */
  #own: readonly string[] = [];
  /** The last text it sent itself. */
  #sent: string | undefined;
  /** The document, as long as nobody else has changed it since this client did. */
  #alone: string | undefined;
  /** The same, before the last text. */
  #before: string | undefined;

  /** A text that the client has sent. */
  wrote(text: string, now: number): void {
    this.#sent = text;
    this.#before = this.#alone;
    this.#alone = text;
    this.#own = [...this.#own.slice(1 - REMEMBERED), text];
    this.add(text, now);
  }

  add(text: string, now: number): void {
    if (this.#texts.at(-1) === text) return;
    const most = Math.max(REMEMBERED_LONG, Math.floor(REMEMBERED_LENGTH / Math.max(1, text.length)));
    const kept = this.#texts.slice(1 - Math.min(REMEMBERED, most));
    this.#from -= this.#texts.length - kept.length;
    this.#times = [...this.#times.slice(this.#texts.length - kept.length), now];
    this.#texts = [...kept, text];
  }

  /** A text that was refused: nothing is made of it here. What it has made already is taken back after this. */
  forget(text: string, current: string): void {
    const stays = this.#texts.map((seen) => seen !== text);
    this.#from -= stays.slice(0, Math.max(0, this.#from)).filter((stay) => !stay).length;
    this.#texts = this.#texts.filter((_seen, n) => stays[n]);
    this.#times = this.#times.filter((_at, n) => stays[n]);
    if (this.#alone === text && current !== text) this.#alone = this.#before;
  }

  /** Edits were taken back, by which the document went from one text to the other. */
  wentBack(from: string, to: string): void {
    if (this.#alone === from) this.#alone = to;
  }

  get newest(): string | undefined {
    return this.#texts.at(-1);
  }

  /** The edit of `current` that corresponds to what made `text` out of a text seen here. */
  editOf(text: string, current: string, now: number): readonly Hunk[] {
    this.#from = Math.max(
      this.#from,
      this.#times.findLastIndex((at) => at <= now - ARRIVED_MS),
    );
    // The document is what it sent: there is nothing to do, whether it has typed the same as another or sends what it was told.
    if (text === current) return [];
    // Nobody else has written since it did: whatever looks nearer, this is the text it had.
    const base = this.#alone === current ? current : (nearest(this.#bases(text), text) ?? current);
    const at = this.#texts.lastIndexOf(base);
    if (at >= 0 && !this.#own.includes(base)) this.#from = Math.max(this.#from, at);
    if (base === current) return diff(current, text);
    return hunks(changesBetween(base, text).map(changesBetween(base, current)));
  }

  /**
   * What the client can have come from, to this text. It is told texts in order, so none from before the one it last came from; and
   * it sends a text because it has changed it, so none that is the same, but for one that it sends again.
   */
  #bases(text: string): readonly string[] {
    const since = this.#texts.slice(Math.max(0, this.#from));
    if (text === this.#sent) {
      const told = since.slice(since.lastIndexOf(text) + 1);
      return told.length > 0 ? told : since;
    }
    const others = since.filter((seen) => seen !== text);
    return others.length > 0 ? others : since;
  }
}

/**
 * The nearest. One to which something was only added, or of which something was only taken away, at one place, is nearer than
 * any other: that is what a key or a paste does, while beside a later text the tokens of two writers may look like one that was
 * changed in a letter. Of several such the oldest counts, since what was sent last has hardly arrived. Of several in which
 * something was replaced the newest does: that is a client which sends a text of its own, and has read the last one.
 */
function nearest(texts: readonly string[], text: string): string | undefined {
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const seen of texts) {
    const { cost, isPlain } = distance(seen, text);
    const far = isPlain ? cost : cost + FAR;
    if (far < least || (far === least && !isPlain)) [best, least] = [seen, far];
  }
  return best;
}

function hunks(changes: ChangeSet): readonly Hunk[] {
  const found: Hunk[] = [];
  changes.iterChanges((from, to, _fromB, _toB, insert) => {
    found.push({ from, to, insert: insert.sliceString(0, insert.length, "\n") });
  }, true);
  return found;
}
