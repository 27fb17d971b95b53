/**
 * The messages between replicas, and their encoding.
 *
 * They are encoded as plain arrays, which every adapter can carry. The first fields are what both
 * sides must agree on: protocol version, number of slots, hash of topics, name of the tracker. The
 * number of a node's threads is not in them.
 */

import { SLOTS } from "#pubsub";
import { show } from "#runtime";
import type { ReplicaRef } from "./clock.js";
import { type Change, type Delta, isEntry, type Meta } from "./delta.js";

export const PROTOCOL = 1;
export const HASH = "fnv1a32";

/** A replica starts. One with the same name answers NameTaken, others send their heartbeat. */
export interface Hello {
  readonly kind: "hello";
  readonly ref: ReplicaRef;
}

/** The sender has had the name of the incarnation `against` for `age` ms. */
export interface NameTaken {
  readonly kind: "name_taken";
  readonly ref: ReplicaRef;
  readonly against: string;
  readonly age: number;
}

/** The sender's clock, its new changes, and how much it has seen of other replicas. */
export interface Heartbeat {
  readonly kind: "heartbeat";
  readonly ref: ReplicaRef;
  readonly clock: number;
  readonly delta: Delta | undefined;
  readonly seen: readonly (readonly [ref: ReplicaRef, clock: number])[];
  /** A digest of the entries at `clock` by slot; not in every heartbeat. */
  readonly digest: readonly (readonly [slot: number, sum: number])[] | undefined;
}

/** Requests the changes after `since`, or all entries when `full`. */
export interface TransferRequest {
  readonly kind: "transfer_req";
  readonly ref: ReplicaRef;
  readonly to: ReplicaRef;
  readonly id: number;
  readonly since: number;
  readonly full: boolean;
}

/** A part of a delta after `since`, or of all entries when that is undefined. */
export interface TransferAck {
  readonly kind: "transfer_ack";
  readonly ref: ReplicaRef;
  readonly to: ReplicaRef;
  readonly id: number;
  readonly part: number;
  readonly parts: number;
  readonly since: number | undefined;
  readonly version: number;
  readonly changes: readonly Change[];
}

/** `ref` will not come back; the incarnation `restores` has its name when two had the same. */
export interface Permdown {
  readonly kind: "permdown";
  readonly ref: ReplicaRef;
  readonly restores: string | undefined;
}

export type Message = Hello | NameTaken | Heartbeat | TransferRequest | TransferAck | Permdown;

/** Thrown for a message that cannot be used. `code` says why. */
export class MessageError extends Error {
  override readonly name = "MessageError";
  readonly code: "malformed" | "protocol" | "slots" | "tracker";

  constructor(code: MessageError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

const KINDS = ["hello", "name_taken", "heartbeat", "transfer_req", "transfer_ack", "permdown"] as const;

// ------------------------------------------------------------------ to the wire

const changeToWire = (change: Change): unknown[] => {
  const { topic, pid, key, version } = change;
  return isEntry(change)
    ? [topic, pid, key, version, change.joined, change.first, change.meta]
    : [topic, pid, key, version];
};

const deltaToWire = ({ from, to, changes }: Delta): unknown[] => [from, to, changes.map(changeToWire)];

const refToWire = ({ name, incarnation }: ReplicaRef): unknown[] => [name, incarnation];

export function encode(tracker: string, message: Message): unknown[] {
  const head = [PROTOCOL, SLOTS, HASH, tracker, KINDS.indexOf(message.kind), refToWire(message.ref)];
  switch (message.kind) {
    case "hello":
      return head;
    case "name_taken":
      return [...head, message.against, message.age];
    case "heartbeat":
      return [
        ...head,
        message.clock,
        message.delta === undefined ? null : deltaToWire(message.delta),
        message.seen.map(([ref, clock]) => [...refToWire(ref), clock]),
        message.digest ?? null,
      ];
    case "transfer_req":
      return [...head, refToWire(message.to), message.id, message.since, message.full];
    case "transfer_ack":
      return [
        ...head,
        refToWire(message.to),
        message.id,
        message.part,
        message.parts,
        message.since ?? null,
        message.version,
        message.changes.map(changeToWire),
      ];
    case "permdown":
      return [...head, message.restores ?? null];
  }
}

// ------------------------------------------------------------------ from the wire

/**
 * Reads a message. Further fields, of later versions, are ignored. Throws `MessageError` for all
 * that is not one.
 */
export function decode(tracker: string, wire: unknown): Message {
  const fields = list(wire, "the message");
  const [protocol, slots, hash, name, kind, ref] = fields;
  if (protocol !== PROTOCOL)
    throw new MessageError(
      "protocol",
      `protocol version ${shown(protocol)} is not ${PROTOCOL}, which this node speaks`,
    );
  if (slots !== SLOTS || hash !== HASH)
    throw new MessageError(
      "slots",
      `another node has ${shown(slots)} slots by ${shown(hash)}, this one ${SLOTS} by ${HASH}: their presences stay apart`,
    );
  if (name !== tracker)
    throw new MessageError("tracker", `a message of the tracker ${shown(name)}, not of ${tracker}`);
  const from = refOf(ref);
  const rest = fields.slice(6);
  switch (typeof kind === "number" ? KINDS[kind] : undefined) {
    case "hello":
      return { kind: "hello", ref: from };
    case "name_taken":
      return { kind: "name_taken", ref: from, against: text(rest[0]), age: number(rest[1]) };
    case "heartbeat":
      return {
        kind: "heartbeat",
        ref: from,
        clock: whole(rest[0]),
        delta: rest[1] === null ? undefined : deltaOf(rest[1]),
        seen: list(rest[2], "what was seen").map((item) => {
          const [seenName, incarnation, clock] = list(item, "a clock");
          return [refOf([seenName, incarnation]), whole(clock)] as const;
        }),
        digest:
          rest[3] === null
            ? undefined
            : list(rest[3], "the digest").map((item) => {
                const [slot, sum] = list(item, "a sum");
                return [whole(slot), number(sum)] as const;
              }),
      };
    case "transfer_req":
      return {
        kind: "transfer_req",
        ref: from,
        to: refOf(rest[0]),
        id: whole(rest[1]),
        since: whole(rest[2]),
        full: flag(rest[3]),
      };
    case "transfer_ack": {
      const version = whole(rest[5]);
      const since = rest[4] === null ? undefined : whole(rest[4]);
      const parts = whole(rest[3]);
      const part = whole(rest[2]);
      if (part >= parts || (since !== undefined && since > version)) throw malformed("an answer");
      const changes = changesOf(rest[6]);
      if (changes.some((change) => change.version > version)) throw malformed("an answer's changes");
      return {
        kind: "transfer_ack",
        ref: from,
        to: refOf(rest[0]),
        id: whole(rest[1]),
        part,
        parts,
        since,
        version,
        changes,
      };
    }
    case "permdown":
      return { kind: "permdown", ref: from, restores: rest[0] === null ? undefined : text(rest[0]) };
    default:
      throw malformed("the kind of message");
  }
}

/** For an error's text, of what may have come from anywhere. */
const shown = (value: unknown): string => show(value, 100);

const malformed = (what: string): MessageError => new MessageError("malformed", `${what} is malformed`);

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed(what);
  return value;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw malformed("a text");
  return value;
}

function flag(value: unknown): boolean {
  if (typeof value !== "boolean") throw malformed("a flag");
  return value;
}

function number(value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw malformed("a number");
  return value;
}

function whole(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw malformed("a count");
  return value as number;
}

function refOf(value: unknown): ReplicaRef {
  const [name, incarnation] = list(value, "a replica");
  return { name: text(name), incarnation: text(incarnation) };
}

/** Changes as they are kept for long: of equal texts one is enough. */
function changesOf(value: unknown): readonly Change[] {
  const topics = new Map<string, string>();
  return list(value, "changes").map((item) => {
    const [topicText, pid, key, version, joined, first, meta] = list(item, "a change");
    const topic = topics.get(text(topicText)) ?? text(topicText);
    topics.set(topic, topic);
    const removal = { topic, pid: text(pid), key: text(key), version: whole(version) };
    if (meta === undefined) return removal;
    if (typeof meta !== "object" || meta === null || typeof (meta as Meta).phx_ref !== "string")
      throw malformed("a meta");
    const { phx_ref: ref } = meta as Meta;
    return {
      topic,
      pid: removal.pid,
      key: removal.key,
      version: removal.version,
      joined: number(joined),
      first: text(first) === ref ? ref : text(first),
      meta: meta as Meta,
    };
  });
}

function deltaOf(value: unknown): Delta {
  const [from, to, changes] = list(value, "a delta");
  const delta: Delta = { from: whole(from), to: whole(to), changes: changesOf(changes) };
  const inside = delta.changes.every(({ version }) => version > delta.from && version <= delta.to);
  if (delta.from > delta.to || !inside) throw malformed("a delta");
  return delta;
}
