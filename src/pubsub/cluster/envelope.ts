/**
 * The envelope in which a message crosses from node to node, and what a receiver makes of it. For
 * adapters.
 *
 * Each sender numbers what it sends, per stream: a stream is whatever its engine keeps in order,
 * such as a subject. The numbers tell what was lost and what came twice; the incarnation tells a
 * node from one that was started under the same name, and its own echo from a namesake's message. A
 * copy can be late, behind the news that its sender has gone or that a new one speaks in its place;
 * so a receiver knows the numbers of those that are gone for a while longer.
 */

import { randomBytes } from "node:crypto";
import { Packr } from "msgpackr";
import type { Clock } from "simurgh/runtime";
import { show } from "#runtime";
import type { AdapterEvent, Position } from "./adapter.js";

export const ENVELOPE_VERSION = 1;

export interface Envelope {
  readonly node: string;
  /** Of the sender. */
  readonly incarnation: string;
  readonly stream: string;
  readonly sequence: number;
  readonly topic: string;
  readonly dispatcher: string;
  readonly message: unknown;
}

const packr = new Packr({ useRecords: false, moreTypes: true });

export interface SenderOptions {
  /** The same for all senders of a node, another for each of its starts. Default: random. */
  readonly life?: string;
  /** Which of the node's threads it is. Default 0. */
  readonly thread?: number;
}

export const newLife = (): string => randomBytes(8).toString("base64url");

/** Gives each message of one adapter its number and its bytes. */
export class Sender {
  readonly node: string;
  readonly life: string;
  /** `<life>/<thread>.<this very sender>` */
  readonly incarnation: string;
  readonly #sequences = new Map<string, number>();

  constructor(node: string, { life = newLife(), thread = 0 }: SenderOptions = {}) {
    this.node = node;
    this.life = life;
    this.incarnation = `${life}/${thread}.${randomBytes(4).toString("base64url")}`;
  }

  /**
   * The bytes to send, the same for every receiver. Neither a number is used nor anything sent when
   * there are more than `limit`: `["error", ["too_large", size, limit]]`, or when it cannot be
   * encoded: `["error", ["not_encodable", why]]`.
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
      return ["error", ["not_encodable", error instanceof Error ? error.message : show(error)]];
    }
    if (bytes.length > limit) return ["error", ["too_large", bytes.length, limit]];
    this.#sequences.set(stream, sequence);
    return bytes;
  }
}

/** What is to be done with an envelope. */
export type Verdict = "deliver" | "echo" | "duplicate";

/** What is known of one sender. */
interface Heard {
  readonly node: string;
  readonly life: string;
  readonly place: string;
  readonly streams: Map<string, Stream>;
  /** When it was taken to be gone; undefined while it speaks. */
  goneAt: number | undefined;
}

interface Stream {
  /** Its last number. */
  last: number;
  /** It was not listened to since: what was missed of it is no gap. */
  paused: boolean;
}

interface Lives {
  current: string;
  /** The one before, while it may still speak. */
  previous: string | undefined;
}

/** A bound on what strangers can make a receiver remember. */
const MAX_SENDERS = 10_000;
/** How late a copy of a message can be, behind the end of its sender, and still be known. */
const RECALL_MS = 60_000;

function makeRoom(known: Map<string, unknown>): void {
  if (known.size >= MAX_SENDERS) known.delete(known.keys().next().value as string);
}

/** Holds what arrives against what arrived before. */
export class Receiver {
  readonly #own: { readonly node: string; readonly life: string };
  /** How the incarnations of this node's threads begin. */
  readonly #ownLife: string;
  readonly #tell: (event: AdapterEvent) => void;
  readonly #clock: Pick<Clock, "now">;
  readonly #senders = new Map<string, Heard>();
  readonly #lives = new Map<string, Lives>();
  readonly #twins = new Set<string>();
  /** What was not an envelope of this version. */
  unreadable = 0;
  duplicates = 0;
  /** Messages known to be lost. */
  lost = 0;

  constructor(
    own: { readonly node: string; readonly life: string },
    tell: (event: AdapterEvent) => void,
    clock: Pick<Clock, "now"> = performance,
  ) {
    this.#own = own;
    this.#ownLife = `${own.life}/`;
    this.#tell = tell;
    this.#clock = clock;
  }

  /**
   * Reads bytes from the engine. Undefined, and counted, when they are not an envelope this version
   * knows.
   */
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

  judge({ node, incarnation, stream: name, sequence }: Envelope): Verdict {
    // Also what another thread of this node sent, as owner of a slot that was this one's, or will
    // be: it has been delivered here.
    if (incarnation.startsWith(this.#ownLife)) return "echo";
    const sender = this.#senders.get(incarnation) ?? this.#meet(node, incarnation);
    const stream = sender.streams.get(name);
    if (stream !== undefined && sequence <= stream.last) {
      // Nor is it a sign of life.
      this.duplicates += 1;
      return "duplicate";
    }
    sender.goneAt = undefined;
    this.#live(sender);
    if (stream === undefined) {
      sender.streams.set(name, { last: sequence, paused: false });
      return "deliver";
    }
    const missing = stream.last + 1;
    if (sequence > missing && !stream.paused) {
      this.lost += sequence - missing;
      this.#tell(["gap", node, missing, sequence - 1]);
    }
    stream.last = sequence;
    stream.paused = false;
    return "deliver";
  }

  /** How far the stream of each sender has come. */
  positions(stream: string): Omit<Position, "slot">[] {
    return [...this.#senders].flatMap(([incarnation, { node, streams }]) => {
      const known = streams.get(stream);
      return known === undefined ? [] : [{ node, incarnation, stream, last: known.last }];
    });
  }

  /** What came up to there was received elsewhere: it is known, and no gap. */
  skipTo({ node, incarnation, stream, last }: Position): void {
    const { streams } = this.#senders.get(incarnation) ?? this.#meet(node, incarnation);
    streams.set(stream, { last: Math.max(last, streams.get(stream)?.last ?? 0), paused: false });
  }

  /** A stream is no longer received: what is missed of it is no gap. */
  pause(name: string): void {
    for (const { streams } of this.#senders.values()) {
      const stream = streams.get(name);
      if (stream !== undefined) stream.paused = true;
    }
  }

  /** That node is gone, or one of its lives. Whoever of it speaks again is not. */
  leave(node: string): void {
    this.#retire((sender) => sender.node === node);
  }

  /** Takes those to be gone; forgets who has been for long. */
  #retire(which: (sender: Heard) => boolean): void {
    const now = this.#clock.now();
    for (const [incarnation, sender] of this.#senders) {
      if (sender.goneAt === undefined) {
        if (which(sender)) sender.goneAt = now;
      } else if (now - sender.goneAt > RECALL_MS) this.#senders.delete(incarnation);
    }
  }

  /** A sender that is new, in place of the one that was in its thread before. */
  #meet(node: string, incarnation: string): Heard {
    const [life = ""] = incarnation.split("/", 1);
    const end = incarnation.lastIndexOf(".");
    const place = end < 0 ? incarnation : incarnation.slice(0, end);
    this.#retire((sender) => sender.node === node && sender.place === place);
    makeRoom(this.#senders);
    const heard: Heard = { node, life, place, streams: new Map(), goneAt: undefined };
    this.#senders.set(incarnation, heard);
    return heard;
  }

  /**
   * A life that speaks again after another one of its name means that there are two nodes of that
   * name.
   */
  #live({ node, life }: Heard): void {
    if (node === this.#own.node) {
      this.twin(life);
      return;
    }
    const lives = this.#lives.get(node);
    if (lives === undefined) {
      makeRoom(this.#lives);
      this.#lives.set(node, { current: life, previous: undefined });
    } else if (lives.current !== life) {
      const { current, previous } = lives;
      if (previous === life) this.#twin(node, life);
      else this.#retire((sender) => sender.node === node && sender.life === previous);
      lives.previous = current;
      lives.current = life;
    }
  }

  /** A life of this node's own name was heard of. */
  twin(life: string): void {
    if (life !== this.#own.life) this.#twin(this.#own.node, life);
  }

  /** Told once for each. */
  #twin(node: string, life: string): void {
    const text = `${node} ${life}`;
    if (this.#twins.has(text) || this.#twins.size >= MAX_SENDERS) return;
    this.#twins.add(text);
    this.#tell(["twin", node]);
  }
}
