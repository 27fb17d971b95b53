/**
 * The frame scanner reads the routing fields of a V2 frame (join_ref, ref, topic and event) and
 * leaves the payload undecoded. `scanText` and `scanBinary` are the first half of a pair,
 * `decodePayload` is the second.
 *
 * The gateway does not need the payload, and the channel that does may run in another thread.
 * Scanning four short fields is much cheaper than parsing the whole text twice. The payload stays a
 * slice of the frame and is validated where it is decoded.
 */
import { PHX_JOIN } from "./constants.js";
import type { WireRef } from "./message.js";
import { checked, hasExactNumbers, parseStrict } from "./strict-json.js";

export type RawPayload = string | Uint8Array | object;

export interface ScannedFrame {
  readonly joinRef: WireRef;
  readonly ref: WireRef;
  readonly topic: string;
  /** The topic as sent, when it is not a string: it matches no channel, and replies echo it. */
  readonly wireTopic?: unknown;
  readonly event: string;
  /**
   * The payload, still undecoded: JSON text that starts with it, its bytes, or an object when the
   * serializer has decoded it already.
   */
  readonly payload: RawPayload;
}

/**
 * Makes a frame whose topic and event may be any JSON value. An event that is not a string is one
 * that no channel handles.
 */
export function scanned(
  joinRef: WireRef,
  ref: WireRef,
  topic: unknown,
  event: unknown,
  payload: RawPayload,
): ScannedFrame {
  const name = typeof event === "string" ? event : JSON.stringify(event);
  return typeof topic === "string"
    ? { joinRef, ref, topic, event: name, payload }
    : { joinRef, ref, topic: "", wireTopic: topic, event: name, payload };
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN = 0x5b;
const CLOSE = 0x5d;

const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

/**
 * The index of the quote that ends the string whose first character is at `start`; -1 when the
 * string has escapes or does not end.
 */
function endOfPlain(text: string, start: number): number {
  for (let index = start; ; index += 1) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) return index;
    // NaN is the end of the frame.
    if (!(code >= 0x20) || code === BACKSLASH) return -1;
  }
}

/** The routing fields of a text frame, or undefined when it is not a valid one. */
export function scanText(text: string): ScannedFrame | undefined {
  return scanPlain(text) ?? scanAny(text);
}

/**
 * The fast path for frames as clients write them: no spaces, refs that are strings or null, no
 * escapes. The fields are slices that keep the frame in memory; a join's topic lives long, so joins
 * are left to `scanAny`.
 */
function scanPlain(text: string): ScannedFrame | undefined {
  if (text.charCodeAt(0) !== OPEN) return undefined;
  let joinRef: string | null = null;
  let ref: string | null = null;
  let topic = "";
  let event = "";
  let index = 0;
  for (let field = 0; field < 4; field += 1) {
    index += 1;
    if (text.charCodeAt(index) === QUOTE) {
      const end = endOfPlain(text, index + 1);
      if (end < 0) return undefined;
      const value = text.slice(index + 1, end);
      if (field === 0) joinRef = value;
      else if (field === 1) ref = value;
      else if (field === 2) topic = value;
      else event = value;
      index = end + 1;
    } else if (field < 2 && text.startsWith("null", index)) index += 4;
    else return undefined;
    if (text.charCodeAt(index) !== COMMA) return undefined;
  }
  if (event === PHX_JOIN) return undefined;
  return { joinRef, ref, topic, event, payload: text.slice(index + 1) };
}

/** The index after the string that starts at `start`, or -1 when it does not end. */
function endOfString(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === BACKSLASH) index += 1;
    else if (code === QUOTE) return index + 1;
  }
  return -1;
}

/** Any frame that the protocol allows. */
function scanAny(text: string): ScannedFrame | undefined {
  let index = 0;
  while (isSpace(text.charCodeAt(index))) index += 1;
  if (text.charCodeAt(index) !== OPEN) return undefined;
  const start = index;
  index += 1;
  for (let commas = 0; commas < 4; ) {
    const code = text.charCodeAt(index);
    if (Number.isNaN(code)) return undefined;
    if (code === QUOTE) {
      index = endOfString(text, index);
      if (index < 0) return undefined;
      continue;
    }
    if (code === OPEN || code === 0x7b) return scanWhole(text);
    if (code === CLOSE || code === 0x7d) return undefined;
    if (code === COMMA) commas += 1;
    index += 1;
  }
  let head: unknown;
  try {
    head = parseStrict(`${text.slice(start, index - 1)}]`);
  } catch {
    return undefined;
  }
  const [joinRef, ref, topic, event] = head as [WireRef, WireRef, unknown, unknown];
  if (!hasExactNumbers([joinRef, ref, topic])) return undefined;
  return scanned(joinRef, ref, topic, event, text.slice(index));
}

/**
 * The slow path for a frame with a nested value before its payload, which the protocol allows and
 * no known client sends.
 */
function scanWhole(text: string): ScannedFrame | undefined {
  let frame: unknown[];
  try {
    frame = JSON.parse(text);
    checked(frame.slice(0, 5), text);
  } catch {
    return undefined;
  }
  if (frame.length < 5) return undefined;
  const [joinRef, ref, topic, event, payload] = frame as [WireRef, WireRef, unknown, unknown, unknown];
  if (!hasExactNumbers([joinRef, ref, topic])) return undefined;
  return scanned(joinRef, ref, topic, event, `${JSON.stringify(payload)}]`);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The routing fields of a binary frame, or undefined when it is not a valid one. */
export function scanBinary(bytes: Uint8Array): ScannedFrame | undefined {
  if (bytes.length < 5 || bytes[0] !== 0) return undefined;
  const lengths = [bytes[1], bytes[2], bytes[3], bytes[4]] as [number, number, number, number];
  if (5 + lengths[0] + lengths[1] + lengths[2] + lengths[3] > bytes.length) return undefined;
  let offset = 5;
  const fields: string[] = [];
  try {
    for (const length of lengths) {
      fields.push(decoder.decode(bytes.subarray(offset, offset + length)));
      offset += length;
    }
  } catch {
    return undefined;
  }
  const [joinRef, ref, topic, event] = fields as [string, string, string, string];
  return { joinRef: joinRef === "" ? null : joinRef, ref, topic, event, payload: bytes.slice(offset) };
}

/** A payload that was not valid JSON: the frame it came in is invalid. */
export class InvalidFrame extends Error {
  override readonly name = "InvalidFrame";
}

/** The payload of a scanned frame. Elements after the fifth are ignored. Throws `InvalidFrame`. */
export function decodePayload(payload: RawPayload): unknown {
  if (typeof payload !== "string") return payload;
  if (payload.charCodeAt(payload.length - 1) === CLOSE) {
    try {
      // Usually the frame ends with its payload. Parsing a slice copies nothing; a concatenated
      // string would be copied first.
      return parseStrict(payload.slice(0, -1));
    } catch {
      // More elements follow the payload, or it is invalid.
    }
  }
  try {
    const rest = JSON.parse(`[${payload}`) as unknown[];
    if (rest.length > 0) return checked(rest[0], payload);
  } catch {
    // Falls through: invalid JSON, JSON that is not strict, and a missing payload are the same
    // error.
  }
  throw new InvalidFrame("the payload is not valid JSON");
}
