/**
 * Splits large states and diffs into frames that clients and event loops can process one by one.
 */
import type { Meta } from "../tracker/delta.js";
import { groupByKey, type PresenceDiff, type PresenceEntry, type Presences, setOwn } from "./payload.js";

type Named = readonly [key: string, meta: Meta];

/** Entries of one frame: about as many keys, and with metas of ordinary size far below 256 KiB. */
export const CHUNK_ENTRIES = 1000;
/** Bytes of one frame, for metas that are not of ordinary size. */
const CHUNK_BYTES = 256 * 1024;

/**
 * About as many characters as its JSON has; encoding it only to measure it would cost twice as
 * much.
 */
function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length + 3;
  if (typeof value !== "object" || value === null) return 10;
  let size = 2;
  for (const [key, item] of Object.entries(value)) size += key.length + 3 + sizeOf(item);
  return size;
}

/** Consecutive pieces of at most 1,000 entries and about 256 KiB; at least one, even of nothing. */
export function chunked(entries: readonly Named[]): readonly (readonly Named[])[] {
  if (entries.length <= 100) return [entries];
  const pieces: Named[][] = [[]];
  let bytes = 0;
  for (const entry of entries) {
    let piece = pieces.at(-1) as Named[];
    const size = entry[0].length + sizeOf(entry[1]);
    if (piece.length >= CHUNK_ENTRIES || (piece.length > 0 && bytes + size > CHUNK_BYTES)) {
      piece = [];
      pieces.push(piece);
      bytes = 0;
    }
    piece.push(entry);
    bytes += size;
  }
  return pieces;
}

/** A large diff as several: joins before leaves, which is how clients apply one. */
export function diffChunks(joins: readonly Named[], leaves: readonly Named[]): readonly PresenceDiff[] {
  if (joins.length + leaves.length <= 100) return [{ joins: groupByKey(joins), leaves: groupByKey(leaves) }];
  // An update's two sides must not be torn apart, or clients see the key go or come twice.
  const leavingKeys = new Map<string, Named[]>();
  for (const named of leaves) {
    const ofKey = leavingKeys.get(named[0]);
    if (ofKey === undefined) leavingKeys.set(named[0], [named]);
    else ofKey.push(named);
  }
  const chunks: PresenceDiff[] = [];
  for (const piece of joins.length === 0 ? [] : chunked(joins)) {
    const along: Named[] = [];
    for (const [key] of piece) {
      along.push(...(leavingKeys.get(key) ?? []));
      leavingKeys.delete(key);
    }
    chunks.push({ joins: groupByKey(piece), leaves: groupByKey(along) });
  }
  const rest = [...leavingKeys.values()].flat();
  for (const piece of rest.length === 0 ? [] : chunked(rest))
    chunks.push({ joins: {}, leaves: groupByKey(piece) });
  return chunks;
}

const cut = new WeakMap<Presences, readonly Presences[]>();

/**
 * The parts of a state: the first is one, the others are to be added to it. The same parts for all
 * who get the same state.
 */
export function stateChunks(presences: Presences): readonly Presences[] {
  const known = cut.get(presences);
  if (known !== undefined) return known;
  const parts = cutState(presences);
  cut.set(presences, parts);
  return parts;
}

function cutState(presences: Presences): readonly Presences[] {
  const keys = Object.keys(presences);
  if (keys.length <= 100) return [presences];
  const pieces: Record<string, PresenceEntry>[] = [];
  let count = CHUNK_ENTRIES;
  let bytes = 0;
  for (const key of keys) {
    const entry = presences[key] as PresenceEntry;
    const size = key.length + sizeOf(entry);
    if (count + entry.metas.length > CHUNK_ENTRIES || bytes + size > CHUNK_BYTES) {
      pieces.push({});
      count = 0;
      bytes = 0;
    }
    setOwn(pieces.at(-1) as Record<string, PresenceEntry>, key, entry);
    count += entry.metas.length;
    bytes += size;
  }
  return pieces;
}
