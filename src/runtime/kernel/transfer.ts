/**
 * Sending memory without copying it: `send(pid, message, { transfer: [buffer] })`.
 *
 * The buffers leave the sender, also when the receiver is dead or in the same thread: the sender's
 * views of them have length 0 afterwards. Inside one thread it is the same, so that a program
 * behaves alike with and without threads.
 */

import { BadArg } from "./errors.js";
import { Boxed } from "./wire-data.js";

/** Only whole ArrayBuffers: what lies below a small `Buffer` belongs to others as well. */
export function checkTransfer(transfer: readonly unknown[]): asserts transfer is readonly ArrayBuffer[] {
  const seen = new Set<unknown>();
  for (const buffer of transfer) {
    if (!(buffer instanceof ArrayBuffer) || seen.has(buffer))
      throw new BadArg(
        "badarg: transfer takes different ArrayBuffers; of a Buffer or typed array, give its own .buffer if it is the only one there",
      );
    seen.add(buffer);
  }
}

/**
 * Detaches the buffers from the sender and returns new ones. Throws `BadArg` for memory that must
 * stay, such as Node's pool.
 */
export function detach(transfer: readonly ArrayBuffer[]): ArrayBuffer[] {
  const moved = new Map<ArrayBuffer, ArrayBuffer>();
  // Those that may be a pool first: before anything has been taken from the sender.
  const suspects = transfer.filter(({ byteLength }) => byteLength === Buffer.poolSize);
  for (const buffer of [...suspects, ...transfer]) {
    if (!moved.has(buffer)) moved.set(buffer, detachOne(buffer));
  }
  return transfer.map((buffer) => moved.get(buffer) as ArrayBuffer);
}

function detachOne(buffer: ArrayBuffer): ArrayBuffer {
  const { byteLength } = buffer;
  let moved: ArrayBuffer | undefined;
  try {
    moved = structuredClone(buffer, { transfer: [buffer] });
  } catch {
    // Refused, by later versions of Node; earlier ones copy what is marked as untransferable.
  }
  if (moved === undefined || buffer.byteLength === byteLength) {
    if (moved !== undefined && byteLength === 0) return moved;
    throw new BadArg("badarg: a buffer cannot be transferred: it belongs to others too, such as Node's pool");
  }
  return moved;
}

const VIEWS: Record<string, new (buffer: ArrayBuffer, offset: number, length: number) => ArrayBufferView> = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
};

/**
 * A copy of the message in which every listed buffer, and every view of one, is replaced by a note
 * of its place: `attach` puts the new buffers there.
 */
export function lift(message: unknown, transfer: readonly ArrayBuffer[]): unknown {
  const place = new Map<unknown, number>(transfer.map((buffer, index) => [buffer, index]));
  const walk = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const whole = place.get(value);
    if (whole !== undefined) return new Boxed("moved", [whole, "", 0, 0]);
    if (ArrayBuffer.isView(value)) {
      const below = place.get(value.buffer);
      if (below === undefined) return value;
      const length = "length" in value ? (value.length as number) : value.byteLength;
      const kind = Buffer.isBuffer(value) ? "Buffer" : value.constructor.name;
      return new Boxed("moved", [below, kind, value.byteOffset, length]);
    }
    return walkPlain(value, walk);
  };
  return walk(message);
}

/** The message with the buffers in their places. */
export function attach(message: unknown, buffers: readonly ArrayBuffer[]): unknown {
  const walk = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if (value instanceof Boxed && value.kind === "moved") {
      const [index, kind, offset, length] = value.content as readonly [number, string, number, number];
      const buffer = buffers[index] as ArrayBuffer;
      if (kind === "") return buffer;
      if (kind === "Buffer") return Buffer.from(buffer, offset, length);
      const View = VIEWS[kind] ?? Uint8Array;
      return new View(buffer, offset, length);
    }
    return walkPlain(value, walk);
  };
  return walk(message);
}

/** Plain objects, arrays, maps and sets with each member walked; everything else as it is. */
function walkPlain(value: object, walk: (value: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(walk);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [walk(key), walk(item)]));
  if (value instanceof Set) return new Set([...value].map(walk));
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item)]));
}
