/**
 * The document of a room: one text that many change at once (a Yjs document with one Y.Text). Pure:
 * no process, no clock.
 *
 * It promises that what a client sends either becomes part of it as a whole, or leaves it exactly
 * as it was; and that the updates it gives out are its own encoding of what changed, never the
 * client's bytes. Edits of whole texts are ordinary edits by the server, which can be taken back as
 * long as they have not been broadcast.
 */
import type { ChangeDesc } from "@codemirror/state";
import * as Y from "yjs";
import { type DocumentImage, documentOf } from "./document-image.js";
import { assemble } from "./document-loading.js";
import { dryRun } from "./dry-run.js";
import type { Hunk } from "./text-diff.js";
import { TextHistory } from "./text-history.js";
import { readUpdate } from "./update-reader.js";
import {
  MAX_DOCUMENT_CLIENTS,
  MAX_DOCUMENT_STRUCTS,
  MAX_STEPS,
  MAX_TEXT,
  TEXT,
  validateUpdate,
} from "./update-validation.js";

export { DamagedDocument, textHash } from "./document-loading.js";

/** Bytes the encoded document may have, deleted text's traces included. */
const MAX_STATE = 4 * 1024 * 1024;

export type Applied =
  /** It changed something: `update` is the change, for the log and for the other clients. */
  | {
      readonly type: "changed";
      readonly update: Uint8Array;
      /** What it took, in steps of a dry run. */
      readonly steps: number;
    }
  /** All of it was there already. */
  | { readonly type: "known"; readonly steps: number }
  | {
      readonly type: "refused";
      readonly reason: "bad_update" | "too_large";
      readonly why: string;
      readonly steps: number;
    };

/** Steps that may be taken at once for what others have stored: some 60 ms. */
const MAX_ABSORBED_STEPS = 3 * MAX_STEPS;

/** After so many bytes of updates the size of a document near its limit is measured again. */
const MEASURE_BYTES = 64 * 1024;

const EDIT = Symbol("edit of the server");

export class SharedDocument {
  readonly #doc: Y.Doc;
  readonly #text: Y.Text;
  readonly #edits: Y.UndoManager;
  /** Edits that were taken back since they were last settled. */
  readonly #takenBack: Y.UndoManager["undoStack"] = [];
  #string: string | undefined;
  /** What changed since it was last asked. */
  #updates: Uint8Array[] = [];
  /** No less than the size of the encoded state. */
  #size: number;
  /** By how much that may be too high. */
  #unmeasured = 0;
  /** From the first time that a version is asked for. */
  #history: TextHistory | undefined;

  private constructor(doc: Y.Doc, size: number) {
    this.#doc = doc;
    this.#text = doc.getText(TEXT);
    this.#size = size;
    this.#edits = new Y.UndoManager(this.#text, { trackedOrigins: new Set([EDIT]), captureTimeout: 0 });
    doc.on("update", (update: Uint8Array) => {
      this.#updates.push(update);
      this.#string = undefined;
    });
  }

  /**
   * From a snapshot and the updates after it, in order: as slow as these make it. Throws
   * `DamagedDocument`.
   */
  static load(state: Uint8Array, updates: readonly Uint8Array[]): SharedDocument {
    const size = updates.reduce((sum, { length }) => sum + length, state.length);
    return new SharedDocument(assemble(state, updates), size);
  }

  /** From what a document loader has made of them. */
  static fromImage(image: DocumentImage): SharedDocument {
    return new SharedDocument(documentOf(image), image.state.length);
  }

  /** The text that all clients see. */
  get text(): string {
    this.#string ??= this.#text.toString();
    return this.#string;
  }

  /** The version of the text as it is now: a number that means something to `since` alone. */
  version(): number {
    this.#history ??= new TextHistory(this.#doc, this.#text);
    return this.#history.version();
  }

  /** What has happened to the text since a version; undefined when that is too old. */
  since(version: number): ChangeDesc | undefined {
    return this.#history?.since(version);
  }

  stateVector(): Uint8Array {
    return Y.encodeStateVector(this.#doc);
  }

  /** What a client with this state vector lacks; undefined when that is not one. */
  updateSince(stateVector: Uint8Array): Uint8Array | undefined {
    try {
      // Decoded first: encoding would take the rest of a truncated one for nothing.
      Y.decodeStateVector(stateVector);
      return Y.encodeStateAsUpdate(this.#doc, stateVector);
    } catch {
      return undefined;
    }
  }

  /** All of it, for a snapshot. */
  encode(): Uint8Array {
    const state = Y.encodeStateAsUpdateV2(this.#doc);
    this.#size = state.length;
    this.#unmeasured = 0;
    return state;
  }

  /** Applies what a client sent, if it may be. */
  apply(update: Uint8Array, mayExtend: (client: number) => boolean): Applied {
    const verdict = validateUpdate(this.#doc, update, mayExtend);
    const { steps } = verdict;
    if (verdict.type === "too large")
      return { type: "refused", reason: "too_large", why: verdict.why, steps };
    if (verdict.type === "bad") return { type: "refused", reason: "bad_update", why: verdict.why, steps };
    if (this.#isTooLarge(update.length))
      return { type: "refused", reason: "too_large", why: "the document is too large", steps };
    const changed = this.#during(() => Y.applyUpdate(this.#doc, update, "client"));
    return changed === undefined ? { type: "known", steps } : { type: "changed", update: changed, steps };
  }

  #isTooLarge(growth: number): boolean {
    if (this.#size + growth <= MAX_STATE) return false;
    // Measuring goes through all of it.
    if (this.#unmeasured >= MEASURE_BYTES) this.encode();
    return this.#size + growth > MAX_STATE;
  }

  /**
   * How near the document is to its limits because of what is not its text: deleted structs,
   * pieces, client ids. At 1 it takes no more. A new document with the same text has next to
   * nothing of it.
   */
  get wear(): number {
    const traces = this.#size > MAX_STATE / 2 ? this.#size - Buffer.byteLength(this.text) : 0;
    return Math.max(
      this.#countStructs() / MAX_DOCUMENT_STRUCTS,
      this.#doc.store.clients.size / MAX_DOCUMENT_CLIENTS,
      traces / MAX_STATE,
    );
  }

  /**
   * Structs it consists of, deleted ones included. A client id counts as many as one of as many as
   * there may be.
   */
  get structs(): number {
    return (
      this.#countStructs() + (this.#doc.store.clients.size * MAX_DOCUMENT_STRUCTS) / MAX_DOCUMENT_CLIENTS
    );
  }

  #countStructs(): number {
    let structs = 0;
    for (const { length } of this.#doc.store.clients.values()) structs += length;
    return structs;
  }

  /**
   * What others have stored. Gives what was new; "too dear" when all of it would take too long to
   * apply, or does not look like what people type: it is then to be loaded, elsewhere.
   */
  absorb(updates: readonly Uint8Array[]): Uint8Array | "too dear" | undefined {
    let budget = MAX_ABSORBED_STEPS;
    const news: Uint8Array[] = [];
    for (const update of updates) {
      const read = readUpdate(update);
      if (read.type !== "read") return "too dear";
      const run = dryRun(this.#doc, read.update, Math.min(budget, MAX_STEPS));
      if (run.type !== "fits") return "too dear";
      budget -= run.steps;
      const changed = this.#during(() => Y.applyUpdate(this.#doc, update));
      if (changed !== undefined) news.push(changed);
    }
    return news.length > 1 ? Y.mergeUpdates(news) : news[0];
  }

  /** An edit by the server. Undefined when it changes nothing, or would make the text too long. */
  edit(hunks: readonly Hunk[]): Uint8Array | undefined {
    const grown = hunks.reduce(
      (sum, { from, to, insert }) => sum + insert.length - (to - from),
      this.#text.length,
    );
    if (grown > MAX_TEXT) return undefined;
    return this.#during(() =>
      this.#doc.transact(() => {
        // From the end, so that the positions before stay what they are.
        for (const { from, to, insert } of hunks.toReversed()) {
          if (to > from) this.#text.delete(from, to - from);
          if (insert !== "") this.#text.insert(from, insert);
        }
      }, EDIT),
    );
  }

  /** Takes back the last `count` edits of the server, and nothing of what others did meanwhile. */
  undoEdits(count: number): Uint8Array | undefined {
    const undone = this.#during(() => {
      for (let n = 0; n < count; n += 1) {
        this.#takenBack.push(...this.#edits.undoStack.slice(-1));
        this.#edits.undo();
      }
    });
    this.#history?.restart();
    return undone;
  }

  /** The edits so far stay: what they deleted need not be kept for taking them back. */
  settleEdits(): void {
    const { undoStack, redoStack } = this.#edits;
    const edits = [...this.#takenBack.splice(0), ...undoStack, ...redoStack];
    this.#edits.clear();
    for (const { deletions, insertions } of edits)
      for (const set of [deletions, insertions]) this.#release(set);
  }

  /**
   * What was kept for taking edits back is kept no longer: Yjs passes it over when it drops what is
   * deleted.
   */
  #release(set: { readonly clients: ReadonlyMap<number, readonly { clock: number; len: number }[]> }): void {
    const { store } = this.#doc;
    for (const [client, ranges] of set.clients) {
      const structs = store.clients.get(client) ?? [];
      for (const { clock, len } of ranges) {
        for (let n = Y.findIndexSS(structs, clock); n < structs.length; n += 1) {
          const struct = structs[n] as Y.Item | Y.GC;
          if (struct.id.clock >= clock + len) break;
          if (struct instanceof Y.Item) struct.keep = false;
        }
      }
    }
    Y.tryGc(set as never, store, this.#doc.gcFilter);
  }

  /** What `work` changed. */
  #during(work: () => void): Uint8Array | undefined {
    this.#updates = [];
    work();
    const update = this.#updates.length > 1 ? Y.mergeUpdates(this.#updates) : this.#updates[0];
    this.#size += update?.length ?? 0;
    this.#unmeasured += update?.length ?? 0;
    return update;
  }
}

/**
 * The state of a new document with this text. Made once per document, by the first node that stores
 * it: two would double the text.
 */
export function seedState(text: string): Uint8Array {
  const doc = new Y.Doc();
  doc.getText(TEXT).insert(0, normalText(text));
  return Y.encodeStateAsUpdateV2(doc);
}

/** A text as the document holds it: whole characters, one kind of line end. */
export const normalText = (text: string): string => text.toWellFormed().replace(/\r\n?/g, "\n");
