/**
 * The change that leads from one text to another, as small as is worth finding: what both have in
 * common at the start and at the end is left alone, and a middle that differs in several places
 * becomes several hunks. The smaller the change, the less of the reader's caret, selection and undo
 * history it touches.
 *
 * A hunk never begins or ends inside a surrogate pair. Long middles are compared line by line
 * first; where texts have too little in common to be worth the search, the middle is replaced as a
 * whole. The answer depends only on the two texts, so that every node that compares the same
 * two texts finds the same change.
 */
import { ChangeSet } from "@codemirror/state";

/** `before.slice(from, to)` is replaced by `insert`. Positions are those of `before`. */
export interface Hunk {
  readonly from: number;
  readonly to: number;
  readonly insert: string;
}

/** Edits after which the search gives up; it costs the square of this in the worst case. */
const MAX_EDITS = 200;
/** Longer middles are compared by lines before they are compared by characters. */
const CHARACTERS_AT_MOST = 2_000;
/**
 * Closer than this, a rewritten place is one hunk: a match of two letters between two words means
 * nothing.
 */
const GAP = 3;

export function diff(before: string, after: string, gap = GAP): readonly Hunk[] {
  if (before === after) return [];
  const start = commonPrefix(before, after);
  const end = commonSuffix(before, after, start);
  const a = before.slice(start, before.length - end);
  const b = after.slice(start, after.length - end);
  const inner =
    a.length > CHARACTERS_AT_MOST || b.length > CHARACTERS_AT_MOST
      ? byLines(a, b, gap)
      : join(edits([...a], [...b]) ?? [whole(a, b)], a, gap);
  return inner.map((hunk) => ({ from: hunk.from + start, to: hunk.to + start, insert: hunk.insert }));
}

export function changesBetween(before: string, after: string): ChangeSet {
  return ChangeSet.of([...diff(before, after)], before.length);
}

/**
 * How much it asks one to believe that one text was made from the other: what was added, twice what
 * was removed, and each further place it happened at. `isPlain`: something was only added, or only
 * removed, at one place.
 */
export function distance(
  before: string,
  after: string,
): { readonly cost: number; readonly removed: number; readonly isPlain: boolean } {
  const hunks = diff(before, after, -1);
  let added = 0;
  let removed = 0;
  for (const hunk of hunks) {
    added += hunk.insert.length;
    removed += hunk.to - hunk.from;
  }
  return {
    cost: added + 2 * removed + Math.max(0, hunks.length - 1),
    removed,
    isPlain: hunks.length <= 1 && (added === 0 || removed === 0),
  };
}

/**
 * The text after a change; strings in, strings out, because the wire and the comparisons know only
 * strings.
 */
export function apply(text: string, changes: ChangeSet): string {
  if (changes.length !== text.length) {
    throw new RangeError(`a change of a text of ${changes.length} was applied to one of ${text.length}`);
  }
  let out = "";
  let at = 0;
  changes.iterChanges((from, to, _fromB, _toB, insert) => {
    out += text.slice(at, from) + insert.sliceString(0, insert.length, "\n");
    at = to;
  }, true);
  return out + text.slice(at);
}

/**
 * Texts are compared in pieces of so many characters first, which is quicker than character by
 * character.
 */
const PIECE = 4096;

export function commonPrefix(a: string, b: string): number {
  const limit = Math.min(a.length, b.length);
  let i = 0;
  while (i + PIECE <= limit && a.slice(i, i + PIECE) === b.slice(i, i + PIECE)) i += PIECE;
  while (i < limit && a.charCodeAt(i) === b.charCodeAt(i)) i += 1;
  // Two pairs may share their first half only.
  if (i > 0 && isHigh(a.charCodeAt(i - 1))) i -= 1;
  return i;
}

/** Of what follows the common `start`. */
export function commonSuffix(a: string, b: string, start: number): number {
  const limit = Math.min(a.length, b.length) - start;
  let i = 0;
  while (
    i + PIECE <= limit &&
    a.slice(a.length - i - PIECE, a.length - i) === b.slice(b.length - i - PIECE, b.length - i)
  )
    i += PIECE;
  while (i < limit && a.charCodeAt(a.length - 1 - i) === b.charCodeAt(b.length - 1 - i)) i += 1;
  if (i > 0 && isLow(a.charCodeAt(a.length - i))) i -= 1;
  return i;
}

const isHigh = (code: number): boolean => code >= 0xd800 && code <= 0xdbff;
const isLow = (code: number): boolean => code >= 0xdc00 && code <= 0xdfff;

const whole = (a: string, b: string): Hunk => ({ from: 0, to: a.length, insert: b });

/**
 * Lines first; each hunk of lines that is short enough is then looked at again, character by
 * character.
 */
function byLines(a: string, b: string, gap: number): readonly Hunk[] {
  const hunks = edits(a.match(/[^\n]*\n|[^\n]+$/g) ?? [], b.match(/[^\n]*\n|[^\n]+$/g) ?? []);
  if (!hunks) return [whole(a, b)];
  return hunks.flatMap((hunk) => {
    const removed = a.slice(hunk.from, hunk.to);
    if (removed.length === 0 || hunk.insert.length === 0) return [hunk];
    if (removed.length > CHARACTERS_AT_MOST || hunk.insert.length > CHARACTERS_AT_MOST) return [hunk];
    return diff(removed, hunk.insert, gap).map((fine) => ({
      from: fine.from + hunk.from,
      to: fine.to + hunk.from,
      insert: fine.insert,
    }));
  });
}

/**
 * Myers' greedy search for the shortest edit script. `trace[d]` is the furthest reach of every
 * diagonal before round `d`; walking it backwards yields the script. Undefined when the script
 * would be longer than MAX_EDITS.
 */
function edits(a: readonly string[], b: readonly string[]): readonly Hunk[] | undefined {
  const limit = Math.min(MAX_EDITS, a.length + b.length);
  const middle = limit + 1;
  const reach = new Int32Array(2 * limit + 3);
  const trace: Int32Array[] = [];
  for (let d = 0; d <= limit; d += 1) {
    trace.push(reach.slice());
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reach[middle + k - 1]! < reach[middle + k + 1]!);
      let x = down ? reach[middle + k + 1]! : reach[middle + k - 1]! + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x += 1;
        y += 1;
      }
      reach[middle + k] = x;
      if (x >= a.length && y >= b.length) return script(a, b, trace, middle);
    }
  }
  return undefined;
}

function script(
  a: readonly string[],
  b: readonly string[],
  trace: readonly Int32Array[],
  middle: number,
): readonly Hunk[] {
  // Matched tokens, in reverse, as pairs of indices.
  const same: [number, number][] = [];
  let x = a.length;
  let y = b.length;
  for (let d = trace.length - 1; d >= 0; d -= 1) {
    const reach = trace[d]!;
    const k = x - y;
    const down = k === -d || (k !== d && reach[middle + k - 1]! < reach[middle + k + 1]!);
    const fromK = down ? k + 1 : k - 1;
    const fromX = d === 0 ? 0 : reach[middle + fromK]!;
    const fromY = d === 0 ? 0 : fromX - fromK;
    while (x > fromX && y > fromY && a[x - 1] === b[y - 1]) {
      x -= 1;
      y -= 1;
      same.push([x, y]);
    }
    x = fromX;
    y = fromY;
  }

  const hunks: Hunk[] = [];
  let atA = 0;
  let atB = 0;
  let from = 0;
  const close = (toA: number, toB: number): void => {
    const removed = a.slice(atA, toA).join("").length;
    if (toA > atA || toB > atB) hunks.push({ from, to: from + removed, insert: b.slice(atB, toB).join("") });
    from += removed;
  };
  for (const [i, j] of same.reverse()) {
    close(i, j);
    from += a[i]!.length;
    atA = i + 1;
    atB = j + 1;
  }
  close(a.length, b.length);
  return hunks;
}

function join(hunks: readonly Hunk[], text: string, gap: number): readonly Hunk[] {
  const joined: Hunk[] = [];
  for (const hunk of hunks) {
    const last = joined.at(-1);
    const rewrites = last !== undefined && (last.to > last.from || hunk.to > hunk.from);
    if (rewrites && hunk.from - last.to <= gap) {
      joined[joined.length - 1] = {
        from: last.from,
        to: hunk.to,
        insert: last.insert + text.slice(last.to, hunk.from) + hunk.insert,
      };
    } else joined.push(hunk);
  }
  return joined;
}
