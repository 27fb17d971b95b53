/**
 * Updates that no editor would make: structs and deletions put together by hand, in Yjs's encoding
 * V1.
 */
import * as Y from "yjs";

export type Ref = readonly [client: number, clock: number] | null;

export interface ForgedStruct {
  readonly client: number;
  readonly clock: number;
  readonly origin: Ref;
  readonly right: Ref;
  /** Undefined: deleted, and one character long. */
  readonly text?: string | undefined;
}

export type ForgedRange = readonly [client: number, clock: number, length: number];

const id = (ref: Ref): Y.ID | null => (ref === null ? null : Y.createID(ref[0], ref[1]));

export function forgeUpdate(
  structs: readonly ForgedStruct[],
  deletions: readonly ForgedRange[] = [],
): Uint8Array {
  const encoder = new Y.UpdateEncoderV1();
  const sections = new Map<number, ForgedStruct[]>();
  for (const struct of structs) {
    const own = sections.get(struct.client);
    if (own === undefined) sections.set(struct.client, [struct]);
    else own.push(struct);
  }
  encoder.writeLen(sections.size);
  for (const [client, own] of sections) {
    encoder.writeLen(own.length);
    encoder.writeClient(client);
    encoder.writeLen((own[0] as ForgedStruct).clock);
    for (const { clock, origin, right, text } of own) {
      const parent = origin === null && right === null ? "response" : null;
      const content = text === undefined ? new Y.ContentDeleted(1) : new Y.ContentString(text);
      new Y.Item(
        Y.createID(client, clock),
        null,
        id(origin),
        null,
        id(right),
        parent as never,
        null,
        content,
      ).write(encoder, 0);
    }
  }
  const ranges = new Map<number, ForgedRange[]>();
  for (const range of deletions) {
    const own = ranges.get(range[0]);
    if (own === undefined) ranges.set(range[0], [range]);
    else own.push(range);
  }
  encoder.writeLen(ranges.size);
  for (const [client, own] of ranges) {
    encoder.writeLen(client);
    encoder.writeLen(own.length);
    for (const [, clock, length] of own) {
      encoder.writeLen(clock);
      encoder.writeLen(length);
    }
  }
  return encoder.toUint8Array();
}

/** So many structs, each given by its number. */
export const forgedRun = (count: number, struct: (n: number) => ForgedStruct): readonly ForgedStruct[] =>
  Array.from({ length: count }, (_, n) => struct(n));
