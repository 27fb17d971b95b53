/**
 * Envelopes carry messages between nodes: Sender numbers and encodes them, Receiver decodes them
 * and finds gaps, duplicates and echoes.
 *
 * Each sender numbers its messages per stream; a stream is whatever the engine keeps in order, such
 * as a subject. The incarnation distinguishes a node from another one that was started under the
 * same name. Copies may arrive after the sender has gone or restarted; the receiver therefore
 * retains a departed sender's sequence numbers for 60 s.
 */

import { randomBytes } from "node:crypto";
import { Packr } from "msgpackr";
import type { Clock } from "simurgh/runtime";
import { show } from "#runtime";
import type { AdapterEvent, Position } from "../adapter.js";

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
  /** The same for all senders of a node, new for each start. Default: random. */
  readonly bootId?: string;
  /** Number of the node's thread. Default 0. */
  readonly thread?: number;
}

export const newBootId = (): string => randomBytes(8).toString("base64url");

/** Numbers and encodes the messages of one adapter. */
export class Sender {
  readonly node: string;
  readonly bootId: string;
  /** `<boot id>/<thread>.<random, new for each sender>` */
  readonly incarnation: string;
  readonly #sequences = new Map<string, number>();

  constructor(node: string, { bootId = newBootId(), thread = 0 }: SenderOptions = {}) {
    this.node = node;
    this.bootId = bootId;
    this.incarnation = `${bootId}/${thread}.${randomBytes(4).toString("base64url")}`;
  }

  /**
   * The bytes to send, the same for every receiver. Uses no number and returns an error for more
   * than `limit` bytes: `["error", ["too_large", size, limit]]`, and for a message that cannot be
   * encoded: `["error", ["not_encodable", why]]`.
   */
  encode(
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

/** What the receiver of an envelope has to do. */
export type Disposition = "deliver" | "echo" | "duplicate";

/** What a receiver knows of one sender. */
interface KnownSender {
  readonly node: string;
  readonly bootId: string;
  /** `<boot id>/<thread>`. */
  readonly thread: string;
  readonly streams: Map<string, Stream>;
  /** When it left; undefined while it sends. */
  goneAt: number | undefined;
}

interface Stream {
  /** The number of its last message. */
  last: number;
  /** Unsubscribed since: the next missing numbers are not a gap. */
  paused: boolean;
}

interface Boots {
  current: string;
  /** The one before, which may still send. */
  previous: string | undefined;
}

/** A bound on what strangers can make a receiver remember. */
const MAX_SENDERS = 10_000;
/** How long the sequence numbers of a departed sender are retained. */
const RETAIN_MS = 60_000;

function makeRoom(known: Map<string, unknown>): void {
  if (known.size >= MAX_SENDERS) known.delete(known.keys().next().value as string);
}

/** Decodes and classifies the messages that arrive at one adapter. */
export class Receiver {
  readonly #own: { readonly node: string; readonly bootId: string };
  /** The beginning of the incarnations of this node's threads. */
  readonly #ownPrefix: string;
  readonly #onEvent: (event: AdapterEvent) => void;
  readonly #clock: Pick<Clock, "now">;
  readonly #senders = new Map<string, KnownSender>();
  readonly #boots = new Map<string, Boots>();
  readonly #reportedDuplicates = new Set<string>();
  /** Messages that were not envelopes of this version. */
  unreadable = 0;
  duplicates = 0;
  /** Messages known to be lost. */
  lost = 0;

  constructor(
    own: { readonly node: string; readonly bootId: string },
    onEvent: (event: AdapterEvent) => void,
    clock: Pick<Clock, "now"> = performance,
  ) {
    this.#own = own;
    this.#ownPrefix = `${own.bootId}/`;
    this.#onEvent = onEvent;
    this.#clock = clock;
  }

  /**
   * Decodes bytes from the engine. Returns undefined, and counts, what is not an envelope of this
   * version.
   */
  decode(bytes: Uint8Array): Envelope | undefined {
    try {
      const fields: unknown = packr.unpack(bytes);
      if (Array.isArray(fields) && fields[0] === ENVELOPE_VERSION) {
        const [, node, incarnation, stream, sequence, topic, dispatcher, message] = fields as unknown[];
        const texts = [node, incarnation, stream, topic, dispatcher];
        if (texts.every((text) => typeof text === "string") && Number.isSafeInteger(sequence))
          return { node, incarnation, stream, sequence, topic, dispatcher, message } as Envelope;
      }
    } catch {
      // Counted below: other programs may use the engine, too.
    }
    this.unreadable += 1;
    return undefined;
  }

  /** Decides what to do with an envelope, and counts what is missing before it. */
  classify({ node, incarnation, stream: name, sequence }: Envelope): Disposition {
    // Also messages of another thread of this node, as owner of a slot that moves: they have been
    // delivered here.
    if (incarnation.startsWith(this.#ownPrefix)) return "echo";
    const sender = this.#senders.get(incarnation) ?? this.#addSender(node, incarnation);
    const stream = sender.streams.get(name);
    if (stream !== undefined && sequence <= stream.last) {
      // A duplicate does not show that the sender still sends.
      this.duplicates += 1;
      return "duplicate";
    }
    sender.goneAt = undefined;
    this.#noteBoot(sender);
    if (stream === undefined) {
      sender.streams.set(name, { last: sequence, paused: false });
      return "deliver";
    }
    const missing = stream.last + 1;
    if (sequence > missing && !stream.paused) {
      this.lost += sequence - missing;
      this.#onEvent(["gap", node, missing, sequence - 1]);
    }
    stream.last = sequence;
    stream.paused = false;
    return "deliver";
  }

  /** The last number of each sender in a stream. */
  positions(stream: string): Omit<Position, "slot">[] {
    return [...this.#senders].flatMap(([incarnation, { node, streams }]) => {
      const known = streams.get(stream);
      return known === undefined ? [] : [{ node, incarnation, stream, last: known.last }];
    });
  }

  /** Another thread has delivered the stream up to there: no gap, and duplicates from now on. */
  skipTo({ node, incarnation, stream, last }: Position): void {
    const { streams } = this.#senders.get(incarnation) ?? this.#addSender(node, incarnation);
    streams.set(stream, { last: Math.max(last, streams.get(stream)?.last ?? 0), paused: false });
  }

  /** A stream is unsubscribed: what is missed of it is not a gap. */
  pause(name: string): void {
    for (const { streams } of this.#senders.values()) {
      const stream = streams.get(name);
      if (stream !== undefined) stream.paused = true;
    }
  }

  /** The node has left or is down; its senders count as gone until they send again. */
  nodeLeft(node: string): void {
    this.#retire((sender) => sender.node === node);
  }

  /** Marks senders as gone, and forgets those that left long ago. */
  #retire(which: (sender: KnownSender) => boolean): void {
    const now = this.#clock.now();
    for (const [incarnation, sender] of this.#senders) {
      if (sender.goneAt === undefined) {
        if (which(sender)) sender.goneAt = now;
      } else if (now - sender.goneAt > RETAIN_MS) this.#senders.delete(incarnation);
    }
  }

  /** Adds a sender, which replaces the one of the same thread. */
  #addSender(node: string, incarnation: string): KnownSender {
    const [bootId = ""] = incarnation.split("/", 1);
    const end = incarnation.lastIndexOf(".");
    const thread = end < 0 ? incarnation : incarnation.slice(0, end);
    this.#retire((sender) => sender.node === node && sender.thread === thread);
    makeRoom(this.#senders);
    const sender: KnownSender = { node, bootId, thread, streams: new Map(), goneAt: undefined };
    this.#senders.set(incarnation, sender);
    return sender;
  }

  /**
   * Tracks the boots of a node. An earlier boot that sends again after a later one means that two
   * nodes have the same name.
   */
  #noteBoot({ node, bootId }: KnownSender): void {
    if (node === this.#own.node) {
      this.duplicateName(bootId);
      return;
    }
    const boots = this.#boots.get(node);
    if (boots === undefined) {
      makeRoom(this.#boots);
      this.#boots.set(node, { current: bootId, previous: undefined });
    } else if (boots.current !== bootId) {
      const { current, previous } = boots;
      if (previous === bootId) this.#reportDuplicate(node, bootId);
      else this.#retire((sender) => sender.node === node && sender.bootId === previous);
      boots.previous = current;
      boots.current = bootId;
    }
  }

  /** A node with this node's own name was seen. */
  duplicateName(bootId: string): void {
    if (bootId !== this.#own.bootId) this.#reportDuplicate(this.#own.node, bootId);
  }

  /** Reports each boot once. */
  #reportDuplicate(node: string, bootId: string): void {
    const text = `${node} ${bootId}`;
    if (this.#reportedDuplicates.has(text) || this.#reportedDuplicates.size >= MAX_SENDERS) return;
    this.#reportedDuplicates.add(text);
    this.#onEvent(["duplicate_name", node]);
  }
}
