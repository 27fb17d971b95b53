/**
 * A document image is a document in a form that takes no work to load: its state, as Yjs encodes
 * it, and the order in which its structs stand in the text. Applying the state would place each
 * struct by looking at its neighbours, which takes the square of their number in the worst case;
 * with the order known they are linked as they stood, in a time that grows with their number only.
 */
import * as Y from "yjs";
import { TEXT } from "./update-reader.js";

/** Plain data: it crosses between threads. */
export interface DocumentImage {
  /** In Yjs's encoding V2. */
  readonly state: Uint8Array;
  /** The structs by their number in the state, as they stand in the text. */
  readonly order: Uint32Array;
}

/** The clients in the order in which Yjs encodes them. */
const clientsOf = (doc: Y.Doc): readonly number[] => [...doc.store.clients.keys()].sort((a, b) => b - a);

export function imageOf(doc: Y.Doc): DocumentImage {
  const numbers = new Map<unknown, number>();
  for (const client of clientsOf(doc))
    for (const struct of doc.store.clients.get(client) ?? []) numbers.set(struct, numbers.size);
  const order = new Uint32Array(numbers.size);
  let at = 0;
  for (let item = doc.getText(TEXT)._start; item !== null; item = item.right) {
    order[at] = numbers.get(item) as number;
    at += 1;
  }
  if (at !== order.length) throw new Error("the document has structs that are not in its text");
  return { state: Y.encodeStateAsUpdateV2(doc), order };
}

export function documentOf({ state, order }: DocumentImage): Y.Doc {
  const doc = new Y.Doc();
  const text = doc.getText(TEXT);
  const structs = Y.decodeUpdateV2(state).structs as Y.Item[];
  for (const item of structs) {
    const { client } = item.id;
    const own = doc.store.clients.get(client);
    if (own === undefined) doc.store.clients.set(client, [item]);
    else own.push(item);
    item.parent = text;
    if (item.content instanceof Y.ContentDeleted) item.markDeleted();
    else text._length += item.length;
  }
  let left: Y.Item | null = null;
  for (const number of order) {
    const item = structs[number] as Y.Item;
    item.left = left;
    if (left === null) text._start = item;
    else left.right = item;
    left = item;
  }
  return doc;
}
