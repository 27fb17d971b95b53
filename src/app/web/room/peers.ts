/**
 * Where the others are in the text: the states of `y:awareness`, each of one connection, so a
 * person with two tabs has two cursors. Who they are is the server's word; positions are Yjs's
 * relative ones and become places in the text only in the editor, which may not have the letters
 * yet that they name.
 */
import { fromBase64 } from "../sync/bytes.js";

export interface Peer {
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  /** Which of the palette's colours. */
  readonly color: number;
  readonly cursor: { readonly anchor: Uint8Array; readonly head: Uint8Array } | undefined;
  /** The first line in view. */
  readonly top: Uint8Array | undefined;
}

export type Peers = ReadonlyMap<string, Peer>;

/** Colours in the palette of room.css. */
export const COLORS = 12;

/**
 * The peers after these messages, and those among them of whom one was about. What is malformed in
 * a message is as if it were not there.
 */
export function withAwareness(
  before: Peers,
  messages: readonly unknown[],
  ownId: string,
): { readonly peers: Peers; readonly changed: readonly Peer[] } {
  const peers = new Map(before);
  const changed = new Set<string>();
  for (const message of messages) {
    const { states, gone } = (message ?? {}) as { states?: unknown; gone?: unknown };
    for (const id of Array.isArray(gone) ? gone : []) peers.delete(String(id));
    for (const state of Array.isArray(states) ? states : []) {
      const peer = peerOf(state);
      if (!peer || peer.id === ownId) continue;
      peers.set(peer.id, peer);
      changed.add(peer.id);
    }
  }
  return { peers, changed: [...changed].flatMap((id) => peers.get(id) ?? []) };
}

function peerOf(state: unknown): Peer | undefined {
  if (typeof state !== "object" || state === null) return undefined;
  const { id, user_id, name, color, cursor, top } = state as Record<string, unknown>;
  if (typeof id !== "string" || (typeof user_id !== "number" && typeof user_id !== "string"))
    return undefined;
  const { anchor, head } = (cursor ?? {}) as { anchor?: unknown; head?: unknown };
  const [from, to] = [fromBase64(anchor), fromBase64(head)];
  return {
    id,
    userId: String(user_id),
    name: typeof name === "string" && name !== "" ? name : "Someone",
    color: colorOf(color) ?? 0,
    cursor: from && to ? { anchor: from, head: to } : undefined,
    top: fromBase64(top),
  };
}

/** A colour of the palette, or undefined. */
export const colorOf = (color: unknown): number | undefined =>
  typeof color === "number" && Number.isInteger(color) && color >= 0 && color < COLORS ? color : undefined;

/** The colour of each person who is known by a cursor; all tabs of a person have the same one. */
export const colorsOf = (peers: Peers): ReadonlyMap<string, number> =>
  new Map([...peers.values()].map((peer) => [peer.userId, peer.color]));
