/**
 * Frames between a hub and its clients: a kind, a channel and bytes.
 *
 *     length, 4 bytes │ kind, 1 │ length of the channel, 1 │ channel, ASCII │ bytes
 */
export const Kind = {
  /** To all subscribers except the sender. */
  publish: 1,
  /** To all subscribers, the sender included. */
  probe: 2,
  listen: 3,
  unsubscribe: 4,
  /** Asks for `flushed` with the same bytes, once everything before has been forwarded. */
  flush: 5,
  flushed: 6,
  message: 7,
} as const;

export interface HubFrame {
  readonly kind: number;
  readonly channel: string;
  readonly bytes: Uint8Array;
}

const HEAD = 6;
/** The largest message of a client, with its head and channel. */
const MOST = 1024 * 1024 + 512;
const NOTHING = new Uint8Array(0);

export function hubFrame(kind: number, channel: string, bytes: Uint8Array = NOTHING): Buffer {
  const frame = Buffer.allocUnsafe(HEAD + channel.length + bytes.length);
  frame.writeUInt32BE(frame.length, 0);
  frame[4] = kind;
  frame[5] = channel.length;
  frame.write(channel, HEAD, "latin1");
  frame.set(bytes, HEAD + channel.length);
  return frame;
}

/** Splits the bytes that arrive into frames. */
export class HubFrames {
  #chunks: Buffer[] = [];
  #size = 0;

  /** False for bytes that are not a frame: nothing after them can be read either. */
  read(chunk: Buffer, handle: (frame: HubFrame) => void): boolean {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    for (;;) {
      if (this.#size < HEAD) return true;
      let first = this.#chunks[0] as Buffer;
      if (first.length < HEAD) first = this.#join();
      const length = first.readUInt32BE(0);
      const start = HEAD + (first[5] as number);
      if (length < start || length > MOST) return false;
      if (this.#size < length) return true;
      if (first.length < length) first = this.#join();
      const channel = first.toString("latin1", HEAD, start);
      // A copy, so that a message that is stored does not keep a large chunk alive.
      const bytes = new Uint8Array(first.subarray(start, length));
      if (first.length === length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(length);
      this.#size -= length;
      handle({ kind: first[4] as number, channel, bytes });
    }
  }

  #join(): Buffer {
    const all = Buffer.concat(this.#chunks, this.#size);
    this.#chunks = [all];
    return all;
  }
}
