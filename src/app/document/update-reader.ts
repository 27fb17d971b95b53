/**
 * The update reader decodes an update (Yjs's encoding V1) into plain records, and stops at the
 * first thing that a document of plain text never holds. So neither other content, which Yjs would
 * build while decoding, nor a large number of small structs costs more than the bytes before it.
 */
import * as Y from "yjs";

/** The name of the one text. */
export const TEXT = "response";

/** Structs and deleted ranges of one update. A merged edit of 64 KiB has fewer. */
export const MAX_STRUCTS = 10_000;
export const MAX_RANGES = 20_000;
const MAX_CLIENT_ID = 0xffff_ffff;
/**
 * A client id counts every character it ever typed; a number beyond this is an attack on the
 * arithmetic.
 */
const MAX_CLOCK = 2 ** 40;

/** A run of characters that came in at one place. */
export interface Struct {
  readonly client: number;
  readonly clock: number;
  readonly length: number;
  readonly origin: Y.ID | null;
  readonly rightOrigin: Y.ID | null;
  /** Undefined: deleted already. */
  readonly text: string | undefined;
}

export interface Range {
  readonly clock: number;
  readonly length: number;
}

export interface DecodedUpdate {
  /** By client, as the update has them: clocks ascend without a gap. */
  readonly structs: ReadonlyMap<number, readonly Struct[]>;
  readonly deletions: ReadonlyMap<number, readonly Range[]>;
}

/** What stands in place of an update that is not one of plain text. */
export type Unreadable =
  | { readonly type: "bad"; readonly why: string }
  | { readonly type: "too large"; readonly why: string };

export type ReadResult = { readonly type: "read"; readonly update: DecodedUpdate } | Unreadable;

/** No structs, no deletions. */
const EMPTY_LENGTH = 2;

/** Bits of a struct's first byte. */
const CONTENT = 0b1_1111;
const HAS_KEY = 0b10_0000;
const HAS_RIGHT_ORIGIN = 0b100_0000;
const HAS_ORIGIN = 0b1000_0000;
/** Kinds of content. */
const GC = 0;
const DELETED = 1;
const STRING = 4;
const SKIP = 10;

class Refused extends Error {
  readonly unreadable: Unreadable;

  constructor(unreadable: Unreadable) {
    super(unreadable.why);
    this.unreadable = unreadable;
  }
}

const refuse = (why: string): never => {
  throw new Refused({ type: "bad", why });
};
const tooLarge = (why: string): never => {
  throw new Refused({ type: "too large", why });
};

export function readUpdate(bytes: Uint8Array): ReadResult {
  // Yjs's decoder reads from anything that has these two fields.
  const decoder = new Y.UpdateDecoderV1({ arr: bytes, pos: 0 } as never);
  try {
    const structs = readStructs(decoder, bytes.length);
    const deletions = readDeletions(decoder, bytes.length);
    // What is in Yjs's other encoding looks like this: an ok would say that it is stored.
    if (structs.size === 0 && deletions.size === 0 && bytes.length > EMPTY_LENGTH) refuse("it says nothing");
    return { type: "read", update: { structs, deletions } };
  } catch (error) {
    return error instanceof Refused ? error.unreadable : { type: "bad", why: "it does not decode" };
  }
}

function readStructs(decoder: Y.UpdateDecoderV1, bytes: number): Map<number, readonly Struct[]> {
  const structs = new Map<number, Struct[]>();
  const sections = decoder.readLen();
  let count = 0;
  for (let section = 0; section < sections; section += 1) {
    const length = decoder.readLen();
    const client = decoder.readClient();
    let clock = decoder.readLen();
    if (client > MAX_CLIENT_ID) refuse("an id is out of range");
    // Of two sections for the same client, Yjs would drop one.
    if (length === 0 || structs.has(client)) refuse("a client comes twice, or with nothing");
    count += length;
    // Noise has numbers that no bytes come after.
    if (2 * length > bytes) refuse("it does not decode");
    if (count > MAX_STRUCTS) tooLarge("it has too many parts");
    const own: Struct[] = [];
    for (let n = 0; n < length; n += 1) {
      const struct = readStruct(decoder, client, clock);
      own.push(struct);
      clock += struct.length;
    }
    if (clock > MAX_CLOCK) refuse("an id is out of range");
    structs.set(client, own);
  }
  return structs;
}

function readStruct(decoder: Y.UpdateDecoderV1, client: number, clock: number): Struct {
  const info = decoder.readInfo();
  const content = info & CONTENT;
  if (content === GC || content === SKIP) refuse("it has a struct that text does not have");
  if (content !== STRING && content !== DELETED) refuse("it has content other than text");
  const origin = info & HAS_ORIGIN ? decoder.readLeftID() : null;
  const rightOrigin = info & HAS_RIGHT_ORIGIN ? decoder.readRightID() : null;
  if (origin === null && rightOrigin === null) {
    if (!decoder.readParentInfo() || decoder.readString() !== TEXT) refuse("it belongs to another type");
    if (info & HAS_KEY) refuse("it has a key");
  }
  const text = content === STRING ? decoder.readString() : undefined;
  const length = text === undefined ? decoder.readLen() : text.length;
  // Of no length, it would stand at the same clock as the next, and the store would no longer find
  // either.
  if (length === 0) refuse("it has an empty struct");
  return { client, clock, length, origin, rightOrigin, text };
}

function readDeletions(decoder: Y.UpdateDecoderV1, bytes: number): Map<number, readonly Range[]> {
  const deletions = new Map<number, Range[]>();
  const sections = decoder.readLen();
  let count = 0;
  for (let section = 0; section < sections; section += 1) {
    const client = decoder.readClient();
    const length = decoder.readLen();
    count += length;
    if (2 * length > bytes) refuse("it does not decode");
    if (count > MAX_RANGES) tooLarge("it deletes too many ranges");
    if (length === 0 || deletions.has(client)) refuse("a client comes twice, or with nothing");
    const own: Range[] = [];
    for (let n = 0; n < length; n += 1) {
      const range = { clock: decoder.readDsClock(), length: decoder.readDsLen() };
      if (range.length === 0) refuse("it deletes nothing");
      if (range.clock + range.length > MAX_CLOCK) refuse("an id is out of range");
      own.push(range);
    }
    deletions.set(client, own);
  }
  return deletions;
}
