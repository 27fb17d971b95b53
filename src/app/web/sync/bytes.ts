/**
 * Bytes as the wire has them: an ArrayBuffer of their own as a binary frame, base64 within JSON.
 */

/**
 * Yjs gives views into larger buffers; the Phoenix client sends an ArrayBuffer, whole, and nothing
 * else as bytes.
 */
export const toBuffer = (bytes: Uint8Array): ArrayBuffer =>
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  // In slices: a call takes only so many arguments.
  for (let i = 0; i < bytes.length; i += 0x8000)
    text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

/** Undefined when it is no base64. */
export function fromBase64(text: unknown): Uint8Array | undefined {
  if (typeof text !== "string") return undefined;
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/**
 * The bytes of a message, as a binary frame or as base64 within JSON; undefined for any other
 * message.
 */
export const bytesOf = (payload: unknown): Uint8Array | undefined =>
  payload instanceof ArrayBuffer
    ? new Uint8Array(payload)
    : fromBase64((payload as { b64?: unknown } | null | undefined)?.b64);
