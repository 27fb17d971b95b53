/**
 * Which other nodes are there. Each node says so every few seconds, in a *pulse*; who has not been
 * heard for three of them counts as lost. This is for people who look at a cluster, and for names
 * that are taken twice: nothing is delivered or not because of it.
 */
import { Packr } from "msgpackr";
import { SLOTS } from "../local/slot.js";

const PULSE_VERSION = 1;
/** Pulses that may be missed. */
const MISSED = 3;
/** A bound on what strangers can make a node remember. */
const MAX_MEMBERS = 10_000;

export interface Pulse {
  readonly node: string;
  readonly life: string;
  /** Milliseconds since that life began. */
  readonly ageMs: number;
  /** Counts a sender's pulses. */
  readonly number: number;
  /** Its last: the node leaves. */
  readonly leaves: boolean;
}

const packr = new Packr({ useRecords: false });

export const encodePulse = ({ node, life, ageMs, number, leaves }: Pulse): Uint8Array =>
  packr.pack([PULSE_VERSION, SLOTS, node, life, Math.round(ageMs), number, leaves]);

/** Undefined for anything else. */
export function decodePulse(bytes: Uint8Array): Pulse | undefined {
  try {
    const fields: unknown = packr.unpack(bytes);
    if (!Array.isArray(fields) || fields[0] !== PULSE_VERSION) return undefined;
    const [, , node, life, ageMs, number, leaves] = fields as unknown[];
    if (typeof node !== "string" || typeof life !== "string") return undefined;
    if (typeof ageMs !== "number" || typeof number !== "number" || typeof leaves !== "boolean")
      return undefined;
    return { node, life, ageMs, number, leaves };
  } catch {
    return undefined;
  }
}

export interface Member {
  readonly name: string;
  /** Milliseconds since it was heard last. */
  readonly heardMs: number;
}

/** `lost`: not heard any more. `left`: it said so. */
export type MemberChange = readonly [name: string, "joined" | "left" | "lost"];

interface Known {
  life: string;
  at: number;
}

export class Members {
  readonly #own: { readonly node: string; readonly life: string };
  readonly #silenceMs: number;
  readonly #known = new Map<string, Known>();
  #twinAt = Number.NEGATIVE_INFINITY;
  #younger = false;

  constructor(own: { readonly node: string; readonly life: string }, pulseMs: number) {
    this.#own = own;
    this.#silenceMs = MISSED * pulseMs + pulseMs / 2;
  }

  hear({ node, life, ageMs, leaves }: Pulse, now: number, ownAgeMs: number): readonly MemberChange[] {
    if (node === this.#own.node) {
      if (life !== this.#own.life) {
        this.#twinAt = leaves ? Number.NEGATIVE_INFINITY : now;
        this.#younger = ageMs > ownAgeMs || (ageMs === ownAgeMs && life < this.#own.life);
      }
      return [];
    }
    const known = this.#known.get(node);
    if (leaves) {
      // A farewell of the life before says nothing about the present one.
      return known?.life === life && this.#known.delete(node) ? [[node, "left"]] : [];
    }
    if (known === undefined && this.#known.size >= MAX_MEMBERS) return [];
    this.#known.set(node, { life, at: now });
    if (known === undefined) return [[node, "joined"]];
    return known.life === life
      ? []
      : [
          [node, "left"],
          [node, "joined"],
        ];
  }

  /** Who has not been heard for too long. */
  sweep(now: number): readonly MemberChange[] {
    const changes: MemberChange[] = [];
    for (const [name, { at }] of this.#known) {
      if (now - at <= this.#silenceMs) continue;
      this.#known.delete(name);
      changes.push([name, "lost"]);
    }
    return changes;
  }

  /** Nothing could be heard until now: nobody is judged by it. */
  excuse(now: number): void {
    for (const known of this.#known.values()) known.at = now;
  }

  /** Whether another node has this one's name and was there before. */
  nameTaken(now: number): boolean {
    return this.#younger && now - this.#twinAt <= this.#silenceMs;
  }

  list(now: number): readonly Member[] {
    return [...this.#known].map(([name, { at }]) => ({ name, heardMs: Math.round(now - at) }));
  }
}
