/**
 * RoomPersistence makes the edits of a room durable. Part of the room's process, which passes on
 * the messages that come for it.
 *
 *   ok ──a store fails──▶ degraded ──too much waits──▶ read_only
 *    ▲                       │  ▲                          │
 *    └──────all stored───────┘  └────half of it stored─────┘
 *
 * One store is under way at a time, with everything that had gathered when it began; so the log
 * stays in order, and a slow database makes larger stores, not more. A store that fails is
 * repeated, later and later, with the same edits at its head; an edit that may be taken back is
 * answered at its first failure. What is due besides, the projection of the text and snapshots,
 * goes along with what is stored anyway.
 */
import { backoff, cancelTimer, type Ref, self, send, sendAfter, sleep, thisNode } from "simurgh/runtime";
import type { SharedDocument } from "../document/shared-document.js";
import type { Outcome, Repository } from "../storage/repository-client.js";
import type { Appended, LogTail, Snapshot } from "../storage/room-log.js";
import { type UnsavedEdit, WriteQueue } from "./write-queue.js";

export type Persistence = "ok" | "degraded" | "read_only";

/** Who waits for an edit to be stored. */
export interface Waiting {
  stored(seq: number): void;
  /** There when the edit is to be taken back rather than tried again. */
  failed?(): void;
}

export interface SavingEvents {
  /** The persistence changed. */
  changed(persistence: Persistence): void;
  /** All revocable edits were answered as failed. */
  takenBack(): void;
  /** Others have written to the log. */
  behind(tail: LogTail): void;
  /** Nothing can be stored any more by this process. */
  lost(reason: string): void;
}

type Message =
  | readonly ["saving", "stored", Outcome<Appended>, count: number]
  | readonly ["saving", "read", Outcome<LogTail>]
  | readonly ["saving", "snapshot stored", seq: number, ok: boolean]
  | readonly ["saving", "again" | "project" | "quiet" | "look"];

export const isForSaving = (message: unknown): message is Message =>
  Array.isArray(message) && message[0] === "saving";

/** Bytes that may wait: of one room, and of all rooms of this thread. */
const MAX_ROOM_BYTES = 4 * 1024 * 1024;
const MAX_ALL_BYTES = 64 * 1024 * 1024;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5000;
/** Of reading what others have written, and of snapshots: no client waits for those. */
const READ_RETRY = [1000, 15_000] as const;
const SNAPSHOT_RETRY = [1000, 60_000] as const;
/** The projection is that old at the most while users write. */
const PROJECT_MS = 1000;
const SNAPSHOT_ROWS = 500;
const SNAPSHOT_BYTES = 256 * 1024;
/**
 * Steps (see document/dry-run.ts) that replaying the log since the last snapshot may take: some 100
 * ms.
 */
const SNAPSHOT_STEPS = 1_000_000;
/** After so long without an edit the text is worth going back to. */
const QUIET_MS = 60_000;
/** Milliseconds that all may take to be stored when the room ends. */
const LAST_STORE_MS = 7000;

/** The time as timers see it, in ms. */
export const now = (): number => thisNode().clock.now();

/** Of all rooms of this thread. */
let bytesOfAll = 0;
let storedOfAll = 0;
let failuresOfAll = 0;

/** What the rooms of this thread have stored, and what of it waits. */
export const savingFigures = () => ({
  /** Bytes of edits that are not stored yet. */
  unsavedBytes: bytesOfAll,
  /** Edits that were stored, and acknowledged to who waited for it. */
  stored: storedOfAll,
  /** Stores that failed and are repeated. */
  failures: failuresOfAll,
});

export class RoomPersistence {
  readonly #id: number;
  readonly #epoch: string;
  readonly #repository: Repository;
  readonly #document: SharedDocument;
  readonly #events: SavingEvents;
  readonly #unsaved: WriteQueue<Waiting>;
  #persistence: Persistence = "ok";
  #failures = 0;
  /** A store is under way. */
  #storing = false;
  /** How many edits there had been when the text was last written. */
  #projected = 0;
  #projectedAt = 0;
  #timers = new Map<string, Ref>();
  #rows: number;
  #rowBytes: number;
  #rowSteps = 0;
  #authors = new Set<number>();
  /** The document has every row of the log up to this one. */
  #seen: number;
  #reading = false;
  #readFailures = 0;
  #snapshotUnderWay = false;
  #snapshotFailures = 0;
  /** Of the snapshot under way. */
  #snapshotAuthors: readonly number[] = [];
  /** Not to be tried again before. */
  #snapshotFrom = 0;
  #snapshotSeq: number;

  constructor(
    room: {
      readonly id: number;
      readonly epoch: string;
      readonly seq: number;
      readonly snapshotSeq: number;
      readonly logBytes: number;
    },
    repository: Repository,
    document: SharedDocument,
    events: SavingEvents,
  ) {
    this.#id = room.id;
    this.#epoch = room.epoch;
    this.#repository = repository;
    this.#document = document;
    this.#events = events;
    this.#unsaved = new WriteQueue();
    this.#seen = room.seq;
    this.#snapshotSeq = room.snapshotSeq;
    this.#rows = room.seq - room.snapshotSeq;
    this.#rowBytes = room.logBytes;
    // What a process that was killed had stored but not projected.
    if (room.snapshotSeq < room.seq) {
      this.#projected = -1;
      this.#arm("project", PROJECT_MS);
    }
  }

  get persistence(): Persistence {
    return this.#persistence;
  }

  get unsavedBytes(): number {
    return this.#unsaved.bytes;
  }

  /** The last row of the log that the document has, when the log has all of the document too. */
  get settledSeq(): number | undefined {
    return this.#unsaved.isEmpty && !this.#storing && !this.#reading && !this.#snapshotUnderWay
      ? this.#seen
      : undefined;
  }

  /** Whether there is an edit that may be taken back yet. */
  get hasRevocable(): boolean {
    return this.#unsaved.all().some(({ waiters }) => waiters.some(({ failed }) => failed !== undefined));
  }

  /** Whether another edit may wait. */
  get hasRoom(): boolean {
    if (this.#persistence === "read_only") return false;
    if (this.#unsaved.bytes < MAX_ROOM_BYTES && bytesOfAll < MAX_ALL_BYTES) return true;
    this.#become("read_only");
    this.#arm("again", LAST_RETRY_MS);
    return false;
  }

  /** Has an edit that the document has got stored; it took `steps` to apply. */
  add(userId: number | null, bytes: Uint8Array, waiting: Waiting, steps = 0): void {
    this.#rowSteps += steps;
    this.#unsaved.add({ userId, bytes }, waiting);
    bytesOfAll += bytes.length;
    if (userId !== null) this.#authors.add(userId);
    // A client waits for the answer: the database may be back already.
    if (waiting.failed !== undefined) this.#disarm("again");
    this.#store();
  }

  /** Tells when everything that is in the document now is stored. */
  whenStored(waiting: Waiting): void {
    if (!this.#unsaved.follow(waiting)) waiting.stored(this.#seen);
  }

  handle(message: Message): void {
    if (message[1] === "stored") this.#answered(message[2], message[3]);
    else if (message[1] === "read") this.#wasRead(message[2]);
    else if (message[1] === "snapshot stored") this.#snapshotAnswered(message[2], message[3]);
    else {
      this.#timers.delete(message[1]);
      if (message[1] === "quiet") this.snapshot();
      else if (message[1] === "look") this.look();
      else this.#store();
    }
  }

  /** Reads what others have written to the log. */
  look(): void {
    this.#disarm("look");
    if (this.#reading) return;
    this.#reading = true;
    const me = self();
    void this.#repository
      .updatesAfter(this.#id, this.#epoch, this.#seen)
      .then((tail) => send(me, ["saving", "read", tail]));
  }

  /** Looks after a while, unless something else tells sooner. */
  lookSoon(ms: number): void {
    this.#arm("look", ms);
  }

  #wasRead(tail: Outcome<LogTail>): void {
    this.#reading = false;
    if (tail[0] === "error") {
      this.#readFailures += 1;
      if (tail[1] === "unavailable") this.lookSoon(backoff(this.#readFailures - 1, ...READ_RETRY));
      else this.#events.lost(tail[1]);
      return;
    }
    this.#readFailures = 0;
    const { seq } = tail[1];
    if (seq <= this.#seen) return;
    this.#events.behind(tail[1]);
    this.#seen = seq;
  }

  /** Milliseconds until a snapshot may be tried again, after one that failed. */
  get snapshotWaitMs(): number {
    return Math.max(0, this.#snapshotFrom - now());
  }

  /** Has the present state kept. True when that is not necessary. */
  snapshot(): boolean {
    if (this.#seen === this.#snapshotSeq) return this.#unsaved.isEmpty;
    if (this.#snapshotUnderWay || this.snapshotWaitMs > 0) return false;
    this.#snapshotUnderWay = true;
    const seq = this.#seen;
    const me = self();
    void this.#repository
      .saveSnapshot(this.#present(seq))
      .then(([status]) => send(me, ["saving", "snapshot stored", seq, status === "ok"]));
    return false;
  }

  /**
   * What is in the document beyond the log so far does no harm there: it comes again with its row.
   */
  #present(seq: number): Snapshot {
    const authors = [...this.#authors];
    this.#authors.clear();
    this.#snapshotAuthors = authors;
    const { text } = this.#document;
    return { id: this.#id, epoch: this.#epoch, seq, state: this.#document.encode(), text, authors };
  }

  /**
   * At the end: stores all that waits, and a snapshot, one way or the other. Resolves with whether
   * it could.
   */
  async finish(): Promise<boolean> {
    const deadline = now() + LAST_STORE_MS;
    for (const name of [...this.#timers.keys()]) this.#disarm(name);
    for (let tries = 1; !this.#unsaved.isEmpty && now() < deadline; tries += 1) {
      this.#unsaved.putBack();
      const edits = this.#unsaved.take();
      const outcome = await this.#append(edits, undefined);
      if (outcome[0] === "ok") this.#confirm(outcome[1].first);
      else await sleep(Math.ceil(backoff(tries - 1, FIRST_RETRY_MS, 2000)));
    }
    if (!this.#unsaved.isEmpty) return false;
    if (this.#seen === this.#snapshotSeq) return true;
    const [status] = await this.#repository.saveSnapshot(this.#present(this.#seen));
    return status === "ok";
  }

  /** What waits counts no longer, whatever becomes of it. */
  drop(): void {
    bytesOfAll -= this.#unsaved.bytes;
  }

  #store(): void {
    if (this.#storing || this.#timers.has("again")) return;
    const edits = this.#unsaved.take();
    const all = edits.length === this.#unsaved.all().length;
    const due = this.#unsaved.added !== this.#projected;
    const time = now();
    const urgent = edits.some(({ waiters }) => waiters.some(({ failed }) => failed !== undefined));
    const project = all && due && (urgent || time - this.#projectedAt >= PROJECT_MS);
    if (edits.length === 0 && !project) {
      if (due) this.#arm("project", PROJECT_MS);
      else if (bytesOfAll < MAX_ALL_BYTES) this.#become("ok");
      return;
    }
    this.#storing = true;
    if (project) {
      this.#projectedAt = time;
      this.#projected = this.#unsaved.added;
    }
    const me = self();
    void this.#append(edits, project ? this.#document.text : undefined).then((outcome) => {
      if (outcome[0] === "error" && project) this.#projected = -1;
      send(me, ["saving", "stored", outcome, edits.length]);
    });
  }

  #append(edits: readonly UnsavedEdit<Waiting>[], text: string | undefined) {
    return this.#repository.appendUpdates({
      id: this.#id,
      epoch: this.#epoch,
      entries: edits.map(({ userId, bytes }) => ({ userId, bytes })),
      text,
    });
  }

  #confirm(first: number): void {
    const edits = this.#unsaved.confirm();
    // Otherwise another node has written, or a commit that seemed to fail has succeeded.
    if (first === this.#seen + 1) this.#seen += edits.length;
    else this.look();
    storedOfAll += edits.length;
    edits.forEach(({ bytes, waiters }, index) => {
      bytesOfAll -= bytes.length;
      this.#rows += 1;
      this.#rowBytes += bytes.length;
      for (const waiting of waiters) waiting.stored(first + index);
    });
  }

  #answered(outcome: Outcome<Appended>, count: number): void {
    this.#storing = false;
    if (outcome[0] === "error") {
      this.#unsaved.putBack();
      if (outcome[1] === "unavailable") this.#failed();
      else this.#events.lost(outcome[1]);
      return;
    }
    this.#failures = 0;
    if (count > 0) this.#confirm(outcome[1].first);
    if (this.#unsaved.isEmpty) this.#become("ok");
    else if (this.#persistence === "read_only" && this.#unsaved.bytes < MAX_ROOM_BYTES / 2)
      this.#become("degraded");
    if (this.#rows >= SNAPSHOT_ROWS || this.#rowBytes >= SNAPSHOT_BYTES || this.#rowSteps >= SNAPSHOT_STEPS)
      this.snapshot();
    if (count > 0) {
      this.#disarm("quiet");
      this.#arm("quiet", QUIET_MS);
    }
    this.#store();
  }

  #failed(): void {
    if (this.#persistence === "ok") this.#become("degraded");
    this.#failures += 1;
    failuresOfAll += 1;
    const most = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    // Before taking back: what that adds waits like the rest.
    this.#arm("again", FIRST_RETRY_MS + Math.random() * (most - FIRST_RETRY_MS));
    const revocable = this.hasRevocable;
    for (const { waiters } of this.#unsaved.all()) {
      for (const waiting of waiters) waiting.failed?.();
      waiters.splice(0, waiters.length, ...waiters.filter(({ failed }) => failed === undefined));
    }
    if (revocable) this.#events.takenBack();
  }

  #snapshotAnswered(seq: number, ok: boolean): void {
    this.#snapshotUnderWay = false;
    if (!ok) {
      for (const author of this.#snapshotAuthors) this.#authors.add(author);
      this.#snapshotFailures += 1;
      const ms = backoff(this.#snapshotFailures - 1, ...SNAPSHOT_RETRY);
      this.#snapshotFrom = now() + ms;
      this.#arm("quiet", ms);
      return;
    }
    this.#snapshotFailures = 0;
    this.#snapshotSeq = seq;
    this.#rows = this.#seen - seq;
    this.#rowBytes = 0;
    this.#rowSteps = 0;
  }

  #become(persistence: Persistence): void {
    if (this.#persistence === persistence) return;
    this.#persistence = persistence;
    this.#events.changed(persistence);
  }

  #arm(name: "again" | "project" | "quiet" | "look", ms: number): void {
    if (!this.#timers.has(name)) this.#timers.set(name, sendAfter(self(), ["saving", name], Math.ceil(ms)));
  }

  #disarm(name: string): void {
    const timer = this.#timers.get(name);
    if (timer !== undefined) cancelTimer(timer);
    this.#timers.delete(name);
  }
}
