/**
 * Whether an update that a client sent may be applied to a document: decided without touching the
 * document.
 *
 * Yjs itself accepts almost anything: it throws halfway, waits forever for what an update says it
 * needs, makes types that the program does not use, believes any author, and works as long as an
 * update makes it. So every struct is looked at first, and what is taken
 *
 * - decodes, has nothing before it missing, and refers only to what is there or comes with it;
 * - is plain text of the one text, well formed, with `\n` for line ends, and cuts no character in
 *   two;
 * - extends only ids that are the sender's, or unused at present; and what it repeats is what is
 *   there already;
 * - stands where it says, and costs no more than `MAX_STEPS`: see document/dry-run.ts.
 */
import * as Y from "yjs";
import { dryRun } from "./dry-run.js";
import { type DecodedUpdate, readUpdate, type Struct, TEXT } from "./update-reader.js";

export { TEXT };

/** Characters (UTF-16 units) the text may have. */
export const MAX_TEXT = 1024 * 1024;
export const MAX_UPDATE = 512 * 1024;
const MAX_NEW_CLIENTS = 128;
/** Steps of a dry run that one update may take: some 15 ms. */
export const MAX_STEPS = 120_000;
/**
 * Structs and client ids a document may have, traces of deleted text included: Yjs goes through all
 * of them at times.
 */
export const MAX_DOCUMENT_STRUCTS = 50_000;
export const MAX_DOCUMENT_CLIENTS = 1_000;

export type Verdict =
  | { readonly type: "fine"; readonly steps: number }
  | { readonly type: "bad"; readonly why: string; readonly steps: number }
  | { readonly type: "too large"; readonly why: string; readonly steps: number };

/** What finding out that an update cannot be read costs. */
const READ_STEPS = 100;

export function validateUpdate(
  doc: Y.Doc,
  update: Uint8Array,
  /** Whether the sender may add to what this id has written. */
  mayExtend: (client: number) => boolean,
): Verdict {
  if (update.length > MAX_UPDATE) return { type: "too large", why: "the update is too large", steps: 0 };
  const read = readUpdate(update);
  const readSteps = READ_STEPS + update.length / 64;
  if (read.type !== "read") return { ...read, steps: readSteps };
  const decoded = read.update;
  const content = new Content(doc, decoded);
  const why = content.check(mayExtend);
  if (why !== undefined) return { type: "bad", why, steps: readSteps + 4 * content.size };
  const run = dryRun(doc, decoded, MAX_STEPS);
  const { steps } = run;
  if (run.type === "misplaced") return { type: "bad", why: run.why, steps };
  if (run.type === "too dear") return { type: "bad", why: "it takes too long to apply", steps };
  const large = tooLarge(doc, decoded, run);
  return large === undefined ? { type: "fine", steps } : { type: "too large", why: large, steps };
}

/** What of the document would come to be too much. Shortening the text is possible in any case. */
function tooLarge(
  doc: Y.Doc,
  { structs }: DecodedUpdate,
  change: { readonly grown: number; readonly structs: number },
): string | undefined {
  if (change.grown > 0 && doc.getText(TEXT).length + change.grown > MAX_TEXT) return "the text is too long";
  if (structs.size === 0) return undefined;
  if (change.structs > MAX_DOCUMENT_STRUCTS) return "the document has too many structs";
  let clients = doc.store.clients.size;
  for (const client of structs.keys()) if (!doc.store.clients.has(client)) clients += 1;
  return clients > MAX_DOCUMENT_CLIENTS ? "the document has too many client ids" : undefined;
}

const isHigh = (code: number | undefined): boolean => code !== undefined && code >= 0xd800 && code <= 0xdbff;
const isLow = (code: number | undefined): boolean => code !== undefined && code >= 0xdc00 && code <= 0xdfff;

/** Yjs's number for content that is a string. */
const STRING = 4;
const string = (item: Y.Item): string | undefined =>
  item.content.getRef() === STRING ? (item.content as Y.ContentString).str : undefined;

/** What the structs of an update say, beside those of the document. */
class Content {
  readonly #store: Y.Doc["store"];
  readonly #update: DecodedUpdate;

  constructor(doc: Y.Doc, update: DecodedUpdate) {
    this.#store = doc.store;
    this.#update = update;
  }

  /** How many structs and ranges there are. */
  get size(): number {
    let size = 0;
    for (const part of [this.#update.structs, this.#update.deletions])
      for (const { length } of part.values()) size += length;
    return size;
  }

  /** What is wrong, if anything. */
  check(mayExtend: (client: number) => boolean): string | undefined {
    return this.#checkIds(mayExtend) ?? this.#checkStructs() ?? this.#checkDeletions();
  }

  #checkIds(mayExtend: (client: number) => boolean): string | undefined {
    let newClients = 0;
    for (const [client, [first]] of this.#update.structs) {
      const known = Y.getState(this.#store, client);
      if ((first as Struct).clock > known) return "what comes before it is missing";
      if (known === 0) newClients += 1;
      if (this.#end(client) > known && !mayExtend(client)) return "an id is in use by another user";
    }
    return newClients > MAX_NEW_CLIENTS ? "it has too many clients" : undefined;
  }

  #checkStructs(): string | undefined {
    for (const [client, structs] of this.#update.structs) {
      const known = Y.getState(this.#store, client);
      for (const struct of structs) {
        const why = this.#checkStruct(struct, known);
        if (why !== undefined) return why;
      }
    }
    return undefined;
  }

  #checkStruct({ client, clock, length, text, origin, rightOrigin }: Struct, known: number) {
    if (text !== undefined) {
      if (text.includes("\r")) return "it has a carriage return";
      if (!text.isWellFormed()) return "it has half a character";
      if (clock < known && !this.#repeats(client, clock, text.slice(0, known - clock)))
        return "it says otherwise than before";
      if (clock < known && clock + length > known && isLow(text.charCodeAt(known - clock)))
        return "it cuts a character in two";
    }
    // Of what is known already, too: Yjs looks for its neighbours, and splits what stands there,
    // before it sees that.
    for (const id of [origin, rightOrigin]) {
      if (id === null) continue;
      const there = id.client === client ? Math.min(this.#end(client), clock) : this.#end(id.client);
      if (id.clock >= there) return "what it refers to is missing";
    }
    if (origin !== null && this.#cuts(origin.client, origin.clock + 1)) return "it cuts a character in two";
    if (rightOrigin !== null && this.#cuts(rightOrigin.client, rightOrigin.clock))
      return "it cuts a character in two";
    return undefined;
  }

  /** Whether the document has this text at these clocks, as far as it still knows it. */
  #repeats(client: number, from: number, text: string): boolean {
    for (let at = 0; at < text.length; ) {
      const item = Y.getItem(this.#store, Y.createID(client, from + at)) as Y.Item | Y.GC;
      const offset = from + at - item.id.clock;
      const length = Math.min(item.length - offset, text.length - at);
      const there = item instanceof Y.Item ? string(item) : undefined;
      if (there !== undefined && there.slice(offset, offset + length) !== text.slice(at, at + length))
        return false;
      at += length;
    }
    return true;
  }

  #checkDeletions(): string | undefined {
    for (const [client, ranges] of this.#update.deletions) {
      const isGone = this.#goneOf(client);
      for (const { clock, length } of ranges) {
        if (isGone(clock, length)) continue;
        if (clock + length > this.#end(client)) return "what it deletes is missing";
        if (this.#cuts(client, clock) || this.#cuts(client, clock + length))
          return "it cuts a character in two";
      }
    }
    return undefined;
  }

  /**
   * Tells of a range of this client's clocks whether one struct that is deleted already has all of
   * it: Yjs then neither cuts nor tells anything. A difference repeats every deletion its sender
   * knows, so that most of them are.
   */
  #goneOf(client: number): (clock: number, length: number) => boolean {
    const structs = this.#store.clients.get(client) ?? [];
    const end = Y.getState(this.#store, client);
    return (clock, length) => {
      if (clock + length > end) return false;
      const struct = structs[Y.findIndexSS(structs, clock)] as Y.Item | Y.GC;
      return struct.deleted && clock + length <= struct.id.clock + struct.length;
    };
  }

  /** The clock up to which everything of a client is there or comes with the update. */
  #end(client: number): number {
    const last = this.#update.structs.get(client)?.at(-1);
    return Math.max(Y.getState(this.#store, client), last === undefined ? 0 : last.clock + last.length);
  }

  /** Whether a surrogate pair stands across this place. */
  #cuts(client: number, clock: number): boolean {
    const [text, offset] = this.#textAt(client, clock);
    return (
      offset > 0 &&
      text !== undefined &&
      isLow(text.charCodeAt(offset)) &&
      isHigh(text.charCodeAt(offset - 1))
    );
  }

  /** The text of the struct with this clock, in the document or new, and where in it that is. */
  #textAt(client: number, clock: number): readonly [text: string | undefined, offset: number] {
    if (clock < Y.getState(this.#store, client)) {
      const item = Y.getItem(this.#store, Y.createID(client, clock)) as Y.Item | Y.GC;
      return [item instanceof Y.Item ? string(item) : undefined, clock - item.id.clock];
    }
    const structs = this.#update.structs.get(client) ?? [];
    let low = 0;
    let high = structs.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const struct = structs[middle] as Struct;
      if (clock < struct.clock) high = middle - 1;
      else if (clock >= struct.clock + struct.length) low = middle + 1;
      else return [struct.text, clock - struct.clock];
    }
    return [undefined, 0];
  }
}
