/**
 * Whether an update that a client sent may be applied to a document: decided without touching the document.
 *
 * Yjs itself takes almost anything: it throws halfway, waits for ever for what an update says it needs, makes types that
 * nobody asked for, believes any author. So every struct is looked at first, and what is taken
 *
 * - decodes, has nothing before it missing, and refers only to what is there or comes with it;
 * - is plain text of the one text, well formed, with `\n` for line ends, and cuts no character in two;
 * - extends only ids that are the sender's, or nobody's at present; and what it repeats is what is there already;
 * - stands where it says: each piece after what it was put after, before what it was put before. Otherwise replicas that
 *   heard of it in different orders would place it differently.
 *
 * Most updates are decided by that alone, in microseconds. Those whose order is not evident, and those that would come near a
 * limit, are tried on a copy.
 */
import * as Y from "yjs";

/** The name of the one text. */
export const TEXT = "response";

/** Characters (UTF-16 units) the text may have. */
export const MAX_TEXT = 1024 * 1024;
export const MAX_UPDATE = 512 * 1024;
/** No structs, no deletions. */
const EMPTY_LENGTH = 2;
/** An editor's merged edits have some; only an attack has that many. */
const MAX_STRUCTS = 50_000;
const MAX_NEW_CLIENTS = 128;
const MAX_CLIENT_ID = 0xffff_ffff;
/** A client id counts every character it ever typed; this many is an attack on the numbers themselves. */
const MAX_CLOCK = 2 ** 40;
/** Items looked at between two neighbours before their order counts as not evident. */
const NEAR = 256;

export type Verdict =
  | { readonly type: "fine"; readonly tried: boolean }
  | { readonly type: "bad"; readonly why: string; readonly tried: boolean }
  | { readonly type: "too large" };

const bad = (why: string, tried = false): Verdict => ({ type: "bad", why, tried });

type Struct = Y.Item | Y.GC | Y.Skip;
type Decoded = { readonly structs: readonly Struct[]; readonly ds: DeleteSet };
type DeleteSet = {
  readonly clients: ReadonlyMap<number, readonly { readonly clock: number; readonly len: number }[]>;
};

/** Yjs's number for content that is a string, and for content that is gone. */
const STRING = 4;
const DELETED = 1;

export function checkUpdate(
  doc: Y.Doc,
  update: Uint8Array,
  /** Whether the sender may add to what this id has written. */
  mayExtend: (client: number) => boolean,
): Verdict {
  if (update.length > MAX_UPDATE) return { type: "too large" };
  let decoded: Decoded;
  try {
    decoded = Y.decodeUpdate(update) as unknown as Decoded;
  } catch {
    return bad("it does not decode");
  }
  // What is in Yjs's other encoding looks like this: an ok would say that it is stored.
  if (decoded.structs.length === 0 && decoded.ds.clients.size === 0 && update.length > EMPTY_LENGTH)
    return bad("it says nothing");
  if (decoded.structs.length > MAX_STRUCTS) return { type: "too large" };
  const pieces = new Pieces(doc, decoded.structs);
  const why =
    pieces.collect(sections(update), mayExtend) ??
    pieces.checkContents() ??
    checkDeletions(pieces, decoded.ds);
  if (why !== undefined) return bad(why);
  const crowded = doc.getText(TEXT).length + pieces.inserted > MAX_TEXT;
  if (!crowded && pieces.orderIsEvident()) return { type: "fine", tried: false };
  return tryOnCopy(doc, update, pieces);
}

/** How many clients' sections the update says it has: of two for the same client, Yjs would drop one. */
function sections(update: Uint8Array): number {
  let count = 0;
  let factor = 1;
  for (const byte of update) {
    count += (byte & 127) * factor;
    if (byte < 128) break;
    factor *= 128;
  }
  return count;
}

const isHigh = (code: number | undefined): boolean => code !== undefined && code >= 0xd800 && code <= 0xdbff;
const isLow = (code: number | undefined): boolean => code !== undefined && code >= 0xdc00 && code <= 0xdfff;

const string = (item: Y.Item): string | undefined =>
  item.content.getRef() === STRING ? (item.content as Y.ContentString).str : undefined;

interface Run {
  /** Where the new part begins and ends, by the client's clock. */
  readonly known: number;
  end: number;
  readonly items: Y.Item[];
}

/** The structs of an update beside those of the document. */
class Pieces {
  readonly #store: Y.Doc["store"];
  readonly #structs: readonly Struct[];
  readonly #runs = new Map<number, Run>();
  /** Characters that come with it and are not deleted by their own author before. */
  inserted = 0;

  constructor(doc: Y.Doc, structs: readonly Struct[]) {
    this.#store = doc.store;
    this.#structs = structs;
  }

  /** Sorts the structs by client and looks at ids. The text says what is wrong. */
  collect(sectionCount: number, mayExtend: (client: number) => boolean): string | undefined {
    let last: number | undefined;
    let newClients = 0;
    for (const struct of this.#structs) {
      const { client, clock } = struct.id;
      if (!(struct instanceof Y.Item)) return "it has a struct that text does not have";
      // Of no length, it would stand at the same clock as the next, and the store would no longer find either.
      if (struct.length === 0) return "it has an empty piece";
      if (client > MAX_CLIENT_ID || clock + struct.length > MAX_CLOCK) return "an id is out of range";
      let run = this.#runs.get(client);
      if (run === undefined) {
        const known = Y.getState(this.#store, client);
        if (clock > known) return "what comes before it is missing";
        if (known === 0) newClients += 1;
        run = { known, end: clock, items: [] };
        this.#runs.set(client, run);
      } else if (client !== last) {
        return "a client comes twice";
      }
      last = client;
      run.end = clock + struct.length;
      run.items.push(struct);
    }
    if (this.#runs.size !== sectionCount) return "a client comes twice";
    if (newClients > MAX_NEW_CLIENTS) return "it has too many clients";
    for (const [client, { known, end }] of this.#runs)
      if (end > known && !mayExtend(client)) return "an id is in use by somebody else";
    return undefined;
  }

  checkContents(): string | undefined {
    for (const { known, items } of this.#runs.values()) {
      for (const item of items) {
        const why = this.#checkItem(item, known);
        if (why !== undefined) return why;
      }
    }
    return undefined;
  }

  #checkItem(item: Y.Item, known: number): string | undefined {
    const ref = item.content.getRef();
    if (ref !== STRING && ref !== DELETED) return "it has content other than text";
    if (item.parentSub !== null) return "it has a key";
    const parent: unknown = item.parent;
    if (parent !== null && parent !== TEXT) return "it belongs to another type";
    const { client, clock } = item.id;
    const text = string(item);
    if (text !== undefined) {
      if (text.includes("\r")) return "it has a carriage return";
      if (!text.isWellFormed()) return "it has half a character";
      if (clock < known && !this.#repeats(client, clock, text.slice(0, known - clock)))
        return "it says otherwise than before";
      if (clock < known && clock + item.length > known && isLow(text.charCodeAt(known - clock)))
        return "it cuts a character in two";
      this.inserted += Math.min(item.length, Math.max(0, clock + item.length - known));
    }
    // Of what is known already, too: Yjs looks for its neighbours, and splits what stands there, before it sees that.
    for (const id of [item.origin, item.rightOrigin]) {
      if (id === null) continue;
      const there = id.client === client ? Math.min(this.end(client), clock) : this.end(id.client);
      if (id.clock >= there) return "what it refers to is missing";
    }
    if (item.origin !== null && this.cuts(item.origin.client, item.origin.clock + 1))
      return "it cuts a character in two";
    if (item.rightOrigin !== null && this.cuts(item.rightOrigin.client, item.rightOrigin.clock))
      return "it cuts a character in two";
    return undefined;
  }

  /** Whether the document has this text at these clocks, as far as it still knows it. */
  #repeats(client: number, from: number, text: string): boolean {
    for (let at = 0; at < text.length; ) {
      const item = this.#stored(client, from + at);
      if (item === undefined) return false;
      const offset = from + at - item.id.clock;
      const length = Math.min(item.length - offset, text.length - at);
      const there = item instanceof Y.Item ? string(item) : undefined;
      if (there !== undefined && there.slice(offset, offset + length) !== text.slice(at, at + length))
        return false;
      at += length;
    }
    return true;
  }

  #stored(client: number, clock: number): Y.Item | Y.GC | undefined {
    return clock < Y.getState(this.#store, client)
      ? (Y.getItem(this.#store, Y.createID(client, clock)) as Y.Item | Y.GC)
      : undefined;
  }

  /** The item with this clock, in the document or new. */
  #at(client: number, clock: number): Y.Item | Y.GC | undefined {
    const stored = this.#stored(client, clock);
    if (stored !== undefined) return stored;
    const items = this.#runs.get(client)?.items ?? [];
    let low = 0;
    let high = items.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const item = items[middle] as Y.Item;
      if (clock < item.id.clock) high = middle - 1;
      else if (clock >= item.id.clock + item.length) low = middle + 1;
      else return item;
    }
    return undefined;
  }

  /**
   * Tells of a range of this client's clocks whether one piece that is deleted already has all of it: Yjs then neither cuts nor
   * tells anything. A difference repeats every deletion its sender knows, so that most of them are.
   */
  goneOf(client: number): (clock: number, len: number) => boolean {
    const structs = this.#store.clients.get(client) ?? [];
    const end = Y.getState(this.#store, client);
    return (clock, len) => {
      if (clock + len > end) return false;
      const struct = structs[Y.findIndexSS(structs, clock)] as Y.Item | Y.GC;
      return struct.deleted && clock + len <= struct.id.clock + struct.length;
    };
  }

  /** The clock up to which everything of a client is there or comes with the update. */
  end(client: number): number {
    return Math.max(Y.getState(this.#store, client), this.#runs.get(client)?.end ?? 0);
  }

  /** Whether a surrogate pair stands across this place. */
  cuts(client: number, clock: number): boolean {
    const item = this.#at(client, clock);
    if (!(item instanceof Y.Item)) return false;
    const offset = clock - item.id.clock;
    const text = string(item);
    return (
      offset > 0 &&
      text !== undefined &&
      isLow(text.charCodeAt(offset)) &&
      isHigh(text.charCodeAt(offset - 1))
    );
  }

  /** New items with both neighbours, and what their left one is when their head is known already. */
  *placed(): Generator<{ readonly id: Y.ID; readonly left: Y.ID; readonly right: Y.ID }> {
    for (const [client, { known, items }] of this.#runs) {
      for (const item of items) {
        if (item.id.clock + item.length <= known || item.rightOrigin === null) continue;
        const head = item.id.clock < known;
        const left = head ? Y.createID(client, known - 1) : item.origin;
        if (left !== null)
          yield { id: head ? Y.createID(client, known) : item.id, left, right: item.rightOrigin };
      }
    }
  }

  orderIsEvident(): boolean {
    for (const [client, { known, items }] of this.#runs) {
      for (const item of items) {
        // Ids of other clients that come with it may wait for each other in a circle.
        for (const id of [item.origin, item.rightOrigin])
          if (id !== null && id.client !== client && id.clock >= Y.getState(this.#store, id.client))
            return false;
        if (item.id.clock < known && item.id.clock + item.length > known) return false;
      }
    }
    for (const { left, right } of this.placed()) if (!this.#precedes(left, right)) return false;
    return true;
  }

  /** True only when `left` surely stands before `right`. */
  #precedes(left: Y.ID, right: Y.ID): boolean {
    if (left.client === right.client && left.clock === right.clock) return false;
    // What was put after `left`, or after something after it, stands after it.
    let after: Y.ID | null = right;
    for (let steps = 0; after !== null && steps < NEAR; steps += 1) {
      const item = this.#at(after.client, after.clock);
      if (!(item instanceof Y.Item)) return false;
      if (covers(item, left) && left.clock < after.clock) return true;
      if (this.#stored(after.client, after.clock) !== undefined) break;
      after = item.origin;
    }
    // What was put before `right`, or before something before it, stands before it.
    let before: Y.ID | null = left;
    for (let steps = 0; before !== null && steps < NEAR; steps += 1) {
      if (Y.compareIDs(before, right)) return steps > 0;
      const item = this.#at(before.client, before.clock);
      if (!(item instanceof Y.Item)) return false;
      if (this.#stored(before.client, before.clock) !== undefined) break;
      before = item.rightOrigin;
    }
    if (before === null) return false;
    return after !== null && this.#standsBefore(before, after);
  }

  /** Two ids of the document: whether the second is found not far to the right of the first. */
  #standsBefore(left: Y.ID, right: Y.ID): boolean {
    let item: Y.Item | Y.GC | null | undefined = this.#stored(left.client, left.clock);
    if (item instanceof Y.Item && covers(item, right)) return left.clock <= right.clock;
    for (let steps = 0; item instanceof Y.Item && steps < NEAR; steps += 1) {
      if (covers(item, right)) return true;
      item = item.right;
    }
    return false;
  }
}

const covers = (item: Y.Item, id: Y.ID): boolean =>
  item.id.client === id.client && item.id.clock <= id.clock && id.clock < item.id.clock + item.length;

function checkDeletions(pieces: Pieces, { clients }: DeleteSet): string | undefined {
  for (const [client, ranges] of clients) {
    const isGone = pieces.goneOf(client);
    for (const { clock, len } of ranges) {
      if (len === 0) return "it deletes nothing";
      if (isGone(clock, len)) continue;
      if (clock + len > pieces.end(client)) return "what it deletes is missing";
      if (pieces.cuts(client, clock) || pieces.cuts(client, clock + len)) return "it cuts a character in two";
    }
  }
  return undefined;
}

function tryOnCopy(doc: Y.Doc, update: Uint8Array, pieces: Pieces): Verdict {
  const copy = new Y.Doc();
  const text = copy.getText(TEXT);
  try {
    Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
    Y.applyUpdate(copy, update);
    if (copy.store.pendingStructs !== null || copy.store.pendingDs !== null)
      return bad("what it refers to is missing", true);
    if (text.length > MAX_TEXT) return { type: "too large" };
    if (!isPlaced(copy, text, pieces)) return bad("it does not stand where it says", true);
    return { type: "fine", tried: true };
  } catch {
    return bad("it cannot be applied", true);
  } finally {
    copy.destroy();
  }
}

/** Whether every new piece stands after its left neighbour and before its right one. */
function isPlaced(copy: Y.Doc, text: Y.Text, pieces: Pieces): boolean {
  const order = new Map<Y.Item, number>();
  for (let item = text._start; item !== null; item = item.right) order.set(item, order.size);
  const place = (id: Y.ID): readonly [number, number] => {
    const item = Y.getItem(copy.store, id) as Y.Item;
    return [order.get(item) ?? Number.NaN, id.clock];
  };
  const isBefore = ([a, x]: readonly [number, number], [b, y]: readonly [number, number]): boolean =>
    a < b || (a === b && x < y);
  for (const { id, left, right } of pieces.placed())
    if (!isBefore(place(left), place(id)) || !isBefore(place(id), place(right))) return false;
  return true;
}
