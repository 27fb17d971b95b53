/**
 * Phoenix's protocol 2.0.0: `[join_ref, ref, topic, event, payload]` as JSON text, and binary
 * frames for binary payloads.
 */
import { sharedJson } from "#pubsub";
import { PHX_REPLY } from "./constants.js";
import { scanBinary, scanText } from "./frame-scanner.js";
import {
  type Broadcast,
  bytesOf,
  checkedResponse,
  checkPayload,
  EncodedPayload,
  type Frame,
  type WireRef,
} from "./message.js";
import type { Serializer } from "./serializer.js";
import { stringifyStrict, wellFormed } from "./strict-json.js";

const PUSH = 0;
const REPLY = 1;
const BROADCAST = 2;

/** The part of a reply between its topic and its status. */
const REPLY_STATUS = `,"${PHX_REPLY}",{"status":`;

const encoder = new TextEncoder();

/** Lays out a binary frame: kind, one length byte per field, the fields, the payload. */
function binary(
  kind: number,
  fields: readonly (readonly [name: string, value: string])[],
  payload: Uint8Array,
): Uint8Array {
  const encoded = fields.map(([name, value]) => {
    const bytes = encoder.encode(value);
    if (bytes.length > 255) {
      throw new RangeError(
        `unable to convert ${name} to binary: it must be less than or equal to 255 bytes, but is ${bytes.length} bytes`,
      );
    }
    return bytes;
  });
  const size = encoded.reduce((sum, bytes) => sum + bytes.length, 1 + encoded.length + payload.length);
  const frame = new Uint8Array(size);
  frame[0] = kind;
  let offset = 1;
  for (const bytes of encoded) {
    frame[offset] = bytes.length;
    offset += 1;
  }
  for (const bytes of encoded) {
    frame.set(bytes, offset);
    offset += bytes.length;
  }
  frame.set(payload, offset);
  return frame;
}

/** Refs in a binary frame are strings. */
const refText = (ref: WireRef): string =>
  ref === null ? "" : typeof ref === "object" ? stringifyStrict(ref) : String(ref);

/**
 * JSON of a field. Most are short strings without escapes: scanning them is cheaper than
 * JSON.stringify.
 */
const quoted = (value: WireRef): string =>
  typeof value === "string" && isPlain(value) ? `"${value}"` : JSON.stringify(value);

function isPlain(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return false;
  }
  return true;
}

export const v2Json: Serializer = {
  name: "v2_json",
  takesEncoded: true,

  scan: (data) => (typeof data === "string" ? scanText(data) : scanBinary(data)),

  encodePush(joinRef, topic, event, payload): Frame {
    const bytes = bytesOf(payload);
    if (bytes !== undefined)
      return binary(
        PUSH,
        [
          ["join_ref", refText(joinRef)],
          ["topic", topic],
          ["event", event],
        ],
        bytes,
      );
    checkPayload(event, payload);
    const shared = sharedJson(payload);
    if (shared === undefined) return stringifyStrict([joinRef, null, topic, event, payload]);
    return wellFormed(`${JSON.stringify([joinRef, null, topic, event]).slice(0, -1)},${shared}]`);
  },

  encodeReply(joinRef, ref, topic, status, response): Frame {
    const bytes = bytesOf(response);
    if (bytes !== undefined) {
      return binary(
        REPLY,
        [
          ["join_ref", refText(joinRef)],
          ["ref", refText(ref)],
          ["topic", topic],
          ["status", status],
        ],
        bytes,
      );
    }
    // Undefined when its toJSON returns undefined: JSON omits it.
    const json = JSON.stringify(checkedResponse(status, response)) as string | undefined;
    const body = json === undefined ? "" : `,"response":${json}`;
    return wellFormed(
      `[${quoted(joinRef)},${quoted(ref)},${quoted(topic)}${REPLY_STATUS}${quoted(status)}${body}}]`,
    );
  },

  encodeBroadcast({ topic, event, payload }: Broadcast): Frame {
    const bytes = bytesOf(payload);
    if (bytes !== undefined)
      return binary(
        BROADCAST,
        [
          ["topic", topic],
          ["event", event],
        ],
        bytes,
      );
    if (payload instanceof EncodedPayload)
      return wellFormed(`${JSON.stringify([null, null, topic, event]).slice(0, -1)},${payload.json}]`);
    checkPayload(event, payload);
    return stringifyStrict([null, null, topic, event, payload]);
  },

  encodeControl: (joinRef, topic, event, payload): Frame =>
    stringifyStrict([joinRef, joinRef, topic, event, payload]),
};
