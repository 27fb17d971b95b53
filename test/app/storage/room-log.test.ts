/**
 * The log of a room on a SQLite database of its own. MariaDB: test/integration/durability.test.ts.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import * as Y from "yjs";
import { DamagedDocument, loadImage, loadText } from "../../../src/app/document/document-loading.js";
import { SharedDocument, seedState } from "../../../src/app/document/shared-document.js";
import { KeyedQueue } from "../../../src/app/keyed-queue.js";
import { createDataSource } from "../../../src/app/storage/data-source.js";
import type { Outcome } from "../../../src/app/storage/database.js";
import { type LogEntry, type OpenedRoom, roomLog } from "../../../src/app/storage/room-log.js";
import { superfluous } from "../../../src/app/storage/snapshot-thinning.js";
import { Transactions } from "../../../src/app/storage/transactions.js";

let source: ReturnType<typeof createDataSource>;
let log: ReturnType<typeof roomLog>;

beforeEach(async () => {
  source = createDataSource({ kind: "sqlite", location: ":memory:" });
  await source.initialize();
  await source.runMigrations({ transaction: "each" });
  log = roomLog({
    source,
    dialect: "sqlite",
    transactions: new Transactions(source),
    writes: new KeyedQueue<number>(),
  });
});
afterEach(() => source.destroy());

function value<T>(outcome: Outcome<T>): T {
  if (outcome[0] === "error") throw new Error(outcome[1]);
  return outcome[1];
}

const load = ({ stored }: OpenedRoom): SharedDocument => SharedDocument.fromImage(loadImage(stored));
const open = async (): Promise<OpenedRoom> => value(await log.openRoom(1));

/** Updates that write these texts at the front, one after the other. */
function typed(room: OpenedRoom, ...texts: string[]): { userId: number; bytes: Uint8Array }[] {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, load(room).updateSince(Y.encodeStateVector(doc)) as Uint8Array);
  return texts.map((text) => {
    const before = Y.encodeStateVector(doc);
    doc.getText("response").insert(0, text);
    return { userId: 1, bytes: Y.encodeStateAsUpdate(doc, before) };
  });
}

test("a room's document is made once, from the text of the challenge", async () => {
  const [one, two] = [await open(), await open()];
  expect(load(one).text).toMatch(/^\/\*\*\n \* Whether every bracket/);
  expect(one.challenge.response).toBe(load(one).text);
  expect([two.epoch, two.seq]).toEqual([one.epoch, 0]);
  expect(two.stored).toEqual(one.stored);
  expect(await log.openRoom(999)).toEqual(["error", "not_found"]);
});

test("concurrent appends are numbered without gaps, and read in that order", async () => {
  const room = await open();
  const entries = typed(room, "c", "b", "a");
  const [one, two] = await Promise.all([
    log.appendUpdates({ id: 1, epoch: room.epoch, entries: entries.slice(0, 1), text: undefined }),
    log.appendUpdates({ id: 1, epoch: room.epoch, entries: entries.slice(1), text: "projected" }),
  ]);
  expect([one, two]).toEqual([
    ["ok", { first: 1 }],
    ["ok", { first: 2 }],
  ]);
  const again = await open();
  expect([again.seq, again.challenge.response]).toEqual([3, "projected"]);
  expect(load(again).text.startsWith("abc/**")).toBe(true);
  const tail = value(await log.updatesAfter(1, room.epoch, 2));
  expect([tail.seq, tail.updates.length]).toEqual([3, 1]);
});

test("an append for another incarnation is refused, others of its group are not", async () => {
  const room = await open();
  const entries = typed(room, "x");
  const append = (id: number, epoch: string) => log.appendUpdates({ id, epoch, entries, text: undefined });
  expect(await Promise.all([append(1, "other"), append(1, room.epoch), append(999, room.epoch)])).toEqual([
    ["error", "fenced"],
    ["ok", { first: 1 }],
    ["error", "not_found"],
  ]);
});

test("a snapshot shortens the log by what the one before covers", async () => {
  const room = await open();
  const texts = ["a", "b", "c", "d"];
  for (const [n, entry] of typed(room, ...texts).entries()) {
    await log.appendUpdates({ id: 1, epoch: room.epoch, entries: [entry], text: undefined });
    if (n % 2 === 0) continue;
    const now = await open();
    const document = load(now);
    await log.saveSnapshot({
      id: 1,
      epoch: room.epoch,
      seq: now.seq,
      state: document.encode(),
      text: document.text,
      authors: [1, 2],
    });
  }
  const rows = (await source.query("SELECT seq FROM room_updates ORDER BY seq")) as { seq: number }[];
  expect(rows.map(({ seq }) => seq)).toEqual([3, 4]);
  expect(value(await log.roomVersions(1))).toMatchObject([{ seq: 4, authors: [1, 2] }, { seq: 2 }]);
  const version = value(await log.roomVersion(1, 2));
  expect(loadText(version.state, version.hash).startsWith("ba/**")).toBe(true);
  expect(await log.roomVersion(1, 3)).toEqual(["error", "not_found"]);
  expect(load(await open()).text.startsWith("dcba/**")).toBe(true);
  // Who lags behind what is left of the log has to load it all.
  expect(await log.updatesAfter(1, room.epoch, 1)).toEqual(["error", "behind"]);

  // The newest one damaged: the one before it and the rows since will do.
  await source.query("UPDATE room_snapshots SET state = x'00' WHERE upto_seq = 4");
  expect(load(await open()).text.startsWith("dcba/**")).toBe(true);
  // A row lost as well: no one may take the rest for the whole.
  await source.query("DELETE FROM room_updates WHERE seq = 3");
  const damaged = await open();
  expect(() => load(damaged)).toThrow(DamagedDocument);
  await source.query("DELETE FROM room_updates");
  await source.query("DELETE FROM room_snapshots WHERE upto_seq = 4");
  expect(await log.openRoom(1)).toEqual(["error", "damaged"]);
});

test("a compacted document has another epoch and the same text and history", async () => {
  const room = await open();
  const [first, second] = typed(room, "a", "b") as [LogEntry, LogEntry];
  await log.appendUpdates({ id: 1, epoch: room.epoch, entries: [first], text: undefined });
  const { seq, epoch } = await open();
  const text = load(await open()).text;
  await log.saveSnapshot({ id: 1, epoch, seq, state: load(await open()).encode(), text, authors: [1] });
  await log.appendUpdates({ id: 1, epoch, entries: [second], text: undefined });
  const compaction = { id: 1, epoch, seq, state: seedState(text), text };
  expect(await log.compactRoom(compaction)).toEqual(["error", "behind"]);
  expect(await log.compactRoom({ ...compaction, epoch: "other" })).toEqual(["error", "fenced"]);

  const now = load(await open()).text;
  expect(await log.compactRoom({ ...compaction, seq: 2, state: seedState(now), text: now })).toEqual([
    "ok",
    null,
  ]);
  const after = await open();
  expect(after.epoch).not.toBe(epoch);
  expect([load(after).text, after.challenge.response]).toEqual([now, now]);
  expect(await log.appendUpdates({ id: 1, epoch, entries: [second], text: undefined })).toEqual([
    "error",
    "fenced",
  ]);
  const entries = typed(after, "c");
  expect((await log.appendUpdates({ id: 1, epoch: after.epoch, entries, text: undefined }))[0]).toBe("ok");
  expect(load(await open()).text).toBe(`c${now}`);
  expect(value(await log.roomVersions(1)).map((version) => version.seq)).toEqual([3, 1, 0]);
});

test("the two newest snapshots stay, and of older ones fewer with age", () => {
  const minute = 60_000;
  const now = 10_000_000_000;
  const ages = [0, 0.1, 0.2, 1.5, 1.6, 70, 75, 90, 3000, 3100, 6000];
  const snapshots = ages.map((age, n) => ({ seq: ages.length - n, at: now - age * minute }));
  expect(superfluous(snapshots, now)).toEqual([9, 7, 5, 2]);
});
