/**
 * Phoenix's protocol 1.0.0: `{topic, event, payload, ref}` as JSON text, without join_ref to the
 * client and without binary frames. It is the protocol of a client that sends no `vsn`.
 */

import { PHX_REPLY } from "./constants.js";
import { type ScannedFrame, scanned } from "./frame-scanner.js";
import { bytesOf, checkedResponse, EncodedPayload, type Frame, type WireRef } from "./message.js";
import type { Serializer } from "./serializer.js";
import { hasExactNumbers, parseStrict, stringifyStrict, wellFormed } from "./strict-json.js";

const encode = (topic: string, event: string, payload: unknown, ref: WireRef): Frame => {
  if (bytesOf(payload) !== undefined) {
    throw new TypeError(`the payload of ${event} is binary, which protocol 1.0.0 cannot carry`);
  }
  return stringifyStrict({ topic, event, payload: payload === undefined ? {} : payload, ref });
};

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const v1Json: Serializer = {
  name: "v1_json",
  takesEncoded: true,

  /** `topic`, `event`, `payload` and `ref` are required, `join_ref` is optional. */
  scan(data): ScannedFrame | undefined {
    let value: unknown;
    try {
      value = parseStrict(typeof data === "string" ? data : decoder.decode(data));
    } catch {
      return undefined;
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    const { topic, event, ref, join_ref: joinRef = null, payload } = value as Record<string, unknown>;
    if (topic === undefined || event === undefined || ref === undefined || payload === undefined)
      return undefined;
    if (!hasExactNumbers([joinRef, ref, topic])) return undefined;
    return scanned(joinRef as WireRef, ref as WireRef, topic, event, `${JSON.stringify(payload)}]`);
  },

  encodePush: (_joinRef, topic, event, payload) => encode(topic, event, payload, null),
  encodeReply(_joinRef, ref, topic, status, response) {
    if (bytesOf(response) !== undefined)
      throw new TypeError(`the ${status} reply is binary, which protocol 1.0.0 cannot carry`);
    return encode(topic, PHX_REPLY, { status, response: checkedResponse(status, response) }, ref);
  },
  encodeBroadcast: ({ topic, event, payload }) =>
    payload instanceof EncodedPayload
      ? wellFormed(`${JSON.stringify({ topic, event }).slice(0, -1)},"payload":${payload.json},"ref":null}`)
      : encode(topic, event, payload, null),
  encodeControl: (joinRef, topic, event, payload) => encode(topic, event, payload, joinRef),
};
