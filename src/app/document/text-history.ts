/**
 * The history of a text: how positions in an earlier version of a `Y.Text` lead to positions in the
 * present one.
 *
 * What lies between two versions is a CodeMirror `ChangeDesc`: lengths kept, inserted and deleted,
 * not the text itself. It says exactly which characters stayed, where a comparison of the two texts
 * could take one character for another that looks the same.
 *
 * Versions are counted when they are asked for, not with each edit: finding what changed goes once
 * through the items of the text. The history is bounded; of a version that is too old it knows
 * nothing.
 */
import { ChangeDesc } from "@codemirror/state";
import * as Y from "yjs";

/** Versions, and numbers in all of their changes, that are kept. */
const MOST_VERSIONS = 1024;
const MOST_NUMBERS = 128 * 1024;

export class TextHistory {
  readonly #doc: Y.Doc;
  readonly #text: Y.Text;
  /**
   * Of each version but the first, how it came from the one before it. The last is that of
   * `#version`.
   */
  #changes: ChangeDesc[] = [];
  #numbers: number[] = [];
  #total = 0;
  #version = 0;
  /** Of each client, how much of it the present version has. */
  #state: ReadonlyMap<number, number>;
  /** What was deleted since. */
  #deleted: Y.Transaction["deleteSet"][] = [];
  #isChanged = false;

  /** From the present text on. */
  constructor(doc: Y.Doc, text: Y.Text) {
    this.#doc = doc;
    this.#text = text;
    this.#state = clocksOf(doc);
    doc.on("update", (_update: Uint8Array, _origin: unknown, _doc: Y.Doc, { deleteSet }: Y.Transaction) => {
      this.#isChanged = true;
      if (deleteSet.clients.size > 0) this.#deleted.push(deleteSet);
    });
  }

  /** The version of the text as it is now. */
  version(): number {
    if (!this.#isChanged) return this.#version;
    const sections = this.#sections();
    this.#isChanged = false;
    this.#deleted = [];
    this.#state = clocksOf(this.#doc);
    this.#version += 1;
    this.#changes.push(ChangeDesc.fromJSON(sections));
    this.#numbers.push(sections.length);
    this.#total += sections.length;
    while (this.#changes.length > MOST_VERSIONS || this.#total > MOST_NUMBERS) {
      this.#changes.shift();
      this.#total -= this.#numbers.shift() as number;
    }
    return this.#version;
  }

  /**
   * The versions so far are not known any more: edits were taken back, and what these had deleted
   * is there again as something new.
   */
  restart(): void {
    this.version();
    this.#version += 1;
    this.#changes = [];
    this.#numbers = [];
    this.#total = 0;
  }

  /** What has happened to the text since a version; undefined when that is too old. */
  since(version: number): ChangeDesc | undefined {
    const count = this.version() - version;
    if (count > this.#changes.length) return undefined;
    if (count === 0) return ChangeDesc.fromJSON(this.#text.length === 0 ? [] : [this.#text.length, -1]);
    return composed(this.#changes.slice(this.#changes.length - count));
  }

  /**
   * Pairs of a length and what it became: -1 when it stayed, otherwise the length that is there
   * instead.
   */
  #sections(): number[] {
    const deleted = Y.mergeDeleteSets(this.#deleted);
    const sections: number[] = [];
    let kept = 0;
    const add = (length: number, became: number): void => {
      if (kept > 0) sections.push(kept, -1);
      kept = 0;
      sections.push(length, became);
    };
    for (let item = this.#text._start; item !== null; item = item.right) {
      const { client, clock } = item.id;
      // Items that follow each other may have been joined since: a part of one is old, and the rest
      // new.
      const old = Math.max(0, Math.min(item.length, (this.#state.get(client) ?? 0) - clock));
      if (item.deleted) {
        const gone = old === 0 ? 0 : overlap(deleted.clients.get(client), clock, clock + old);
        if (gone > 0) add(gone, 0);
      } else if (item.countable) {
        kept += old;
        if (old < item.length) add(0, item.length - old);
      }
    }
    if (kept > 0) sections.push(kept, -1);
    return sections;
  }
}

const clocksOf = (doc: Y.Doc): ReadonlyMap<number, number> => Y.decodeStateVector(Y.encodeStateVector(doc));

/** How much of [from, to) lies in ranges that are sorted and do not overlap. */
function overlap(
  ranges: readonly { readonly clock: number; readonly len: number }[] | undefined,
  from: number,
  to: number,
): number {
  if (ranges === undefined) return 0;
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const { clock, len } = ranges[middle]!;
    if (clock + len <= from) low = middle + 1;
    else high = middle;
  }
  let sum = 0;
  for (let n = low; n < ranges.length && ranges[n]!.clock < to; n += 1) {
    const { clock, len } = ranges[n]!;
    sum += Math.min(to, clock + len) - Math.max(from, clock);
  }
  return sum;
}

/**
 * One after the other, halves first: as each is as long as the places that it changes, that is
 * quicker than from one end.
 */
function composed(changes: readonly ChangeDesc[]): ChangeDesc {
  if (changes.length === 1) return changes[0]!;
  const middle = changes.length >> 1;
  return composed(changes.slice(0, middle)).composeDesc(composed(changes.slice(middle)));
}
