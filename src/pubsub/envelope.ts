/**
 * The envelope in which a message crosses from node to node, and what a receiver makes of it. For adapters.
 *
 * Each sender numbers what it sends, per stream: a stream is whatever its engine keeps in order, such as a subject. The numbers tell
 * what was lost and what came twice; the incarnation tells a node from one that was started under the same name (P-034),
 * and its own echo from a namesake's message (P-710).
 */
import { randomBytes } from "node:crypto";
import { Packr } from "msgpackr";
import type { AdapterEvent } from "./adapter.js";

export const ENVELOPE_VERSION = 1;

export interface Envelope {
  readonly node: string;
  readonly incarnation: string;
  readonly stream: string;
  readonly sequence: number;
  readonly topic: string;
  readonly dispatcher: string;
  readonly message: unknown;
}

const packr = new Packr({ useRecords: false, moreTypes: true });

/** Gives each message of one adapter its number and its bytes. */
export class Sender {
  readonly node: string;
  readonly incarnation = randomBytes(8).toString("base64url");
  readonly #sequences = new Map<string, number>();

  constructor(node: string) {
    this.node = node;
  }

  /**
   * The bytes to send, the same for every receiver. Neither a number is used nor anything sent when there are more than `limit`:
   * `["error", ["too_large", size, limit]]`, or when it cannot be encoded: `["error", ["not_encodable", why]]`.
   */
  seal(
    stream: string,
    topic: string,
    message: unknown,
    dispatcher: string,
    limit: number,
  ): Uint8Array | readonly ["error", readonly unknown[]] {
    const sequence = (this.#sequences.get(stream) ?? 0) + 1;
    let bytes: Uint8Array;
    try {
      const fields = [
        ENVELOPE_VERSION,
        this.node,
        this.incarnation,
        stream,
        sequence,
        topic,
        dispatcher,
        message,
      ];
      bytes = packr.pack(fields);
    } catch (error) {
      return ["error", ["not_encodable", error instanceof Error ? error.message : String(error)]];
    }
    if (bytes.length > limit) return ["error", ["too_large", bytes.length, limit]];
    this.#sequences.set(stream, sequence);
    return bytes;
  }
}

/** What is to be done with an envelope. */
export type Verdict = "deliver" | "echo" | "duplicate";

interface Heard {
  incarnation: string;
  /** The one before, while it may still speak. */
  previous: string | undefined;
}

/** Holds what arrives against what arrived before. */
export class Receiver {
  readonly #own: { readonly node: string; readonly incarnation: string };
  readonly #tell: (event: AdapterEvent) => void;
  /** Last number by sender and stream. */
  readonly #last = new Map<string, Map<string, number>>();
  readonly #incarnations = new Map<string, Heard>();
  /** What was not an envelope of this version. */
  unreadable = 0;
  duplicates = 0;

  constructor(
    own: { readonly node: string; readonly incarnation: string },
    tell: (event: AdapterEvent) => void,
  ) {
    this.#own = own;
    this.#tell = tell;
  }

  /** Reads bytes from the engine. Undefined, and counted, when they are not an envelope this version knows. */
  open(bytes: Uint8Array): Envelope | undefined {
    try {
      const fields: unknown = packr.unpack(bytes);
      if (Array.isArray(fields) && fields[0] === ENVELOPE_VERSION) {
        const [, node, incarnation, stream, sequence, topic, dispatcher, message] = fields as unknown[];
        const texts = [node, incarnation, stream, topic, dispatcher];
        if (texts.every((text) => typeof text === "string") && Number.isSafeInteger(sequence))
          return { node, incarnation, stream, sequence, topic, dispatcher, message } as Envelope;
      }
    } catch {
      // Counted below: anything may come over an engine that others use too.
    }
    this.unreadable += 1;
    return undefined;
  }

  judge({ node, incarnation, stream, sequence }: Envelope): Verdict {
    if (incarnation === this.#own.incarnation) return "echo";
    this.#lookForTwins(node, incarnation);
    const sender = `${node} ${incarnation}`;
    let streams = this.#last.get(sender);
    if (streams === undefined) {
      streams = new Map();
      this.#last.set(sender, streams);
    }
    const last = streams.get(stream);
    if (last !== undefined && sequence <= last) {
      this.duplicates += 1;
      return "duplicate";
    }
    streams.set(stream, sequence);
    if (last !== undefined && sequence > last + 1) this.#tell(["gap", node, last + 1, sequence - 1]);
    return "deliver";
  }

  /** A stream is no longer received: what is missed of it is no gap. */
  forget(stream: string): void {
    for (const streams of this.#last.values()) streams.delete(stream);
  }

  /** An incarnation that speaks again after another one of its name means that there are two. */
  #lookForTwins(node: string, incarnation: string): void {
    if (node === this.#own.node) {
      this.#tell(["twin", node]);
      return;
    }
    const heard = this.#incarnations.get(node);
    if (heard === undefined) this.#incarnations.set(node, { incarnation, previous: undefined });
    else if (heard.incarnation !== incarnation) {
      if (heard.previous === incarnation) this.#tell(["twin", node]);
      else this.#last.delete(`${node} ${heard.previous}`);
      heard.previous = heard.incarnation;
      heard.incarnation = incarnation;
    }
  }
}
