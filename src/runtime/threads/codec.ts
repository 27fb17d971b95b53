/**
 * Signals to bytes and back, for the port between two threads.
 *
 * MessagePack, packed at the moment of the send: what cannot be sent fails in the sender,
 * synchronously, and what was sent is a copy that later changes do not reach. Identities travel as
 * numbers and find their process or connection again when they are unpacked.
 */
import { addExtension, Packr } from "msgpackr";
import { pidFromParts } from "../kernel/bifs.js";
import type { RuntimeNode } from "../kernel/node.js";
import { Pid, Ref } from "../kernel/pid.js";
import { From } from "../kernel/request.js";
import { CallMessage, CastMessage, SystemMessage } from "../kernel/server-messages.js";
import { Boxed, DataCloneError, unbox } from "../kernel/wire-data.js";

type Parts = readonly [node: number, creation: number, id: number];

/**
 * The node that is unpacking: identities are re-established for it. Unpacking is synchronous, so
 * one is enough.
 */
let unpackingNode: RuntimeNode | undefined;

const NO_HOME = { aliasMessage(): void {} };

/** The ref with these parts, connected to its node when that is known and up. */
function refFromParts(here: RuntimeNode, node: number, creation: number, id: number): Ref {
  const home = node === here.index ? here : here.connection(node);
  const live = home !== undefined && home.creation === creation;
  return new Ref(node, creation, id, live ? home : NO_HOME);
}

const refHere = ([node, creation, id]: Parts): Ref =>
  refFromParts(unpackingNode as RuntimeNode, node, creation, id);

addExtension({
  Class: Pid,
  type: 0x20,
  write: ({ node, creation, id }: Pid): Parts => [node, creation, id],
  read: ([node, creation, id]: Parts) => pidFromParts(unpackingNode as RuntimeNode, { node, creation, id }),
});
addExtension({
  Class: Ref,
  type: 0x21,
  write: (ref: Ref): Parts => [ref.node, ref.creation, Ref.exportedId(ref)],
  read: refHere,
});
addExtension({
  Class: From,
  type: 0x22,
  write: ({ pid, tag }: From) => [pid.node, pid.creation, pid.id, Ref.exportedId(tag)],
  read: ([node, creation, id, tag]: readonly [number, number, number, number]) =>
    new From(
      pidFromParts(unpackingNode as RuntimeNode, { node, creation, id }),
      refHere([node, creation, tag]),
    ),
});
addExtension({
  Class: CallMessage,
  type: 0x23,
  write: ({ from, request }: CallMessage) => [from, request],
  read: ([from, request]: readonly [From, unknown]) => new CallMessage(from, request),
});
addExtension({
  Class: CastMessage,
  type: 0x24,
  write: ({ request }: CastMessage) => [request],
  read: ([request]: readonly [unknown]) => new CastMessage(request),
});
addExtension({
  Class: SystemMessage,
  type: 0x25,
  write: ({ from, operation, argument }: SystemMessage) => [from, operation, argument],
  read: ([from, operation, argument]: readonly [From, string, unknown]) =>
    new SystemMessage(from, operation, argument),
});
addExtension({
  Class: Boxed,
  type: 0x26,
  write: ({ kind, content }: Boxed) => [kind, content],
  read: ([kind, content]: readonly [string, unknown]) => unbox(new Boxed(kind, content)),
});

// Records are off: a message whose keys are data, such as a presence list, would compile a reader
// for each shape.
const packr = new Packr({ useRecords: false, moreTypes: true, mapsAsObjects: true });

/**
 * Packs one signal. The bytes are valid until the next call that packs. Throws `DataCloneError`.
 */
export function pack(signal: unknown): Uint8Array {
  try {
    return packr.pack(signal);
  } catch (error) {
    throw new DataCloneError(`a message cannot be sent to another thread: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Unpacks every signal of a batch, in order, for `node`. */
export function unpackAll(
  node: RuntimeNode,
  batch: Uint8Array,
  each: (signal: readonly unknown[]) => void,
): void {
  const outer = unpackingNode;
  unpackingNode = node;
  try {
    const signals = packr.unpackMultiple(batch) as (readonly unknown[])[];
    for (const signal of signals) each(signal);
  } finally {
    unpackingNode = outer;
  }
}
