/**
 * Supabase's variant of protocol 2.0.0 (realtime-js): Phoenix's text frames, and two binary kinds
 * of its own for user broadcasts. The client reads no other binary frame, so no other is sent.
 *
 *     3  client to server: kind, lengths of the fields, encoding, join_ref, ref, topic, user event,
 *        metadata, payload
 *     4  server to client: kind, lengths of the fields, encoding, topic, user event, metadata,
 *        payload
 *
 * Both are the event `broadcast` with the payload `{type: "broadcast", event, payload}` in
 * channels.
 */
import { show } from "#runtime";
import type { ScannedFrame } from "./frame-scanner.js";
import { type Broadcast, bytesOf, type Frame } from "./message.js";
import type { Serializer } from "./serializer.js";
import { parseStrict, stringifyStrict } from "./strict-json.js";
import { v2Json } from "./v2-json.js";

const USER_BROADCAST_PUSH = 3;
const USER_BROADCAST = 4;
const RAW = 0;
const JSON_TEXT = 1;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function scanUserBroadcast(bytes: Uint8Array): ScannedFrame | undefined {
  if (bytes.length < 7) return undefined;
  const lengths = [...bytes.subarray(1, 6)];
  const encoding = bytes[6];
  const texts: string[] = [];
  let offset = 7;
  if (lengths.reduce((sum, length) => sum + length, offset) > bytes.length) return undefined;
  try {
    for (const length of lengths) {
      texts.push(decoder.decode(bytes.subarray(offset, offset + length)));
      offset += length;
    }
    const [joinRef, ref, topic, event, metadata] = texts as [string, string, string, string, string];
    const rest = bytes.slice(offset);
    const payload = {
      type: "broadcast",
      event,
      payload: encoding === JSON_TEXT ? parseStrict(decoder.decode(rest)) : rest,
      ...(metadata === "" ? {} : { meta: parseStrict(metadata) }),
    };
    if (encoding !== RAW && encoding !== JSON_TEXT) return undefined;
    return { joinRef: joinRef === "" ? null : joinRef, ref, topic, event: "broadcast", payload };
  } catch {
    return undefined;
  }
}

/**
 * The bytes of a user broadcast. Undefined for any other event, and for a JSON payload, which is
 * sent as text.
 */
function userBytes(event: string, payload: unknown): Uint8Array | undefined {
  if (event !== "broadcast" || typeof payload !== "object" || payload === null) return undefined;
  return bytesOf((payload as { payload?: unknown }).payload);
}

function userBroadcast(
  topic: string,
  content: { event?: unknown; meta?: unknown },
  bytes: Uint8Array,
): Frame {
  const texts = [
    topic,
    show(content.event ?? ""),
    content.meta === undefined ? "" : stringifyStrict(content.meta),
  ];
  const fields = texts.map((text, index) => {
    const field = encoder.encode(text);
    if (field.length > 255) {
      const name = ["topic", "event", "metadata"][index];
      throw new RangeError(
        `unable to convert ${name} to binary: it must be less than or equal to 255 bytes, but is ${field.length} bytes`,
      );
    }
    return field;
  });
  return Buffer.concat([
    Uint8Array.of(USER_BROADCAST, ...fields.map(({ length }) => length), RAW),
    ...fields,
    bytes,
  ]);
}

function refuseBytes(what: string, payload: unknown): void {
  if (bytesOf(payload) === undefined) return;
  throw new TypeError(
    `${what} is binary, which Supabase's client cannot read; send a broadcast of { type: "broadcast", event, payload: bytes } instead`,
  );
}

export const supabaseJson: Serializer = {
  name: "supabase_json",
  takesEncoded: true,

  scan: (data) =>
    typeof data !== "string" && data[0] === USER_BROADCAST_PUSH ? scanUserBroadcast(data) : v2Json.scan(data),

  encodePush(joinRef, topic, event, payload): Frame {
    const bytes = userBytes(event, payload);
    if (bytes !== undefined) return userBroadcast(topic, payload as object, bytes);
    refuseBytes(`the payload of ${event}`, payload);
    return v2Json.encodePush(joinRef, topic, event, payload);
  },

  encodeReply(joinRef, ref, topic, status, response): Frame {
    refuseBytes(`the ${status} reply`, response);
    return v2Json.encodeReply(joinRef, ref, topic, status, response);
  },

  encodeBroadcast(broadcast: Broadcast): Frame {
    const bytes = userBytes(broadcast.event, broadcast.payload);
    if (bytes !== undefined) return userBroadcast(broadcast.topic, broadcast.payload as object, bytes);
    refuseBytes(`the payload of ${broadcast.event}`, broadcast.payload);
    return v2Json.encodeBroadcast(broadcast);
  },

  encodeControl: v2Json.encodeControl,
};
