/**
 * Encodes a WebSocket frame of the server: header and payload in one buffer, unmasked, never
 * fragmented (RFC 6455, 5.2).
 *
 * A broadcast is framed once and the same bytes are written to every subscriber; `ws` would build a
 * header for each.
 */
import type { Frame } from "../protocol/message.js";

const FINAL_TEXT = 0x81;
const FINAL_BINARY = 0x82;

export function websocketFrame(frame: Frame): Buffer {
  const text = typeof frame === "string";
  const length = text ? Buffer.byteLength(frame) : frame.length;
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const bytes = Buffer.allocUnsafe(header + length);
  bytes[0] = text ? FINAL_TEXT : FINAL_BINARY;
  if (length < 126) {
    bytes[1] = length;
  } else if (length < 65_536) {
    bytes[1] = 126;
    bytes.writeUInt16BE(length, 2);
  } else {
    bytes[1] = 127;
    bytes.writeBigUInt64BE(BigInt(length), 2);
  }
  if (text) bytes.write(frame, header);
  else bytes.set(frame, header);
  return bytes;
}
