/**
 * Loading a document puts it together from what is stored: a snapshot and the updates since. Pure,
 * and as slow as Yjs is with what was stored; document-loader.ts runs it in a thread.
 */
import { createHash } from "node:crypto";
import * as Y from "yjs";
import { type DocumentImage, imageOf } from "./document-image.js";
import { TEXT } from "./update-reader.js";

/** What is stored of a document: where the first is damaged, the next will do. */
export interface StoredDocument {
  readonly state: Uint8Array;
  /** Of the text of the snapshot. */
  readonly hash: string;
  /** What came after it, in order. */
  readonly updates: readonly Uint8Array[];
}

/** The stored parts of a document do not fit together. */
export class DamagedDocument extends Error {
  override readonly name = "DamagedDocument";
}

export const textHash = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Without a hash, the text of the snapshot is believed. Throws `DamagedDocument`. */
export function assemble(state: Uint8Array, updates: readonly Uint8Array[], hash?: string): Y.Doc {
  const doc = new Y.Doc();
  const text = doc.getText(TEXT);
  try {
    Y.applyUpdateV2(doc, state);
    if (hash !== undefined && textHash(text.toString()) !== hash)
      throw new DamagedDocument("the snapshot is not what it was");
    // One transaction: as many would each tidy up after themselves.
    doc.transact(() => {
      for (const update of updates) Y.applyUpdate(doc, update);
    });
  } catch (error) {
    if (error instanceof DamagedDocument) throw error;
    throw new DamagedDocument(`it cannot be decoded: ${(error as Error).message}`);
  }
  if (doc.store.pendingStructs !== null || doc.store.pendingDs !== null)
    throw new DamagedDocument("a part of it is missing");
  return doc;
}

/** Of the first of these that is whole. Throws `DamagedDocument` when none is. */
export function loadImage(stored: readonly StoredDocument[]): DocumentImage {
  let damage: unknown = new DamagedDocument("there is nothing of it");
  for (const { state, updates, hash } of stored) {
    try {
      return imageOf(assemble(state, updates, hash));
    } catch (error) {
      if (!(error instanceof DamagedDocument)) throw error;
      damage = error;
    }
  }
  throw damage;
}

/** The text of a snapshot. Throws `DamagedDocument`. */
export const loadText = (state: Uint8Array, hash: string): string =>
  assemble(state, [], hash).getText(TEXT).toString();
