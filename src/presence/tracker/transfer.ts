/**
 * Splits a transfer into parts that every engine can carry, sent at a rate that leaves room for
 * other messages.
 */
import type { Change } from "./delta.js";
import { sizeOf } from "./delta-log.js";
import type { TransferAck } from "./message.js";

/** Bytes of one part. Engines refuse messages above 1 MiB. */
const PART_BYTES = 192 * 1024;
/** 4 MiB/s to each replica. */
export const BYTES_PER_MS = (4 * 1024 * 1024) / 1000;

type Common = Pick<TransferAck, "ref" | "to" | "id" | "since" | "version">;

/** The parts in order, each with its size in bytes; at least one. */
export function ackParts(
  common: Common,
  changes: readonly Change[],
): readonly { readonly answer: TransferAck; readonly bytes: number }[] {
  const groups: { changes: Change[]; bytes: number }[] = [{ changes: [], bytes: 0 }];
  for (const change of changes) {
    const bytes = sizeOf(change);
    let group = groups.at(-1) as { changes: Change[]; bytes: number };
    if (group.changes.length > 0 && group.bytes + bytes > PART_BYTES) {
      group = { changes: [], bytes: 0 };
      groups.push(group);
    }
    group.changes.push(change);
    group.bytes += bytes;
  }
  return groups.map(({ changes: ofPart, bytes }, part) => ({
    answer: { kind: "transfer_ack", ...common, part, parts: groups.length, changes: ofPart },
    bytes,
  }));
}
