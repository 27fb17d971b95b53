/**
 * Membership tracks the other nodes of a cluster by their heartbeats. A node that misses three of
 * them is considered down.
 *
 * It is informational, for health checks and the detection of duplicate names; it never decides
 * what is delivered. Pure: the caller gives the time.
 */
import { Packr } from "msgpackr";
import { SLOTS } from "../local/slot.js";

const HEARTBEAT_VERSION = 1;
/** Heartbeats that a node may miss. */
const MISSED = 3;
/** A bound on what strangers can make a node remember. */
const MAX_MEMBERS = 10_000;

export interface Heartbeat {
  readonly node: string;
  readonly bootId: string;
  /** Milliseconds since the node started. */
  readonly ageMs: number;
  /** Counts the heartbeats of a sender. */
  readonly number: number;
  /** The last one: the node leaves. */
  readonly leaves: boolean;
}

const packr = new Packr({ useRecords: false });

export const encodeHeartbeat = ({ node, bootId, ageMs, number, leaves }: Heartbeat): Uint8Array =>
  packr.pack([HEARTBEAT_VERSION, SLOTS, node, bootId, Math.round(ageMs), number, leaves]);

/** Undefined for bytes that are not a heartbeat of this version. */
export function decodeHeartbeat(bytes: Uint8Array): Heartbeat | undefined {
  try {
    const fields: unknown = packr.unpack(bytes);
    if (!Array.isArray(fields) || fields[0] !== HEARTBEAT_VERSION) return undefined;
    const [, , node, bootId, ageMs, number, leaves] = fields as unknown[];
    if (typeof node !== "string" || typeof bootId !== "string") return undefined;
    if (typeof ageMs !== "number" || typeof number !== "number" || typeof leaves !== "boolean")
      return undefined;
    return { node, bootId, ageMs, number, leaves };
  } catch {
    return undefined;
  }
}

export interface Member {
  readonly name: string;
  /** Milliseconds since its last heartbeat. */
  readonly lastSeenMs: number;
}

/** `left`: the node has said so. `lost`: it misses heartbeats. */
export type MemberChange = readonly [name: string, "joined" | "left" | "lost"];

interface Known {
  bootId: string;
  at: number;
}

export class Membership {
  readonly #own: { readonly node: string; readonly bootId: string };
  readonly #downAfterMs: number;
  readonly #known = new Map<string, Known>();
  #duplicateAt = Number.NEGATIVE_INFINITY;
  #isYounger = false;

  constructor(own: { readonly node: string; readonly bootId: string }, heartbeatMs: number) {
    this.#own = own;
    this.#downAfterMs = MISSED * heartbeatMs + heartbeatMs / 2;
  }

  heartbeatReceived(
    { node, bootId, ageMs, leaves }: Heartbeat,
    now: number,
    ownAgeMs: number,
  ): readonly MemberChange[] {
    if (node === this.#own.node) {
      if (bootId !== this.#own.bootId) {
        this.#duplicateAt = leaves ? Number.NEGATIVE_INFINITY : now;
        this.#isYounger = ageMs > ownAgeMs || (ageMs === ownAgeMs && bootId < this.#own.bootId);
      }
      return [];
    }
    const known = this.#known.get(node);
    if (leaves) {
      // The last heartbeat of an earlier boot says nothing about the present one.
      return known?.bootId === bootId && this.#known.delete(node) ? [[node, "left"]] : [];
    }
    if (known === undefined && this.#known.size >= MAX_MEMBERS) return [];
    this.#known.set(node, { bootId, at: now });
    if (known === undefined) return [[node, "joined"]];
    return known.bootId === bootId
      ? []
      : [
          [node, "left"],
          [node, "joined"],
        ];
  }

  /** Removes the nodes that have missed too many heartbeats. */
  sweep(now: number): readonly MemberChange[] {
    const changes: MemberChange[] = [];
    for (const [name, { at }] of this.#known) {
      if (now - at <= this.#downAfterMs) continue;
      this.#known.delete(name);
      changes.push([name, "lost"]);
    }
    return changes;
  }

  /** Counts every node as seen now, after a time in which no heartbeat could arrive. */
  refreshAll(now: number): void {
    for (const known of this.#known.values()) known.at = now;
  }

  /** Whether another node has this node's name and is older. */
  isDuplicateName(now: number): boolean {
    return this.#isYounger && now - this.#duplicateAt <= this.#downAfterMs;
  }

  list(now: number): readonly Member[] {
    return [...this.#known].map(([name, { at }]) => ({ name, lastSeenMs: Math.round(now - at) }));
  }
}
