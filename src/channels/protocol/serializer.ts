/**
 * A serializer encodes the values of the protocol as frames, and scans a frame for its routing
 * fields. The payload is decoded where it is used, see frame-scanner.ts.
 */
import type { ScannedFrame } from "./frame-scanner.js";
import type { Broadcast, Frame, WireRef } from "./message.js";

export interface Serializer {
  /** The name under which mounts list it and threads look it up. */
  readonly name: string;
  /** The routing fields of a text or binary frame; undefined when it is not a valid one. */
  scan(data: string | Uint8Array): ScannedFrame | undefined;
  encodePush(joinRef: WireRef, topic: string, event: string, payload: unknown): Frame;
  encodeReply(joinRef: WireRef, ref: WireRef, topic: string, status: string, response: unknown): Frame;
  /** Encoded once for all subscribers that share this serializer. */
  encodeBroadcast(broadcast: Broadcast): Frame;
  /**
   * Whether `encodeBroadcast` embeds the JSON of an `EncodedPayload`. Default: it gets the decoded
   * payload.
   */
  readonly takesEncoded?: true;
  /** `phx_close` and `phx_error` carry the join_ref as their ref too. */
  encodeControl(joinRef: WireRef, topic: string, event: string, payload: unknown): Frame;
}
