/**
 * What a client that only knows whole texts has done: pure. Such a client sends the text it has
 * come to; its edit is the difference to the text it had before, carried over to what the document
 * is by now. Without that, each of its keystrokes would undo what others have typed since.
 *
 * The client does not say which text it had. It was the last one it sent, or one of those it was
 * sent since, which reach it in order; which of them, is concluded from what it sends. A key or a
 * paste adds at one place, and a deletion takes away at one place: a text from which that is all
 * that happened comes before the others.
 *
 * The edit is carried over by what has happened to the document, position by position
 * (text-history.ts), and not by a comparison of texts, which takes one word for another that looks
 * the same.
 */
import type { ChangeDesc, ChangeSet } from "@codemirror/state";
import { changesBetween, commonPrefix, commonSuffix, distance, type Hunk } from "../document/text-diff.js";

/** The document, as far as this module has to know it. */
export interface TextSource {
  readonly text: string;
  /** The version of the text as it is now. */
  version(): number;
  /** What has happened to the text since a version; undefined when that is too old. */
  since(version: number): ChangeDesc | undefined;
}

/**
 * Texts remembered of those that may be on their way to one client: so many, or of long ones so
 * many characters.
 */
const MOST_TEXTS = 512;
const LEAST_TEXTS = 8;
const MOST_CHARACTERS = 1024 * 1024;

/** A client has what it was sent so long ago: it comes from that text, or from a later one. */
const ARRIVED_MS = 3000;

/**
 * Two texts that come so close behind each other are typed: no user selects and replaces as fast.
 */
const TYPING_MS = 300;

/**
 * A text that was changed at several places is compared in full with so many of the likeliest, or
 * so many characters of them.
 */
const COMPARED = 16;
const COMPARED_CHARACTERS = 256 * 1024;

/** What a whole text takes at least. */
const STEPS = 500;
/** Characters of the texts it is compared with that take a step. */
const LENGTH_PER_STEP = 64;

/**
 * What comparing so many characters in full takes: the search for what differs is given up at some
 * time.
 */
const stepsFor = (size: number): number => Math.min(12 * size, 6000) + size / 5;

/** A text that was sent to the client. */
interface SentText {
  readonly text: string;
  readonly version: number;
  readonly at: number;
}

/** A text that the client has sent. */
export interface Written {
  readonly text: string;
  readonly at: number;
  /** The edit of the document that it stands for. */
  readonly hunks: readonly Hunk[];
  /** What finding that out has taken, in about the steps of a dry run (document/dry-run.ts). */
  readonly steps: number;
  /** Where in the text the edit ends. */
  readonly caret: number;
  /** Something was only added, or only removed, at one place. */
  readonly isPlain: boolean;
  /** What the document has besides, of this version: that right after the edit. */
  readonly rest: ChangeDesc;
  version: number;
  /** What it was made from, as long as the edit may be refused. */
  base: SentText | Written | undefined;
  isRefused: boolean;
}

export class SeenTexts {
  /**
   * Those that the client may have received since the one that it last came from, the newest last.
   */
  #sent: readonly SentText[] = [];
  /** The last text it has sent that was not refused. */
  #written: Written | undefined;

  get newest(): string | undefined {
    return this.#sent.at(-1)?.text;
  }

  /** A text that was sent to the client. `at` is in milliseconds of a monotonic clock. */
  tell(text: string, version: number, at: number): void {
    if (this.newest === text) return;
    this.forgetArrived(at);
    const most = Math.floor(MOST_CHARACTERS / Math.max(1, text.length));
    this.#sent = [...this.#sent, { text, version, at }].slice(
      -Math.max(LEAST_TEXTS, Math.min(most, MOST_TEXTS)),
    );
  }

  /** What was sent long ago has arrived: what its client had before it is over, and is dropped. */
  forgetArrived(now: number): void {
    const arrived = this.#sent.findLastIndex(({ at }) => at <= now - ARRIVED_MS);
    if (arrived < 0) return;
    this.#sent = this.#sent.slice(arrived);
    if (this.#written !== undefined && this.#written.at <= this.#sent[0]!.at) this.#written = undefined;
  }

  /** A text that the client has sent. When its edit is made, `wrote` is to be called next. */
  write(text: string, document: TextSource, at: number): Written {
    this.forgetArrived(at);
    const version = document.version();
    const current = { text: document.text, version, at };
    // What is the text already has nothing to be done: it was typed by another too, or the client
    // sends what it was sent.
    const { base, steps } = text === current.text ? { base: current, steps: 0 } : this.#baseOf(text, current);
    this.#sent = this.#sent.slice(this.#sent.indexOf(base as SentText) + 1);
    const edit = changesBetween(base.text, text);
    const rest = pathFrom(base, document);
    const { size, end, isPlain } = compare(base, text);
    return {
      text,
      at,
      hunks: hunksOf(edit.map(rest)),
      caret: end,
      isPlain,
      steps: STEPS + steps + stepsFor(size) + (text.length + current.text.length) / LENGTH_PER_STEP,
      rest: rest.mapDesc(edit, true),
      version,
      base,
      isRefused: false,
    };
  }

  /** The edit was made just now, unless it was refused. */
  wrote(written: Written, document: TextSource): void {
    if (written.isRefused) return;
    written.version = document.version();
    this.#written = written;
  }

  /** The edit stays. */
  stored(written: Written): void {
    written.base = undefined;
  }

  /**
   * The edit was not made, or is about to be taken back. What was typed there is in the client's
   * next text again.
   */
  refused(written: Written): void {
    written.isRefused = true;
    while (this.#written?.isRefused) {
      const { base } = this.#written;
      const isOwn = base !== undefined && "rest" in base;
      this.#written = isOwn ? base : undefined;
      if (base !== undefined && !isOwn) this.#sent = [base, ...this.#sent];
    }
  }

  /** What the client has made this text from, as far as can be concluded. */
  #baseOf(text: string, current: SentText): Concluded {
    // As long as nothing else happens to the document, it becomes what was sent, however much that
    // differs; but not while its client types faster than its texts come back, each of which takes
    // away what it typed since.
    const alone = this.#written?.text === current.text ? this.#written : undefined;
    const types = alone?.isPlain === true && current.at - alone.at < TYPING_MS;
    if (alone !== undefined && !types) return { base: alone, isPlain: false, steps: 0 };
    const all = this.#written === undefined ? this.#sent : [this.#written, ...this.#sent];
    // A client sends a text because it has changed it.
    const others = all.filter((base) => base.text !== text);
    const bases = others.length > 0 ? others : all;
    if (bases.length === 0) return { base: current, isPlain: false, steps: 0 };
    const concluded = nearest(bases, text, this.#written);
    return alone !== undefined && !concluded.isPlain ? { ...concluded, base: alone } : concluded;
  }
}

interface Concluded {
  readonly base: SentText | Written;
  readonly isPlain: boolean;
  readonly steps: number;
}

interface Compared {
  readonly base: SentText | Written;
  /** Characters that were removed or added, or stand between such. */
  readonly size: number;
  /** What was added, twice what was removed, and each further place it happened at. */
  readonly cost: number;
  /** Something was only added, or only removed, at one place. */
  readonly isPlain: boolean;
  /** Where in the text the edit ends. */
  readonly end: number;
}

/**
 * The text that this one was made from. Of plain edits, one that continues where the client typed
 * before; of several the smallest, and then the oldest, since what was sent last has hardly
 * arrived. Of other edits it is the smallest and newest: that is a client which sends a text of its
 * own, and has read the last one.
 */
function nearest(bases: readonly (SentText | Written)[], text: string, last: Written | undefined): Concluded {
  const compared = bases.map((base) => compare(base, text));
  const plain = compared.filter(({ isPlain }) => isPlain);
  const looked = bases.reduce((sum, base) => sum + base.text.length, 0) / LENGTH_PER_STEP;
  if (plain.length > 0) {
    const caret = plain.length > 1 ? caretIn(text, last) : undefined;
    const going = plain.filter(({ end }) => end === caret);
    const { base } = (going.length > 0 ? going : plain).reduce((a, b) => (b.cost < a.cost ? b : a));
    return { base, isPlain: true, steps: looked };
  }
  const most = Math.min(COMPARED, Math.ceil(COMPARED_CHARACTERS / Math.max(1, text.length)));
  const likeliest = compared
    .toReversed()
    .toSorted((a, b) => a.cost - b.cost)
    .slice(0, most);
  if (likeliest.length === 1) return { base: likeliest[0]!.base, isPlain: false, steps: looked };
  const steps = likeliest.reduce((sum, { size }) => sum + stepsFor(size), looked);
  const inFull = new Map(likeliest.map(({ base }) => [base, distance(base.text, text).cost]));
  const least = Math.min(...inFull.values());
  const { base } = compared.findLast((one) => inFull.get(one.base) === least)!;
  return { base, isPlain: false, steps };
}

/** Where in this text the client typed before. */
function caretIn(text: string, last: Written | undefined): number | undefined {
  return last && changesBetween(last.text, text).mapPos(last.caret, 1);
}

function compare(base: SentText | Written, text: string): Compared {
  const start = commonPrefix(base.text, text);
  const tail = commonSuffix(base.text, text, start);
  const removed = base.text.length - start - tail;
  const added = text.length - start - tail;
  return {
    base,
    size: added + removed,
    cost: added + 2 * removed,
    isPlain: removed === 0 || added === 0,
    end: text.length - tail,
  };
}

/** What lies between a text and the present document. */
function pathFrom(base: SentText | Written, document: TextSource): ChangeDesc {
  const since = document.since(base.version);
  if (since === undefined) return changesBetween(base.text, document.text);
  return "rest" in base ? base.rest.composeDesc(since) : since;
}

function hunksOf(changes: ChangeSet): readonly Hunk[] {
  const found: Hunk[] = [];
  changes.iterChanges((from, to, _fromB, _toB, insert) => {
    found.push({ from, to, insert: insert.sliceString(0, insert.length, "\n") });
  }, true);
  return found;
}
