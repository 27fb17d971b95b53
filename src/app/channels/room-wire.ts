/**
 * What the clients of a room send and are sent, as far as it is not Phoenix's: see
 * docs/room-protocol.md.
 */
import { z } from "zod";
import { MAX_UPDATE } from "../document/update-validation.js";

/** How a client takes part. `base64`: as a document client, but without binary frames. */
export type Dialect = "full_text" | "binary" | "base64";

/** A full-text client may send anything here. */
export const JoinParams = z
  .looseObject({
    proto: z.literal("y1").optional().catch(undefined),
    bytes: z.enum(["binary", "base64"]).optional().catch(undefined),
    client: z.int().min(0).max(0xffff_ffff).optional().catch(undefined),
  })
  .catch({});

/**
 * Over long-poll nothing binary arrives, and a client that had meant to come by WebSocket may not
 * have known it yet.
 */
export const dialectOf = ({ proto, bytes }: z.output<typeof JoinParams>, transport: string): Dialect =>
  proto === undefined ? "full_text" : transport === "longpoll" ? "base64" : (bytes ?? "binary");

/** Longer than any relative position in base64. */
const position = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9+/]*={0,2}$/);

export const CursorPayload = z.object({
  cursor: z.object({ anchor: position, head: position }).nullable(),
  top: position.optional(),
});

/** Base64 of more than the largest update: not decoded. */
const MAX_BASE64 = Math.ceil((MAX_UPDATE * 4) / 3) + 4;

/** The replies to malformed bytes, and to too many of them. */
export type NoBytes =
  | { readonly reason: "bad_update" }
  | { readonly reason: "too_large"; readonly limit: number };

/** The bytes of a payload, however they were sent; otherwise the error to answer. */
export function decodeBytes(payload: unknown): Uint8Array | NoBytes {
  if (payload instanceof Uint8Array) return payload;
  const text = (payload as { b64?: unknown } | null)?.b64;
  if (typeof text !== "string") return { reason: "bad_update" };
  if (text.length > MAX_BASE64) return { reason: "too_large", limit: MAX_UPDATE };
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return { reason: "bad_update" };
  return new Uint8Array(Buffer.from(text, "base64"));
}

export const encodeBytes = (dialect: Dialect, bytes: Uint8Array): Uint8Array | { readonly b64: string } =>
  dialect === "base64" ? { b64: Buffer.from(bytes).toString("base64") } : bytes;
