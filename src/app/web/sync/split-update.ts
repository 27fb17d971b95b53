/**
 * One Yjs update as several that are small enough to send. Each needs only those before it and what the receiver has
 * already, for a server refuses an update with a gap; together they say exactly what the whole one says. The deletions
 * stand in the last.
 *
 * For large pastes and long outages. An update within the limit is left as it is.
 */
import * as Y from "yjs";

type Struct = ReturnType<typeof Y.decodeUpdate>["structs"][number];

/** What an item costs beside its text: ids of its neighbours, clock, lengths. */
const ITEM_BYTES = 40;

export function splitUpdate(update: Uint8Array, limit: number): readonly Uint8Array[] {
  if (update.length <= limit) return [update];
  const { structs, ds } = Y.decodeUpdate(update);
  const parts: Uint8Array[] = [];
  let part: Struct[] = [];
  let size = 0;
  for (const struct of inCausalOrder(structs.flatMap((whole) => pieces(whole, limit)))) {
    const bytes = bytesOf(struct);
    if (size + bytes > limit && part.length > 0) {
      parts.push(encode(part));
      part = [];
      size = 0;
    }
    part.push(struct);
    size += bytes;
  }
  parts.push(encode(part, ds));
  return parts;
}

const bytesOf = (struct: Struct): number =>
  ITEM_BYTES +
  (struct instanceof Y.Item && struct.content instanceof Y.ContentString ? 3 * struct.length : 0);

/** An item of a long text as several of shorter texts, each the right neighbour of the one before, as Yjs itself cuts. */
function pieces(struct: Struct, limit: number): readonly Struct[] {
  if (!(struct instanceof Y.Item && struct.content instanceof Y.ContentString)) return [struct];
  const most = Math.max(2, Math.floor((limit - ITEM_BYTES) / 3));
  if (struct.length <= most) return [struct];
  const { client, clock } = struct.id;
  const { str } = struct.content;
  const cut: Struct[] = [];
  for (let from = 0; from < str.length; ) {
    let to = Math.min(from + most, str.length);
    // Never between the halves of a character.
    if (/[\ud800-\udbff]/.test(str[to - 1]!)) to -= 1;
    cut.push(
      new Y.Item(
        Y.createID(client, clock + from),
        null,
        from === 0 ? struct.origin : Y.createID(client, clock + from - 1),
        null,
        struct.rightOrigin,
        struct.parent,
        struct.parentSub,
        new Y.ContentString(str.slice(from, to)),
      ),
    );
    from = to;
  }
  return cut;
}

/** Every struct after those that it names. The structs of one client are in order already. */
function inCausalOrder(structs: readonly Struct[]): readonly Struct[] {
  const queues = new Map<number, Struct[]>();
  for (const struct of structs) {
    if (struct instanceof Y.Skip) continue;
    const queue = queues.get(struct.id.client);
    if (queue) queue.push(struct);
    else queues.set(struct.id.client, [struct]);
  }
  /** The clock up to which each client's structs of this update have been taken. */
  const done = new Map<number, number>([...queues].map(([client, queue]) => [client, queue[0]!.id.clock]));
  const next = new Map<number, number>([...queues.keys()].map((client) => [client, 0]));
  const isThere = (id: { client: number; clock: number } | null): boolean =>
    id === null || !done.has(id.client) || id.clock < done.get(id.client)!;
  const isReady = (struct: Struct): boolean =>
    !(struct instanceof Y.Item) ||
    (isThere(struct.origin) &&
      isThere(struct.rightOrigin) &&
      (!(struct.parent instanceof Y.ID) || isThere(struct.parent)));

  const ordered: Struct[] = [];
  for (let moved = true; moved; ) {
    moved = false;
    for (const [client, queue] of queues) {
      let at = next.get(client)!;
      while (at < queue.length && isReady(queue[at]!)) {
        const struct = queue[at]!;
        ordered.push(struct);
        done.set(client, struct.id.clock + struct.length);
        at += 1;
        moved = true;
      }
      next.set(client, at);
    }
  }
  return ordered;
}

/** The format of Yjs's updates, version 1: for each client its structs, then the deletions. */
function encode(structs: readonly Struct[], deletions?: ReturnType<typeof Y.decodeUpdate>["ds"]): Uint8Array {
  const encoder = new Y.UpdateEncoderV1();
  const byClient = new Map<number, Struct[]>();
  for (const struct of structs) {
    const own = byClient.get(struct.id.client);
    if (own) own.push(struct);
    else byClient.set(struct.id.client, [struct]);
  }
  encoder.writeLen(byClient.size);
  for (const [client, own] of byClient) {
    encoder.writeLen(own.length);
    encoder.writeClient(client);
    encoder.writeLen(own[0]!.id.clock);
    for (const struct of own) struct.write(encoder, 0);
  }
  encoder.writeLen(deletions?.clients.size ?? 0);
  for (const [client, ranges] of deletions?.clients ?? []) {
    encoder.writeLen(client);
    encoder.writeLen(ranges.length);
    for (const { clock, len } of ranges) {
      encoder.writeLen(clock);
      encoder.writeLen(len);
    }
  }
  return encoder.toUint8Array();
}
