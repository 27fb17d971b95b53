/**
 * The other form signals can have on a port: structured clone. Ports copy plain data by themselves;
 * this module says what they cannot, in objects with one reserved key, and takes the copy at the
 * moment of the send, so that what was sent is out of the sender's reach and what cannot be sent
 * fails there.
 *
 * It behaves as MessagePack does, for every value: a suite runs under both.
 */

import { pidFromParts } from "../kernel/bifs.js";
import { messageClass, messageClassOf } from "../kernel/message-class.js";
import type { RuntimeNode } from "../kernel/node.js";
import { Pid, Ref } from "../kernel/pid.js";
import { From } from "../kernel/request.js";
import { CallMessage, CastMessage, SystemMessage } from "../kernel/server-messages.js";
import { Boxed, unbox } from "../kernel/wire-data.js";
import { refFromParts } from "../kernel/wire-identities.js";

/** The key of what stands for something else. Data that has it is wrapped itself. */
const TAG = "@simurgh";

interface Tagged {
  readonly [TAG]: string;
  readonly content: readonly unknown[];
}

const tagged = (kind: string, ...content: unknown[]): Tagged => ({ [TAG]: kind, content });
const identity = ({ node, creation, id }: Pid): readonly number[] => [node, creation, id];

/** A copy of what `toWire` gave that a port can carry, and its size, roughly, in bytes. */
export function toClone(value: unknown): { readonly copy: unknown; readonly size: number } {
  let size = 0;
  const copy = (item: unknown): unknown => {
    switch (typeof item) {
      case "string":
        size += item.length + 4;
        return item;
      case "object":
        size += 8;
        break;
      default:
        size += 8;
        return item;
    }
    if (item === null) return null;
    if (Array.isArray(item)) return item.map(copy);
    if (item instanceof Pid) return tagged("pid", ...identity(item));
    if (item instanceof Ref) return tagged("ref", item.node, item.creation, Ref.exportedId(item));
    if (item instanceof From) return tagged("from", ...identity(item.pid), Ref.exportedId(item.tag));
    const known = messageClassOf(item);
    if (known !== undefined) return tagged("message", known.type, copy(known.fields(item)));
    if (item instanceof CallMessage) return tagged("call", copy(item.from), copy(item.request));
    if (item instanceof CastMessage) return tagged("cast", copy(item.request));
    if (item instanceof SystemMessage)
      return tagged("system", copy(item.from), item.operation, copy(item.argument));
    if (item instanceof Boxed) return tagged("boxed", item.kind, copy(item.content));
    if (item instanceof Set) return new Set([...item].map(copy));
    if (item instanceof Date) return new Date(item);
    if (item instanceof RegExp) return item;
    if (ArrayBuffer.isView(item) || item instanceof ArrayBuffer) {
      size += item.byteLength;
      return bytesOf(item);
    }
    const fields = Object.entries(item).map(([key, field]) => {
      size += key.length;
      return [key, copy(field)] as const;
    });
    return TAG in item ? tagged("object", fields) : Object.fromEntries(fields);
  };
  const copied = copy(value);
  return { copy: copied, size };
}

/** A view's own bytes: the buffer below it may be large, shared, or one that must not leave. */
function bytesOf(view: ArrayBufferView | ArrayBuffer): unknown {
  if (view instanceof ArrayBuffer) return view.slice(0);
  if (view instanceof DataView)
    return new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  // A Buffer's slice shares memory; a typed array's copies.
  if (Buffer.isBuffer(view)) return tagged("buffer", new Uint8Array(view));
  return (view as Uint8Array).slice();
}

/** What `toClone` made, as it was; identities are re-established for `node`. */
export function fromClone(node: RuntimeNode, copy: unknown): unknown {
  if (typeof copy !== "object" || copy === null) return copy;
  if (Array.isArray(copy)) {
    for (let index = 0; index < copy.length; index += 1) copy[index] = fromClone(node, copy[index]);
    return copy;
  }
  if (copy instanceof Set) return new Set([...copy].map((item) => fromClone(node, item)));
  if (
    copy instanceof Date ||
    copy instanceof RegExp ||
    ArrayBuffer.isView(copy) ||
    copy instanceof ArrayBuffer
  )
    return copy;
  if (TAG in copy) return untag(node, copy as Tagged);
  const object = copy as Record<string, unknown>;
  for (const key of Object.keys(object)) object[key] = fromClone(node, object[key]);
  return object;
}

function untag(node: RuntimeNode, { [TAG]: kind, content }: Tagged): unknown {
  const [a, b, c, d] = content as readonly [never, never, never, number];
  const from = (index: number): unknown => fromClone(node, content[index]);
  switch (kind) {
    case "pid":
      return pidFromParts(node, { node: a, creation: b, id: c });
    case "ref":
      return refFromParts(node, a, b, c);
    case "from":
      return new From(pidFromParts(node, { node: a, creation: b, id: c }), refFromParts(node, a, b, d));
    case "call":
      return new CallMessage(from(0) as From, from(1));
    case "cast":
      return new CastMessage(from(0));
    case "system":
      return new SystemMessage(from(0) as From, b, from(2));
    case "message": {
      const known = messageClass(a);
      if (known === undefined) throw new TypeError(`no class of messages has the type ${String(a)} here`);
      return known.make(from(1) as readonly unknown[]);
    }
    case "boxed":
      return unbox(new Boxed(a, from(1)));
    case "buffer":
      return Buffer.from((a as Uint8Array).buffer);
    default: {
      const fields = a as unknown as readonly (readonly [string, unknown])[];
      return Object.fromEntries(fields.map(([key, field]) => [key, fromClone(node, field)]));
    }
  }
}
