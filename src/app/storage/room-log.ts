/**
 * The durable side of rooms: for each, a log of the updates of its document, and snapshots that
 * shorten it.
 *
 * The log is the truth, and has no gaps: row `n` follows row `n - 1`, and `rooms.last_seq` is the
 * last. Rows are numbered under the lock of the room's row, so any number of processes may write:
 * on one node there is one, on several nodes one each, and an old one may be slow to die. Each
 * learns from the number it gets whether others have written meanwhile, and reads what. An update
 * may stand in the log twice, after a commit whose outcome was unknown or because two nodes had it:
 * writing the same twice changes nothing. So no row is lost, whichever process dies.
 *
 * `challenges.response` is a projection of the log: written along with it, for those who only read.
 */
import { type StoredDocument, textHash } from "../document/document-loading.js";
import { normalText, seedState } from "../document/shared-document.js";
import { RepeatedLog } from "../repeated-log.js";
import { type Challenge, type ChallengeView, challengeView } from "./challenges.js";
import type { Database, Outcome } from "./database.js";
import { isMistake } from "./database-error.js";
import { GroupCommit, type GroupCommitFigures } from "./group-commit.js";
import { superfluous } from "./snapshot-thinning.js";
import type { Transaction } from "./transactions.js";

/** Where rows were put. */
export interface Appended {
  readonly first: number;
}

/** What a room lacks: the rows after the one it asked for. */
export interface LogTail {
  readonly seq: number;
  readonly updates: readonly Uint8Array[];
}

/** What a room starts from. */
export interface OpenedRoom {
  readonly challenge: ChallengeView;
  /** Names this incarnation of the document. */
  readonly epoch: string;
  /** The last row of the log. */
  readonly seq: number;
  /** The row that the newest snapshot is of. */
  readonly snapshotSeq: number;
  /**
   * The newest snapshot with the rows after it; and the one before, should the newest be damaged.
   */
  readonly stored: readonly StoredDocument[];
}

export interface LogEntry {
  /** Whose edit it is. Null: the server's own. */
  readonly userId: number | null;
  readonly bytes: Uint8Array;
}

export interface Append {
  readonly id: number;
  readonly epoch: string;
  readonly entries: readonly LogEntry[];
  /** The text after the last entry, when it is time to write it. */
  readonly text: string | undefined;
}

export interface Snapshot {
  readonly id: number;
  readonly epoch: string;
  /** Every row up to this one is in it, and maybe more. */
  readonly seq: number;
  readonly state: Uint8Array;
  readonly text: string;
  /** Who has edited since the one before. */
  readonly authors: readonly number[];
}

/** A new document with the same text, in place of one that is full of traces of deleted text. */
export interface Compaction {
  readonly id: number;
  readonly epoch: string;
  /** The last row of the log that the text has. */
  readonly seq: number;
  readonly state: Uint8Array;
  readonly text: string;
}

/** A former state of a room that can be looked at and gone back to. */
export interface RoomVersion {
  readonly seq: number;
  readonly at: string;
  readonly authors: readonly number[];
}

/** The snapshot of some version. */
export interface RoomVersionState {
  readonly seq: number;
  readonly state: Uint8Array;
  readonly hash: string;
}

/** A commit of that many bytes is done well before its deadline. */
const GROUP = { waitMs: 5, weight: 4 * 1024 * 1024 };
const ROWS_PER_INSERT = 256;
/** Bytes of a row besides those of its edit, with room to spare. */
const ROW_BYTES = 200;
/** Of one snapshot: as many as their column holds. */
const MAX_AUTHORS = 80;

const ok = <T>(value: T): Outcome<T> => ["ok", value];
const failed = (failure: "not_found" | "fenced" | "behind" | "damaged"): Outcome<never> => ["error", failure];

interface RoomRow {
  readonly challenge_id: number;
  readonly epoch: string;
  readonly last_seq: number;
}

type LogRow = readonly [id: number, seq: number, userId: number | null, bytes: Uint8Array, at: number];

interface SnapshotRow {
  readonly upto_seq: number;
  readonly state: Uint8Array;
  readonly text_hash: string;
}

const marks = (rows: number, columns: number): string =>
  Array.from({ length: rows }, () => `(${Array.from({ length: columns }, () => "?").join(",")})`).join(",");

/** A plain view of bytes that a driver gave, fit to cross to another thread. */
const plainBytes = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

/** Rows as many as one statement may have, in order. */
function* batchesOf(rows: readonly LogRow[], mostBytes: number): Iterable<readonly LogRow[]> {
  let batch: LogRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    const size = row[3].length + ROW_BYTES;
    if (batch.length === ROWS_PER_INSERT || (batch.length > 0 && bytes + size > mostBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(row);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

const damage = new RepeatedLog();

export function roomLog({ transactions, dialect }: Database) {
  // SQLite has one lock for all, which a transaction that writes has already. On MySQL rows are
  // locked in the order of their key, and no others, whatever else the optimiser would prefer for a
  // long list.
  const [index, forUpdate] = dialect === "mysql" ? [" FORCE INDEX (PRIMARY)", " FOR UPDATE"] : ["", ""];
  const insertOnce = dialect === "mysql" ? "INSERT IGNORE" : "INSERT OR IGNORE";

  /**
   * For the first statement of a transaction. The rooms have been opened, so their rows are there.
   */
  const lockRooms = async (
    transaction: Transaction,
    ids: readonly number[],
  ): Promise<Map<number, RoomRow>> => {
    const rows = await transaction.query<RoomRow>(
      `SELECT challenge_id, epoch, last_seq FROM rooms${index} WHERE challenge_id IN ${marks(1, ids.length)} ORDER BY challenge_id${forUpdate}`,
      ids,
    );
    return new Map(rows.map((row) => [row.challenge_id, numbers(row)]));
  };

  const findRoom = async (transaction: Transaction, id: number): Promise<RoomRow | undefined> => {
    const [row] = await transaction.query<RoomRow>(
      "SELECT challenge_id, epoch, last_seq FROM rooms WHERE challenge_id = ?",
      [id],
    );
    return row === undefined ? undefined : numbers(row);
  };

  /** `bigint` comes as text from some drivers. */
  const numbers = (row: RoomRow): RoomRow => ({ ...row, last_seq: Number(row.last_seq) });

  const project = async (transaction: Transaction, id: number, text: string): Promise<void> => {
    await transaction.manager
      .getRepository<Challenge>("Challenge")
      .update({ id }, { response: text, updatedAt: new Date() });
  };

  const insertSnapshot = (
    transaction: Transaction,
    id: number,
    epoch: string,
    seq: number,
    state: Uint8Array,
    text: string,
    authors: readonly number[],
  ) =>
    transaction.query(
      `INSERT INTO room_snapshots (challenge_id, upto_seq, epoch, state, text_hash, authors, created_at) VALUES ${marks(1, 7)}`,
      [
        id,
        seq,
        epoch,
        Buffer.from(state),
        textHash(text),
        authors.slice(0, MAX_AUTHORS).join(","),
        Date.now(),
      ],
    );

  const log = new GroupCommit<Append, Outcome<Appended>>(
    (appends) => transactions.run((transaction) => appendAll(transaction, appends)),
    GROUP,
    isMistake,
  );

  async function appendAll(
    transaction: Transaction,
    appends: readonly Append[],
  ): Promise<readonly Outcome<Appended>[]> {
    const rooms = await lockRooms(transaction, [...new Set(appends.map(({ id }) => id))]);
    const last = new Map<number, number>();
    const rows: LogRow[] = [];
    const now = Date.now();
    const answers = appends.map(({ id, epoch, entries }): Outcome<Appended> => {
      const room = rooms.get(id);
      if (room === undefined) return failed("not_found");
      if (room.epoch !== epoch) return failed("fenced");
      const first = (last.get(id) ?? room.last_seq) + 1;
      entries.forEach(({ userId, bytes }, index) => {
        rows.push([id, first + index, userId, Buffer.from(bytes), now]);
      });
      last.set(id, first + entries.length - 1);
      return ok({ first });
    });
    for (const some of batchesOf(rows, transaction.maxValueBytes))
      await transaction.query(
        `INSERT INTO room_updates (challenge_id, seq, user_id, bytes, created_at) VALUES ${marks(some.length, 5)}`,
        some.flat(),
      );
    for (const [id, seq] of last)
      await transaction.query("UPDATE rooms SET last_seq = ? WHERE challenge_id = ?", [seq, id]);
    for (const [index, { id, text }] of appends.entries())
      if (text !== undefined && answers[index]?.[0] === "ok") await project(transaction, id, text);
    return answers;
  }

  /** The newest snapshots, and every row after each. */
  async function read(
    transaction: Transaction,
    room: RoomRow,
  ): Promise<Outcome<Omit<OpenedRoom, "challenge">>> {
    const { challenge_id: id, epoch, last_seq: seq } = room;
    const snapshots = await transaction.query<SnapshotRow>(
      "SELECT upto_seq, state, text_hash FROM room_snapshots WHERE challenge_id = ? AND epoch = ? ORDER BY upto_seq DESC LIMIT 2",
      [id, epoch],
    );
    const oldest = Number(snapshots.at(-1)?.upto_seq ?? 0);
    const rows = await transaction.query<{ readonly seq: number; readonly bytes: Uint8Array }>(
      "SELECT seq, bytes FROM room_updates WHERE challenge_id = ? AND seq > ? ORDER BY seq",
      [id, oldest],
    );
    const stored: StoredDocument[] = [];
    let snapshotSeq = 0;
    for (const { upto_seq, state, text_hash: hash } of snapshots) {
      const from = Number(upto_seq);
      const after = rows.filter((row) => Number(row.seq) > from);
      const whole = after.length === seq - from && after.every((row, n) => Number(row.seq) === from + 1 + n);
      if (whole) {
        if (stored.length === 0) snapshotSeq = from;
        stored.push({
          state: plainBytes(state),
          hash,
          updates: after.map(({ bytes }) => plainBytes(bytes)),
        });
      } else {
        const text = `[phoenixpair] room ${id}: rows are missing between ${from} and ${seq}`;
        damage.trouble(text, text);
      }
    }
    if (stored.length > 0) return ok({ epoch, seq, snapshotSeq, stored });
    return failed("damaged");
  }

  /** Undefined: the challenge is there, its document is not. */
  async function readRoom(transaction: Transaction, id: number): Promise<Outcome<OpenedRoom> | undefined> {
    const challenge = await transaction.manager.getRepository<Challenge>("Challenge").findOneBy({ id });
    if (challenge === null) return failed("not_found");
    const room = await findRoom(transaction, id);
    if (room === undefined) return undefined;
    const found = await read(transaction, room);
    return found[0] === "ok" ? ok({ ...found[1], challenge: challengeView(challenge) }) : found;
  }

  /** Makes the document of a challenge, unless another is faster. */
  async function makeRoom(transaction: Transaction, id: number): Promise<void> {
    const epoch = crypto.randomUUID();
    await transaction.query(
      `${insertOnce} INTO rooms (challenge_id, epoch, last_seq) SELECT id, ?, 0 FROM challenges WHERE id = ?`,
      [epoch, id],
    );
    if ((await findRoom(transaction, id))?.epoch !== epoch) return;
    const challenge = await transaction.manager.getRepository<Challenge>("Challenge").findOneByOrFail({ id });
    const state = seedState(challenge.response);
    await insertSnapshot(transaction, id, epoch, 0, state, normalText(challenge.response), []);
  }

  return {
    /** All of a room. Its document is made when it has none. */
    async openRoom(id: number): Promise<Outcome<OpenedRoom>> {
      const opened = await transactions.read((transaction) => readRoom(transaction, id));
      if (opened !== undefined) return opened;
      await transactions.run((transaction) => makeRoom(transaction, id));
      return (await transactions.read((transaction) => readRoom(transaction, id))) ?? failed("not_found");
    },

    /** Adds to the log. Ok means that it is on disk. */
    appendUpdates: (append: Append): Promise<Outcome<Appended>> =>
      log.add(
        append,
        append.entries.reduce((sum, { bytes }) => sum + bytes.length, append.text?.length ?? 0),
      ),

    /** What came after a row. */
    updatesAfter: (id: number, epoch: string, seq: number): Promise<Outcome<LogTail>> =>
      transactions.read(async (transaction) => {
        const room = await findRoom(transaction, id);
        if (room === undefined) return failed("not_found");
        if (room.epoch !== epoch) return failed("fenced");
        const rows = await transaction.query<{ readonly bytes: Uint8Array }>(
          "SELECT bytes FROM room_updates WHERE challenge_id = ? AND seq > ? ORDER BY seq",
          [id, seq],
        );
        if (rows.length === room.last_seq - seq)
          return ok({
            seq: room.last_seq,
            updates: rows.map(({ bytes }) => plainBytes(bytes)),
          });
        return failed("behind");
      }),

    /** Keeps a state, and forgets the rows that neither it nor the one before it needs. */
    saveSnapshot: (snapshot: Snapshot): Promise<Outcome<null>> =>
      transactions.run(async (transaction) => {
        const { id, epoch, seq, state, text, authors } = snapshot;
        const room = (await lockRooms(transaction, [id])).get(id);
        if (room === undefined) return failed("not_found");
        if (room.epoch !== epoch || room.last_seq < seq) return failed("fenced");
        const kept = await transaction.query<{ readonly upto_seq: number; readonly created_at: number }>(
          "SELECT upto_seq, created_at FROM room_snapshots WHERE challenge_id = ? ORDER BY upto_seq DESC",
          [id],
        );
        const before = kept.map((row) => ({ seq: Number(row.upto_seq), at: Number(row.created_at) }));
        // Another node was faster.
        if (before[0] !== undefined && before[0].seq >= seq) return ok(null);
        await insertSnapshot(transaction, id, room.epoch, seq, state, text, authors);
        // What was stored after this state has its own text, and may have come first.
        if (room.last_seq === seq) await project(transaction, id, text);
        await transaction.query("DELETE FROM room_updates WHERE challenge_id = ? AND seq <= ?", [
          id,
          before[0]?.seq ?? 0,
        ]);
        const now = Date.now();
        const old = superfluous([{ seq, at: now }, ...before], now);
        if (old.length > 0)
          await transaction.query(
            `DELETE FROM room_snapshots WHERE challenge_id = ? AND upto_seq IN ${marks(1, old.length)}`,
            [id, ...old],
          );
        return ok(null);
      }),

    /**
     * Begins another incarnation of the document, unless rows were written after `seq`: `behind`.
     */
    compactRoom: ({ id, epoch, seq, state, text }: Compaction): Promise<Outcome<null>> =>
      transactions.run(async (transaction) => {
        const room = (await lockRooms(transaction, [id])).get(id);
        if (room === undefined) return failed("not_found");
        if (room.epoch !== epoch) return failed("fenced");
        if (room.last_seq !== seq) return failed("behind");
        // A number of its own: the snapshot of the row before may be there already.
        const next = crypto.randomUUID();
        await transaction.query("UPDATE rooms SET epoch = ?, last_seq = ? WHERE challenge_id = ?", [
          next,
          seq + 1,
          id,
        ]);
        await insertSnapshot(transaction, id, next, seq + 1, state, text, []);
        await project(transaction, id, text);
        await transaction.query("DELETE FROM room_updates WHERE challenge_id = ?", [id]);
        return ok(null);
      }),

    /** Former states, the newest first. */
    roomVersions: (id: number): Promise<Outcome<readonly RoomVersion[]>> =>
      transactions.read(async (transaction) => {
        const rows = await transaction.query<{
          readonly upto_seq: number;
          readonly authors: string;
          readonly created_at: number;
        }>(
          "SELECT upto_seq, authors, created_at FROM room_snapshots WHERE challenge_id = ? ORDER BY upto_seq DESC LIMIT 200",
          [id],
        );
        return ok(
          rows.map(({ upto_seq, authors, created_at }) => ({
            seq: Number(upto_seq),
            at: new Date(Number(created_at)).toISOString(),
            authors: authors === "" ? [] : authors.split(",").map(Number),
          })),
        );
      }),

    roomVersion: (id: number, seq: number): Promise<Outcome<RoomVersionState>> =>
      transactions.read(async (transaction) => {
        const [row] = await transaction.query<SnapshotRow>(
          "SELECT upto_seq, state, text_hash FROM room_snapshots WHERE challenge_id = ? AND upto_seq = ?",
          [id, seq],
        );
        if (row === undefined) return failed("not_found");
        return ok({ seq, state: plainBytes(row.state), hash: row.text_hash });
      }),

    /** What waits to be appended, in stores, and how many commits there have been. */
    logFigures: async (): Promise<Outcome<GroupCommitFigures>> => ok(log.figures),

    /** Settles when all that was asked to be appended has been, or has failed. */
    logSettled: async (): Promise<Outcome<null>> => {
      await log.settled();
      return ok(null);
    },
  };
}
