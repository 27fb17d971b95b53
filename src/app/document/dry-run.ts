/**
 * A dry run integrates an update into a document as Yjs would, without touching the document, and
 * counts the steps.
 *
 * Yjs places a struct by looking at what others put at the same place, one after the other; with
 * many at one place that takes the square of their number. It moves the rest of an array for each
 * struct it cuts or merges, and looks at every client id of the document several times per update.
 * The steps of all that are counted here in the order in which Yjs takes them, up to a budget; so
 * the price of an update is known before it is paid, whatever its shape.
 *
 * It also finds out what only the placing can tell: whether structs wait for each other in a
 * circle, and whether each stands between the two that it names. (Otherwise replicas that received
 * it in different orders would place it differently.)
 *
 * One step is about a tenth of a microsecond.
 */
import * as Y from "yjs";
import { type DecodedUpdate, type Struct, TEXT } from "./update-reader.js";

/** Steps to look at one struct while another is placed, here and in Yjs. */
const LOOK_STEPS = 2;
/**
 * Steps that a struct, a deleted range and a cut cost by themselves: decoding, linking, encoding.
 */
const STRUCT_STEPS = 12;
const RANGE_STEPS = 4;
const CUT_STEPS = 10;
/** Elements of an array that are moved in the time of one step. */
const MOVED_PER_STEP = 128;
/** Yjs goes through all client ids of the document several times for each update. */
const STEPS_PER_CLIENT = 4;
/** Characters that are decoded, copied and encoded in the time of one step. */
const CHARACTERS_PER_STEP = 32;

export type DryRunResult =
  | {
      readonly type: "fits";
      readonly steps: number;
      /** Characters by which the text becomes longer, if not fewer. */
      readonly grown: number;
      /** Structs that the document comes to have, if not fewer. */
      readonly structs: number;
    }
  | { readonly type: "misplaced"; readonly why: string; readonly steps: number }
  | { readonly type: "too dear"; readonly steps: number };

/** Steps that integrating the update into the document takes, or why it is not to be integrated. */
export function dryRun(doc: Y.Doc, update: DecodedUpdate, budget: number): DryRunResult {
  const run = new DryRun(doc, update, budget);
  try {
    run.integrate();
    run.merge();
    run.delete();
    return { type: "fits", steps: run.steps, grown: run.grown, structs: run.structs };
  } catch (error) {
    if (error === TOO_DEAR) return { type: "too dear", steps: run.steps };
    if (error === MISSING)
      return { type: "misplaced", why: "what it refers to is missing", steps: run.steps };
    if (error === MISPLACED)
      return { type: "misplaced", why: "it does not stand where it says", steps: run.steps };
    throw error;
  }
}

const TOO_DEAR = new Error("too dear");
const MISSING = new Error("missing");
const MISPLACED = new Error("misplaced");

/** A struct in the list, as it is during the dry run. */
interface Piece {
  readonly client: number;
  readonly clock: number;
  length: number;
  readonly origin: Y.ID | null;
  readonly rightOrigin: Y.ID | null;
  right: Piece | null;
  /** Of the document, and not linked yet: its right neighbour is that of the item. */
  item: Y.Item | undefined;
}

interface Queue {
  readonly structs: readonly Struct[];
  next: number;
}

class DryRun {
  steps = 0;
  grown = 0;
  structs: number;
  readonly #store: Y.Doc["store"];
  readonly #update: DecodedUpdate;
  readonly #budget: number;
  readonly #start: Y.Item | null;
  #head: Piece | null | undefined;
  /** The pieces of the document's items that were looked at: one, or several where it was cut. */
  readonly #ofItem = new Map<Y.Item, Piece[]>();
  readonly #fresh = new Map<number, Piece[]>();
  /** The clock up to which each client of the update is integrated. */
  readonly #state = new Map<number, number>();
  readonly #cuts = new Map<number, { count: number; last: number }>();
  /**
   * The halves of what was cut: those that still stand side by side at the end are merged again.
   */
  readonly #halves: (readonly [Piece, Piece])[] = [];

  constructor(doc: Y.Doc, update: DecodedUpdate, budget: number) {
    this.#store = doc.store;
    this.#update = update;
    this.#budget = budget;
    this.#start = doc.getText(TEXT)._start;
    this.structs = 0;
    for (const { length } of doc.store.clients.values()) this.structs += length;
    this.#spend(20 + STEPS_PER_CLIENT * this.#store.clients.size);
  }

  #spend(steps: number): void {
    this.steps += steps;
    if (this.steps > this.#budget) throw TOO_DEAR;
  }

  /**
   * The structs in the order of `integrateStructs`: highest client first, what is missing before
   * what needs it.
   */
  integrate(): void {
    const queues = new Map<number, Queue>();
    for (const [client, structs] of this.#update.structs) queues.set(client, { structs, next: 0 });
    const stack: Struct[] = [];
    for (const client of [...queues.keys()].sort((a, b) => b - a)) {
      const queue = queues.get(client) as Queue;
      while (queue.next < queue.structs.length) {
        let struct = queue.structs[queue.next++] as Struct;
        for (;;) {
          const missing = this.#missing(struct);
          if (missing !== undefined) {
            const other = queues.get(missing);
            if (other === undefined || other.next === other.structs.length) throw MISSING;
            stack.push(struct);
            struct = other.structs[other.next++] as Struct;
            continue;
          }
          this.#place(struct);
          const waiting = stack.pop();
          if (waiting === undefined) break;
          struct = waiting;
        }
      }
    }
  }

  #known(client: number): number {
    return Y.getState(this.#store, client);
  }

  #end(client: number): number {
    return this.#state.get(client) ?? this.#known(client);
  }

  /** The client whose structs have to come first. */
  #missing(struct: Struct): number | undefined {
    this.#spend(1);
    for (const id of [struct.origin, struct.rightOrigin])
      if (id !== null && id.clock >= this.#end(id.client)) {
        if (id.client === struct.client) throw MISSING;
        return id.client;
      }
    return undefined;
  }

  #place(struct: Struct): void {
    const { client, clock, length, rightOrigin } = struct;
    this.#spend(STRUCT_STEPS + (struct.text?.length ?? 0) / CHARACTERS_PER_STEP);
    const end = this.#end(client);
    if (clock > end) throw MISSING;
    let { origin } = struct;
    let left = origin === null ? null : this.#endingAt(origin.client, origin.clock);
    const right = rightOrigin === null ? null : this.#startingAt(rightOrigin.client, rightOrigin.clock);
    // All of it is there already.
    if (clock + length <= end) return;
    const from = Math.max(clock, end);
    if (from > clock) {
      left = this.#endingAt(client, from - 1);
      origin = Y.createID(client, from - 1);
    }
    const piece: Piece = {
      client,
      clock: from,
      length: clock + length - from,
      origin,
      rightOrigin,
      right: null,
      item: undefined,
    };
    const after = this.#placeOf(piece, left, right);
    piece.right = this.#rightOf(after);
    if (after === null) this.#head = piece;
    else after.right = piece;
    this.#add(piece);
    this.structs += 1;
    if (struct.text !== undefined) this.grown += piece.length;
    this.#state.set(client, clock + length);
  }

  /** The piece after which Yjs puts this one: the loop of `Item.integrate`. */
  #placeOf(piece: Piece, left: Piece | null, right: Piece | null): Piece | null {
    let other = this.#rightOf(left);
    if (other === right) return left;
    let after = left;
    const before = new Set<Piece>();
    const conflicting = new Set<Piece>();
    while (other !== null && other !== right) {
      this.#spend(LOOK_STEPS);
      before.add(other);
      conflicting.add(other);
      if (Y.compareIDs(piece.origin, other.origin)) {
        if (other.client < piece.client) {
          after = other;
          conflicting.clear();
        } else if (Y.compareIDs(piece.rightOrigin, other.rightOrigin)) {
          break;
        }
      } else if (other.origin !== null) {
        const origin = this.#at(other.origin.client, other.origin.clock);
        if (!before.has(origin)) break;
        if (!conflicting.has(origin)) {
          after = other;
          conflicting.clear();
        }
      } else {
        break;
      }
      other = this.#rightOf(other);
    }
    if (right !== null && other !== right && !this.#comesAfter(right, left, other)) throw MISPLACED;
    return after;
  }

  /** Whether `right` stands behind `left`; up to and with `seen` it does not. */
  #comesAfter(right: Piece, left: Piece | null, seen: Piece | null): boolean {
    // What a piece was put before stands behind it, and what that was put before.
    for (const from of [seen, left]) {
      for (let step = from, n = 0; step !== null && step.rightOrigin !== null && n < 16; n += 1) {
        const { client, clock } = step.rightOrigin;
        if (client === right.client && clock === right.clock) return true;
        step = this.#at(client, clock);
        this.#spend(1);
      }
    }
    for (let piece = seen; piece !== null; piece = this.#rightOf(piece)) {
      if (piece === right) return true;
      this.#spend(1);
    }
    return false;
  }

  /**
   * What Yjs makes one struct of afterwards: each time, what stands behind it in the array is
   * moved.
   */
  merge(): void {
    for (const [first, second] of this.#halves) {
      if (this.#rightOf(first) !== second) continue;
      const { client, clock } = second;
      this.#spend(((this.#cuts.get(client)?.count ?? 0) + this.#behind(client, clock)) / MOVED_PER_STEP);
    }
    // New ones from the end on, each run of them in one move.
    for (const pieces of this.#fresh.values()) {
      for (let n = pieces.length - 1, merging = false; n > 0; n -= 1) {
        const merges = this.#areOne(pieces[n - 1] as Piece, pieces[n] as Piece);
        if (merging && !merges) this.#spend((pieces.length - n) / MOVED_PER_STEP);
        merging = merges;
      }
    }
  }

  /** Whether two new pieces can become one, in the list as in the array. */
  #areOne(first: Piece, second: Piece): boolean {
    return (
      this.#rightOf(first) === second &&
      second.origin !== null &&
      second.origin.client === first.client &&
      second.origin.clock === first.clock + first.length - 1 &&
      Y.compareIDs(first.rightOrigin, second.rightOrigin)
    );
  }

  // ------------------------------------------------------------------ pieces

  #rightOf(piece: Piece | null): Piece | null {
    if (piece === null) {
      if (this.#head === undefined) this.#head = this.#start === null ? null : this.#first(this.#start);
      return this.#head;
    }
    if (piece.item !== undefined) {
      const { right } = piece.item;
      piece.right = right === null ? null : this.#first(right);
      piece.item = undefined;
    }
    return piece.right;
  }

  #first(item: Y.Item): Piece {
    return this.#pieces(item)[0] as Piece;
  }

  #pieces(item: Y.Item): Piece[] {
    let pieces = this.#ofItem.get(item);
    if (pieces === undefined) {
      const { id, length, origin, rightOrigin } = item;
      const { client, clock } = id;
      pieces = [{ client, clock, length, origin, rightOrigin, right: null, item }];
      this.#ofItem.set(item, pieces);
    }
    return pieces;
  }

  /** The pieces among which the one with this clock is. */
  #among(client: number, clock: number): Piece[] {
    if (clock >= this.#known(client)) return this.#fresh.get(client) ?? [];
    const item = Y.getItem(this.#store, Y.createID(client, clock));
    // Text has none of the structs that are neither.
    if (!(item instanceof Y.Item)) throw MISPLACED;
    return this.#pieces(item);
  }

  #at(client: number, clock: number): Piece {
    const pieces = this.#among(client, clock);
    return pieces[indexOf(pieces, clock)] as Piece;
  }

  #add(piece: Piece): void {
    const own = this.#fresh.get(piece.client);
    if (own === undefined) this.#fresh.set(piece.client, [piece]);
    else own.push(piece);
  }

  #endingAt(client: number, clock: number): Piece {
    const pieces = this.#among(client, clock);
    const index = indexOf(pieces, clock);
    const piece = pieces[index] as Piece;
    if (clock < piece.clock + piece.length - 1) this.#cut(pieces, index, clock + 1);
    return piece;
  }

  #startingAt(client: number, clock: number): Piece {
    const pieces = this.#among(client, clock);
    const index = indexOf(pieces, clock);
    const piece = pieces[index] as Piece;
    return clock === piece.clock ? piece : this.#cut(pieces, index, clock);
  }

  /** Cuts a piece in two, as `splitItem` does, and gives the second. */
  #cut(pieces: Piece[], index: number, clock: number): Piece {
    const piece = pieces[index] as Piece;
    const { client, rightOrigin } = piece;
    const second: Piece = {
      client,
      clock,
      length: piece.clock + piece.length - clock,
      origin: Y.createID(client, clock - 1),
      rightOrigin,
      right: this.#rightOf(piece),
      item: undefined,
    };
    piece.length = clock - piece.clock;
    piece.right = second;
    pieces.splice(index + 1, 0, second);
    this.#halves.push([piece, second]);
    this.#spendCut(client, clock);
    return second;
  }

  /** A cut makes room for the second half: what stands behind it in the array is moved. */
  #spendCut(client: number, clock: number): void {
    const cuts = this.#cuts.get(client) ?? { count: 0, last: 0 };
    const behind = this.#behind(client, clock) + (clock < cuts.last ? cuts.count : 0);
    this.#cuts.set(client, { count: cuts.count + 1, last: Math.max(cuts.last, clock) });
    this.structs += 1;
    this.#spend(CUT_STEPS + behind / MOVED_PER_STEP);
  }

  /** How many structs of the client, in its array, follow this clock. */
  #behind(client: number, clock: number): number {
    const stored = this.#store.clients.get(client) ?? [];
    const behind = clock < this.#known(client) ? stored.length - Y.findIndexSS(stored, clock) : 0;
    return behind + (this.#fresh.get(client)?.length ?? 0);
  }

  // ------------------------------------------------------------------ deletions

  delete(): void {
    for (const [client, ranges] of this.#update.deletions) {
      const sweep: Sweep = { clock: 0, deleted: -1, merged: -1 };
      for (const { clock, length } of ranges) {
        this.#spend(RANGE_STEPS);
        this.#deleteStored(client, clock, clock + length, sweep);
        this.#deleteFresh(client, clock, clock + length, sweep);
        sweep.clock = Math.max(sweep.clock, clock + length);
      }
    }
  }

  #deleteStored(client: number, clock: number, end: number, sweep: Sweep): void {
    if (clock >= this.#known(client)) return;
    const structs = this.#store.clients.get(client) as (Y.Item | Y.GC)[];
    const fresh = this.#fresh.get(client)?.length ?? 0;
    for (let n = Y.findIndexSS(structs, clock); n < structs.length; n += 1) {
      const struct = structs[n] as Y.Item | Y.GC;
      const from = struct.id.clock;
      const to = from + struct.length;
      if (from >= end) break;
      this.#spend(1);
      if (struct.deleted) continue;
      this.#spend(3);
      this.grown -= Math.max(0, Math.min(to, end) - Math.max(from, clock, sweep.clock));
      if (from < clock) this.#spendCut(client, clock);
      if (to > end) this.#spendCut(client, end);
      // What is deleted is merged with what was deleted on either side: for each run, a move of
      // what follows.
      const [before, after] = [structs[n - 1], structs[n + 1]];
      const joinsBefore = (before?.deleted || sweep.deleted === n - 1) && canMerge(before, struct);
      const joinsAfter = after?.deleted && canMerge(struct, after);
      if ((joinsBefore && sweep.merged !== n - 1) || (!joinsBefore && joinsAfter))
        this.#spend((structs.length + fresh - n) / MOVED_PER_STEP);
      sweep.deleted = n;
      if (joinsAfter) sweep.merged = n + 1;
      else if (joinsBefore) sweep.merged = n;
    }
  }

  #deleteFresh(client: number, clock: number, end: number, sweep: Sweep): void {
    const pieces = this.#fresh.get(client);
    if (pieces === undefined || end <= this.#known(client)) return;
    const texts = this.#update.structs.get(client) as readonly Struct[];
    for (let n = indexOf(texts, clock); n < texts.length; n += 1) {
      const { clock: from, length, text } = texts[n] as Struct;
      if (from >= end) break;
      this.#spend(2);
      if (from < clock || from + length > end) this.#spendCut(client, Math.max(from, clock));
      const start = Math.max(from, clock, sweep.clock, this.#known(client));
      if (text !== undefined) this.grown -= Math.max(0, Math.min(from + length, end) - start);
    }
  }
}

/** How far the deletions of one client have come. */
interface Sweep {
  /** Everything before it was counted. */
  clock: number;
  /**
   * Index of the last struct that became deleted, and of the last one in a run of merges that was
   * counted.
   */
  deleted: number;
  merged: number;
}

/** The last piece that begins at this clock or before. */
function indexOf(pieces: readonly { readonly clock: number }[], clock: number): number {
  let low = 0;
  let high = pieces.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((pieces[middle] as { clock: number }).clock <= clock) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Whether Yjs makes one struct of these two once both are deleted. */
function canMerge(left: Y.Item | Y.GC | undefined, right: Y.Item | Y.GC | undefined): boolean {
  return (
    left instanceof Y.Item &&
    right instanceof Y.Item &&
    left.right === right &&
    Y.compareIDs(right.origin, left.lastId) &&
    Y.compareIDs(left.rightOrigin, right.rightOrigin)
  );
}
