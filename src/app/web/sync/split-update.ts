/**
 * One Yjs update as several that are small enough to send. Each needs only those before it and what
 * the receiver has already, for a server refuses an update with a gap; together they say exactly
 * what the whole one says. The deletions stand in the last, and in further ones where there are
 * many.
 *
 * For large pastes and long outages. An update within the limit is left as it is.
 */
import * as Y from "yjs";

type Struct = ReturnType<typeof Y.decodeUpdate>["structs"][number];

/**
 * Structs, and deleted ranges, of one part: a server refuses an update that takes long to apply.
 */
const COUNT_AT_MOST = 2_000;
/** What an item costs beside its text: ids of its neighbours, clock, lengths. */
const ITEM_BYTES = 40;

export function splitUpdate(update: Uint8Array, limit: number): readonly Uint8Array[] {
  // A struct or a range has more than two bytes.
  if (update.length <= Math.min(limit, 2 * COUNT_AT_MOST)) return [update];
  const { structs, ds } = Y.decodeUpdate(update);
  const deletions = deletionParts(ds);
  if (update.length <= limit && structs.length <= COUNT_AT_MOST && deletions.length <= 1) return [update];
  const parts: Uint8Array[] = [];
  let part: Struct[] = [];
  let size = 0;
  for (const struct of inCausalOrder(structs.flatMap((whole) => pieces(whole, limit)))) {
    const bytes = bytesOf(struct);
    if ((size + bytes > limit || part.length === COUNT_AT_MOST) && part.length > 0) {
      parts.push(encode(part));
      part = [];
      size = 0;
    }
    part.push(struct);
    size += bytes;
  }
  parts.push(encode(part, deletions[0]));
  for (const more of deletions.slice(1)) parts.push(encode([], more));
  return parts;
}

type Deletions = ReadonlyMap<number, readonly { readonly clock: number; readonly len: number }[]>;

/** The deleted ranges, so many at a time. */
function deletionParts({ clients }: ReturnType<typeof Y.decodeUpdate>["ds"]): readonly Deletions[] {
  const parts: Map<number, { clock: number; len: number }[]>[] = [];
  let count = COUNT_AT_MOST;
  for (const [client, ranges] of clients) {
    for (const range of ranges) {
      if (count === COUNT_AT_MOST) {
        parts.push(new Map());
        count = 0;
      }
      const part = parts.at(-1)!;
      const own = part.get(client);
      if (own) own.push(range);
      else part.set(client, [range]);
      count += 1;
    }
  }
  return parts;
}

const bytesOf = (struct: Struct): number =>
  ITEM_BYTES +
  (struct instanceof Y.Item && struct.content instanceof Y.ContentString ? 3 * struct.length : 0);

/**
 * An item of a long text as several of shorter texts, each the right neighbour of the one before,
 * as Yjs itself cuts.
 */
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
function encode(structs: readonly Struct[], deletions: Deletions = new Map()): Uint8Array {
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
  encoder.writeLen(deletions.size);
  for (const [client, ranges] of deletions) {
    encoder.writeLen(client);
    encoder.writeLen(ranges.length);
    for (const { clock, len } of ranges) {
      encoder.writeLen(clock);
      encoder.writeLen(len);
    }
  }
  return encoder.toUint8Array();
}
