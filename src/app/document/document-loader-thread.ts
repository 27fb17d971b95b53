/** What the thread of document-loader.ts runs. */
import { DamagedDocument, loadImage, loadText, type StoredDocument } from "./document-loading.js";

export type LoaderTask =
  /** Answered as soon as the thread runs. */
  | readonly ["ready"]
  | readonly ["image", stored: readonly StoredDocument[]]
  | readonly ["text", state: Uint8Array, hash: string];

export default function run(task: LoaderTask): readonly ["ok", unknown] | readonly ["error", "damaged"] {
  if (task[0] === "ready") return ["ok", null];
  try {
    return ["ok", task[0] === "image" ? loadImage(task[1]) : loadText(task[1], task[2])];
  } catch (error) {
    if (!(error instanceof DamagedDocument)) throw error;
    return ["error", "damaged"];
  }
}
