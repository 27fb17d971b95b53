/**
 * The document of a room: one text that many change at once (a Yjs document with one Y.Text). Pure: no process, no clock.
 *
 * It promises that what a client sends either becomes part of it as a whole, or leaves it exactly as it was; and that the updates
 * it gives out are its own encoding of what changed, never the client's bytes. Edits of whole texts are ordinary edits by the
 * server, which can be taken back as long as nobody was told of them.
 */
import { createHash } from "node:crypto";
import * as Y from "yjs";
import type { Hunk } from "./text-diff.js";
import { checkUpdate, MAX_TEXT, TEXT } from "./update-check.js";

/** Bytes the encoded document may have, deleted text's traces included. */
const MAX_STATE = 4 * 1024 * 1024;

export type Applied =
  /** It changed something: `update` says what, for the log and for everybody else. */
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

/** The stored parts of a document do not fit together. */
export class DamagedDocument extends Error {
  override readonly name = "DamagedDocument";
}

const EDIT = Symbol("edit of the server");

export class SharedDocument {
  readonly #doc: Y.Doc;
  readonly #text: Y.Text;
  readonly #edits: Y.UndoManager;
  #string: string | undefined;
  /** What changed since it was last asked. */
  #updates: Uint8Array[] = [];
  /** No less than the size of the encoded state. */
  #size: number;

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

  /** From a snapshot and the updates after it, in order. Throws `DamagedDocument`. */
  static load(state: Uint8Array, updates: readonly Uint8Array[]): SharedDocument {
    const doc = new Y.Doc();
    let size = state.length;
    try {
      // One transaction: as many would each tidy up after themselves.
      doc.transact(() => {
        Y.applyUpdateV2(doc, state);
        for (const update of updates) Y.applyUpdate(doc, update);
      });
      for (const update of updates) size += update.length;
    } catch (error) {
      throw new DamagedDocument(`it cannot be decoded: ${(error as Error).message}`);
    }
    if (doc.store.pendingStructs !== null || doc.store.pendingDs !== null)
      throw new DamagedDocument("a part of it is missing");
    return new SharedDocument(doc, size);
  }

  /** The text as everybody sees it. */
  get text(): string {
    this.#string ??= this.#text.toString();
    return this.#string;
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
    return state;
  }

  /** Applies what a client sent, if it may be. */
  apply(update: Uint8Array, mayExtend: (client: number) => boolean): Applied {
    const verdict = checkUpdate(this.#doc, update, mayExtend);
    const { steps } = verdict;
    if (verdict.type === "too large")
      return { type: "refused", reason: "too_large", why: verdict.why, steps };
    if (verdict.type === "bad") return { type: "refused", reason: "bad_update", why: verdict.why, steps };
    if (this.#size + update.length > MAX_STATE && this.encode().length + update.length > MAX_STATE)
      return { type: "refused", reason: "too_large", why: "the document is too large", steps };
    const changed = this.#during(() => Y.applyUpdate(this.#doc, update, "client"));
    return changed === undefined ? { type: "known", steps } : { type: "changed", update: changed, steps };
  }

  /** What is stored, by whomever: believed. Gives what was new. */
  absorb(state: Uint8Array | undefined, updates: readonly Uint8Array[]): Uint8Array | undefined {
    return this.#during(() =>
      this.#doc.transact(() => {
        if (state !== undefined) Y.applyUpdateV2(this.#doc, state);
        for (const update of updates) Y.applyUpdate(this.#doc, update);
      }),
    );
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
    return this.#during(() => {
      for (let n = 0; n < count; n += 1) this.#edits.undo();
    });
  }

  /** The edits so far stay: what they deleted need not be kept for taking them back. */
  settleEdits(): void {
    this.#edits.clear();
  }

  /** What `work` changed. */
  #during(work: () => void): Uint8Array | undefined {
    this.#updates = [];
    work();
    return this.#updates.length > 1 ? Y.mergeUpdates(this.#updates) : this.#updates[0];
  }
}

/** The state of a new document with this text. Made once per document, by whoever first stores it: two would double the text. */
export function seedState(text: string): Uint8Array {
  const doc = new Y.Doc();
  doc.getText(TEXT).insert(0, normalText(text));
  return Y.encodeStateAsUpdateV2(doc);
}

/** A text as the document holds it: whole characters, one kind of line end. */
export const normalText = (text: string): string => text.toWellFormed().replace(/\r\n?/g, "\n");

export const textHash = (text: string): string => createHash("sha256").update(text).digest("hex");
