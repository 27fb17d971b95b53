/**
 * A room is the process that owns the document of one challenge while users work on it.
 *
 *   new ──first request──▶ loading ──log is read──▶ live ──empty for a minute, all stored──▶ ended
 *      └──it cannot be loaded──▶ ended; requests get the reason
 *
 * It promises: what a client sends becomes part of the document as a whole or not at all; others
 * get it at once, the sender is answered once it is stored; nothing that was answered is
 * lost. Whole texts are handled the other way round, like in the tutorial: stored first, then
 * broadcast, and rolled back when storing fails.
 *
 * Channels enter and leave; who is here may write or not, as the room knows it, whatever was true
 * when they joined. For other threads there is rooms.ts. Everything that must outlive the process
 * is in storage/room-log.ts.
 */
import { Endpoint, isBroadcast, replyTo, type SocketRef } from "simurgh/channels";
import {
  cancelTimer,
  type ExitReason,
  type From,
  GenServer,
  type GenServerModule,
  monitor,
  type Pid,
  type Ref,
  self,
  send,
  sendAfter,
  trapExit,
} from "simurgh/runtime";
import * as Y from "yjs";
import { ACCESS_CHANGED, type AccessChanged, AccessWatch } from "../access/access-watch.js";
import type { Role } from "../access/role.js";
import type { DocumentImage } from "../document/document-image.js";
import type { DocumentLoader } from "../document/document-loader.js";
import { normalText, SharedDocument, seedState } from "../document/shared-document.js";
import { diff, type Hunk } from "../document/text-diff.js";
import { MAX_TEXT, MAX_UPDATE } from "../document/update-validation.js";
import { RepeatedLog } from "../repeated-log.js";
import type { ChallengeView, Failure, Outcome, Repository } from "../storage/repository-client.js";
import type { LogTail, OpenedRoom } from "../storage/room-log.js";
import { type Cursor, type JoinRequest, type Member, Members, type Participant } from "./members.js";
import { isForSaving, now, type Persistence, RoomPersistence } from "./persistence.js";
import { Rate } from "./rate.js";
import { type CursorState, HERE_EVERY_MS, RemoteCursors } from "./remote-cursors.js";
import { GROWTH, UserPace, WORK } from "./user-pace.js";

export interface RoomOptions {
  readonly id: number;
  readonly topic: string;
  readonly endpoint: string;
  readonly repository: Repository;
  readonly loader: DocumentLoader;
  /** How much work each user may make; shared by the rooms of a thread. Default: the room's own. */
  readonly work?: UserPace;
  /** By how many structs each user may make documents grow; shared likewise. */
  readonly growth?: UserPace;
}

export interface RoomStatus {
  readonly persistence: Persistence;
  readonly draining: boolean;
}

/** The reply to a join. */
export interface JoinReply {
  readonly challenge: ChallengeView;
  readonly epoch: string;
  readonly sv: Uint8Array;
  readonly status: RoomStatus;
  readonly me: Participant;
}

export interface SyncAnswer {
  readonly sv: Uint8Array;
  readonly update: Uint8Array;
  readonly states: readonly CursorState[];
}

export type RoomCall =
  | readonly ["enter", JoinRequest]
  /** The channel is subscribed now: asks for broadcasts since its join. */
  | readonly ["entered", Pid]
  | readonly ["sync", stateVector: Uint8Array]
  | readonly ["whole text", Pid, text: string]
  | readonly ["restore", userId: number, text: string]
  | readonly ["text"]
  | readonly ["drain"];

export type RoomCast =
  | readonly ["update", Pid, SocketRef, bytes: Uint8Array]
  | readonly ["cursor", Pid, Cursor]
  | readonly ["stopped typing", Pid]
  /** Without a role: may not be here any more. */
  | readonly ["access", Pid, Role | undefined, canWrite: boolean];

/**
 * What rooms of one document tell each other and no client: `{states}`, the cursors that are still
 * here.
 */
export const CURSORS_HERE = "cursors:here";

/**
 * What the room that has compacted a document tells those of other nodes and no client: `{epoch}`
 * is that of the former one.
 */
export const COMPACTED = "document:compacted";

/** What a room tells the channels that are in it. */
export type RoomNews = readonly ["room", "typing", boolean];

export const isRoomNews = (message: unknown): message is RoomNews =>
  Array.isArray(message) && message[0] === "room" && message.length === 3;

/** Typing is over so long after the last edit. */
export const TYPING_MS = 3000;
const IDLE_MS = 60_000;
/** Who wants into a room that is being loaded waits so long for an answer. */
const LOADING_MS = 8_000;
/** Loading that takes as long is not to be repeated: a snapshot is made at once. */
const SLOW_LOAD_MS = 500;
/** How long a room that takes too long to load is refused: doubled each time, up to an hour. */
const FIRST_REFUSAL_MS = 60_000;
const LAST_REFUSAL_MS = 3_600_000;
/**
 * How soon to look into the log for what was lost on the way from another node, and how often in
 * any case.
 */
const GAP_MS = 300;
const LOOK_MS = 15_000;
/**
 * After a crash clients bring back what it has lost, of each other too: so long no id is
 * protected.
 */
const YOUNG_MS = 60_000;
/**
 * Steps of work for each struct of the document that a whole text takes: its text and its history
 * go through all of them.
 */
const TEXT_STEPS_PER_STRUCT = 0.6;
/**
 * A document as near to its limits is compacted when no edit has come for a while; nearer, in any
 * case.
 */
const WORN = 0.6;
const WORN_OUT = 0.9;
const QUIET_MS = 3000;
/** What is written while it is compacted is to be sent again after so long. */
const COMPACTING_MS = 500;
const TELL_TEXT_MS = 50;
const TELL_CURSORS_MS = 50;
/** What a bad update costs of what a client may send. */
const BAD_COST = 10;
/** Characters a second of whole texts that are sent one by one; beyond, only the last of 50 ms. */
const TEXT_RATE = { perSecond: 2 * 1024 * 1024, burst: 16 * 1024 * 1024 };

const damage = new RepeatedLog();

interface Loaded {
  readonly opened: OpenedRoom;
  readonly image: DocumentImage;
  /** Whether it took long. */
  readonly slow: boolean;
}

class LoadedRoom {
  readonly document: SharedDocument;
  readonly saving: RoomPersistence;
  readonly epoch: string;
  readonly since = now();
  challenge: ChallengeView;
  /** Edits of whole texts that are not stored, and so not broadcast. */
  pendingBroadcasts: Uint8Array[] = [];

  constructor(opened: OpenedRoom, document: SharedDocument, saving: RoomPersistence) {
    this.document = document;
    this.saving = saving;
    this.epoch = opened.epoch;
    this.challenge = opened.challenge;
  }
}

/** A text that is sent to clients, with its version in the document's history. */
interface TextVersion {
  readonly text: string;
  readonly version: number;
}

const versionOf = (document: SharedDocument): TextVersion => ({
  text: document.text,
  version: document.version(),
});

class Room {
  readonly options: RoomOptions;
  readonly #members = new Members();
  readonly #work: UserPace;
  readonly #growth: UserPace;
  readonly #textRate = new Rate(TEXT_RATE.perSecond, TEXT_RATE.burst);
  #live: LoadedRoom | undefined;
  /** Who asked before it was live. */
  #early: (readonly [RoomCall, From])[] = [];
  /** Updates that were broadcast, until this room receives them itself. */
  readonly #said = new Set<Uint8Array>();
  #editedAt = 0;
  #compacting = false;
  #loading = false;
  /** How often it took too long to load, and when it may be tried again. */
  #refusals = 0;
  #refusedUntil = 0;
  #draining: From[] | undefined;
  #textDue = false;
  #moved = new Set<Member>();
  readonly #remoteCursors = new RemoteCursors();
  #gone: string[] = [];
  #timers = new Map<string, Ref>();

  /**
   * Resolves when the room gets what other nodes tell. Its supervisor does not wait for that, since
   * others start there.
   */
  readonly #subscribed: Promise<unknown>;

  constructor(options: RoomOptions, subscribed: "ok" | Promise<"ok">) {
    this.options = options;
    this.#work = options.work ?? new UserPace(WORK);
    this.#growth = options.growth ?? new UserPace(GROWTH);
    this.#subscribed = Promise.resolve(subscribed);
    // The request that needs the document gets the error.
    this.#subscribed.catch(() => {});
  }

  get size(): number {
    return this.#members.size;
  }

  get saving(): RoomPersistence | undefined {
    return this.#live?.saving;
  }

  // ---------------------------------------------------------------- beginning

  #load(): void {
    const me = self();
    this.#loading = true;
    this.#arm("loading", LOADING_MS);
    const unavailable: Outcome<Loaded> = ["error", "unavailable"];
    // In this order nothing is missed that another node stores and tells meanwhile.
    void this.#subscribed
      .then(
        () => this.#read(),
        () => unavailable,
      )
      .then((found) => send(me, ["opened", found]));
  }

  async #read(): Promise<Outcome<Loaded>> {
    const opened = await this.options.repository.openRoom(this.options.id);
    if (opened[0] === "error") return opened;
    const from = performance.now();
    const image = await this.options.loader.image(opened[1].stored);
    if (image[0] === "error") return ["error", image[1] === "busy" ? "unavailable" : image[1]];
    return ["ok", { opened: opened[1], image: image[1], slow: performance.now() - from > SLOW_LOAD_MS }];
  }

  /** The reason to end, when there is one. */
  opened(found: Outcome<Loaded>): ExitReason | undefined {
    this.#loading = false;
    this.#disarm("loading");
    if (found[0] === "error") return this.#refuse(found[1]);
    const { opened, image, slow } = found[1];
    const document = SharedDocument.fromImage(image);
    const me = self();
    const { id } = this.options;
    const logBytes = opened.stored[0]?.updates.reduce((sum, { length }) => sum + length, 0) ?? 0;
    const saving = new RoomPersistence(
      { id, epoch: opened.epoch, seq: opened.seq, snapshotSeq: opened.snapshotSeq, logBytes },
      this.options.repository,
      document,
      {
        changed: () => this.#tellStatus(),
        takenBack: () => this.#rollback(),
        behind: (tail) => this.#applyLog(tail),
        lost: (reason) => send(me, ["lost", reason]),
      },
    );
    this.#live = new LoadedRoom(opened, document, saving);
    // So that it is not replayed again.
    if (slow) saving.snapshot();
    this.#arm("wear", QUIET_MS);
    const early = this.#early;
    this.#early = [];
    for (const [request, from] of early) this.call(request, from);
    this.#watchIdle();
    return undefined;
  }

  /**
   * Waiting requests get the reason. A document that takes too long to load is tried again later,
   * and refused at once meanwhile.
   */
  #refuse(why: Failure): ExitReason | undefined {
    this.#answerEarly(why);
    if (why === "damaged" || why === "too_slow") {
      const text = `[phoenixpair] room ${this.options.id} ${why === "damaged" ? "is damaged" : "takes too long to load"}`;
      damage.trouble(text, text);
    }
    if (why !== "too_slow") return "normal";
    this.#refusals += 1;
    this.#refusedUntil = now() + Math.min(LAST_REFUSAL_MS, FIRST_REFUSAL_MS * 2 ** (this.#refusals - 1));
    this.#disarm("forget");
    this.#arm("forget", 2 * LAST_REFUSAL_MS);
    return undefined;
  }

  #answerEarly(why: Failure): void {
    for (const [, from] of this.#early) GenServer.reply(from, ["error", why]);
    this.#early = [];
  }

  // ---------------------------------------------------------------- requests

  call(request: RoomCall, from: From): void {
    const live = this.#live;
    if (live === undefined) {
      if (now() < this.#refusedUntil) {
        GenServer.reply(from, ["error", "too_slow", Math.ceil(this.#refusedUntil - now())]);
        return;
      }
      // Not before: each request gets the reason why it cannot be loaded.
      if (!this.#loading) this.#load();
      this.#early.push([request, from]);
      return;
    }
    const answer = (value: unknown): void => void GenServer.reply(from, value);
    switch (request[0]) {
      case "enter":
        answer(
          this.#members.hasRoomFor(request[1].userId)
            ? ["ok", this.#enter(live, request[1])]
            : ["error", "full"],
        );
        break;
      case "entered":
        answer(this.#missed(live, request[1]));
        break;
      case "sync":
        answer(this.#sync(live, request[1]));
        break;
      case "whole text":
        this.#wholeText(live, request[1], request[2], answer);
        break;
      case "restore":
        // What it is now must not be lost by it.
        live.saving.snapshot();
        this.#edit(live, request[1], diff(live.document.text, normalText(request[2])), (stored) => {
          answer(stored === undefined ? ["error", "unavailable"] : ["ok", stored]);
          if (stored !== undefined) this.#tellTextSoon();
        });
        break;
      case "text":
        answer(["ok", live.document.text]);
        break;
      case "drain":
        this.#drain(live, from);
    }
  }

  cast(request: RoomCast): void {
    const live = this.#live;
    if (live === undefined) return;
    switch (request[0]) {
      case "update":
        this.#update(live, request[1], request[2], request[3]);
        break;
      case "cursor":
        this.#cursor(request[1], request[2]);
        break;
      case "stopped typing":
        this.#stopTyping(request[1]);
        break;
      case "access":
        this.#access(request[1], request[3]);
    }
  }

  #enter(live: LoadedRoom, entrant: JoinRequest): JoinReply {
    monitor(entrant.pid);
    const member = this.#members.enter(entrant);
    this.#disarm("idle");
    this.#arm("look", LOOK_MS);
    this.#arm("here", HERE_EVERY_MS);
    if (!member.document) member.seen.tell(live.document.text, live.document.version(), now());
    return {
      challenge: this.#view(live, live.document.text),
      epoch: live.epoch,
      sv: live.document.stateVector(),
      status: this.#status(live),
      me: member.face,
    };
  }

  /** Sends a full-text client what was broadcast before it was subscribed. */
  #missed(live: LoadedRoom, pid: Pid): ChallengeView | undefined {
    const member = this.#members.get(pid);
    if (member === undefined || member.document || live.saving.hasRevocable) return undefined;
    const { text } = live.document;
    if (member.seen.newest === text) return undefined;
    member.seen.tell(text, live.document.version(), now());
    return this.#view(live, text);
  }

  leave(pid: Pid): void {
    const member = this.#members.leave(pid);
    if (member === undefined) return;
    if (member.cursor !== undefined) {
      this.#gone.push(member.face.id);
      this.#arm("cursors", TELL_CURSORS_MS);
    }
    this.#moved.delete(member);
    this.#watchIdle();
  }

  #access(pid: Pid, canWrite: boolean): void {
    const member = this.#members.get(pid);
    if (member !== undefined) member.canWrite = canWrite;
  }

  /** Handles a broadcast of the room's topic that concerns the room itself. */
  onBroadcast(event: string, payload: unknown): void {
    if (event === ACCESS_CHANGED) AccessWatch.changed(this.options.id, payload as AccessChanged);
    if (this.#live === undefined) return;
    if (event === "y:update" && payload instanceof Uint8Array) {
      // Its own: the room receives what it broadcasts.
      if (!this.#said.delete(payload)) this.#applyRemote(this.#live, payload);
    }
    if (event === "y:awareness") {
      const { states, gone } = payload as { states: readonly CursorState[]; gone: readonly string[] };
      this.#remoteCursors.received(states, gone, now());
    }
    if (event === CURSORS_HERE) {
      const { states } = payload as { states: readonly CursorState[] };
      // Those that were taken to be gone, or came before this room did.
      const back = this.#remoteCursors.received(states, [], now());
      if (back.length > 0) this.#broadcastLocal("y:awareness", { states: back, gone: [] });
    }
    if (event === COMPACTED && (payload as { epoch: string }).epoch === this.#live.epoch)
      send(self(), ["lost", "compacted"]);
    if (event !== "challenge:changed") return;
    const { title, prompt, language } = (payload as { challenge: ChallengeView }).challenge;
    this.#live.challenge = { ...this.#live.challenge, title, prompt, language };
    this.#tellTextSoon();
  }

  // ---------------------------------------------------------------- other nodes

  /** Applies an update that the room of another node has broadcast. */
  #applyRemote(live: LoadedRoom, update: Uint8Array): void {
    const applied = live.document.apply(update, () => true);
    // Something before it was lost on the way; the log has it, or will have it soon.
    if (applied.type === "refused") live.saving.lookSoon(GAP_MS);
    if (applied.type !== "changed") return;
    // Stored here too: what is written here may build on it, should the other node not come to
    // store it.
    live.saving.add(null, applied.update, { stored: () => {} }, applied.steps);
    this.#tellTextSoon();
  }

  /** Applies what other nodes have written to the log and this room has not received. */
  #applyLog({ updates }: LogTail): void {
    const live = this.#live as LoadedRoom;
    const news = live.document.absorb(updates);
    if (news === "too dear") send(self(), ["lost", "behind"]);
    if (news === undefined || news === "too dear") return;
    this.#broadcastLocal("y:update", news);
    this.#tellTextSoon();
  }

  // ---------------------------------------------------------------- the document

  #sync(live: LoadedRoom, stateVector: Uint8Array): SyncAnswer | undefined {
    const update = live.document.updateSince(stateVector);
    if (update === undefined) return undefined;
    this.#forgetSilent();
    const states = [...this.#cursorsHere(), ...this.#remoteCursors.all()];
    return { sv: live.document.stateVector(), update, states };
  }

  #update(live: LoadedRoom, pid: Pid, ref: SocketRef, bytes: Uint8Array): void {
    const member = this.#members.get(pid);
    if (member === undefined) return;
    const refusal = this.#refusal(live, member, bytes);
    if (refusal !== undefined) {
      replyTo(ref, "error", refusal);
      return;
    }
    const young = now() - live.since < YOUNG_MS;
    const mayExtend = (client: number): boolean => young || this.#members.mayExtend(member.userId, client);
    const before = live.document.structs;
    const applied = live.document.apply(bytes, mayExtend);
    this.#charge(member.userId, applied.steps, live.document.structs - before);
    const waiting = { stored: (seq: number): void => replyTo(ref, "ok", { seq }) };
    switch (applied.type) {
      case "refused": {
        const { reason } = applied;
        if (reason === "bad_update") member.updates.charge(BAD_COST);
        replyTo(ref, "error", reason === "too_large" ? { reason, limit: MAX_TEXT } : { reason });
        break;
      }
      case "known":
        live.saving.whenStored(waiting);
        break;
      case "changed":
        this.#broadcast("y:update", applied.update, pid);
        live.saving.add(member.userId, applied.update, waiting, applied.steps);
        this.#typed(member);
        this.#tellTextSoon();
    }
  }

  /** Milliseconds until edits of a user are looked at again. */
  #waitFor(userId: number): number {
    return this.#work.wait(userId, now()) || this.#growth.wait(userId, now());
  }

  /**
   * What an edit took of what its user may use. One that makes the document smaller gives nothing
   * back.
   */
  #charge(userId: number, steps: number, grown: number): void {
    this.#work.charge(userId, steps, now());
    this.#growth.charge(userId, Math.max(0, grown), now());
  }

  /** Why an update is not even looked at. */
  #refusal(live: LoadedRoom, member: Member, bytes: Uint8Array): object | undefined {
    if (!member.canWrite) return { reason: "read_only", why: "role" };
    if (this.#compacting) return { reason: "rate", retry_after_ms: COMPACTING_MS };
    if (bytes.length > MAX_UPDATE) return { reason: "too_large", limit: MAX_UPDATE };
    const time = now();
    const wait =
      this.#waitFor(member.userId) || member.updates.take(1, time) || member.bytes.take(bytes.length, time);
    if (wait > 0) return { reason: "rate", retry_after_ms: wait };
    return live.saving.hasRoom ? undefined : { reason: "read_only", why: "persistence" };
  }

  /**
   * An edit by the server, broadcast once it is stored. `done` gets its place in the log; undefined
   * when it was taken back.
   */
  #edit(
    live: LoadedRoom,
    userId: number,
    hunks: readonly Hunk[],
    done: (seq: number | undefined) => void,
  ): void {
    const possible = live.saving.hasRoom && !this.#compacting;
    const failed = (): void => done(undefined);
    if (possible && hunks.length === 0) {
      live.saving.whenStored({ stored: done, failed });
      return;
    }
    const update = possible ? live.document.edit(hunks) : undefined;
    if (update === undefined) {
      failed();
      return;
    }
    live.pendingBroadcasts.push(update);
    const stored = (seq: number): void => {
      this.#broadcast("y:update", live.pendingBroadcasts.shift() as Uint8Array);
      if (live.pendingBroadcasts.length === 0) live.document.settleEdits();
      done(seq);
    };
    live.saving.add(userId, update, { stored, failed });
  }

  #rollback(): void {
    const live = this.#live as LoadedRoom;
    const edits = live.pendingBroadcasts.splice(0);
    const undone = live.document.undoEdits(edits.length);
    live.document.settleEdits();
    if (undone === undefined) return;
    // Together, so that no client sees the edit come and go; and not without it, for what follows
    // builds on its ids.
    this.#broadcast("y:update", Y.mergeUpdates([...edits, undone]));
    live.saving.add(null, undone, { stored: () => {} });
  }

  // ---------------------------------------------------------------- compaction

  /** Looks whether the document is worn, and waits for a moment without edits. */
  #checkWear(live: LoadedRoom): void {
    const { wear } = live.document;
    const quietIn = this.#editedAt + QUIET_MS - now();
    const isQuiet = quietIn <= 0;
    if (this.#compacting) return;
    if (wear >= WORN_OUT || (wear >= WORN && isQuiet)) this.#compact(live);
    else if (!isQuiet) this.#arm("wear", quietIn);
  }

  /**
   * Puts a new document with the same text in the place of this one. Clients find it when they join
   * again.
   */
  #compact({ document, saving, epoch }: LoadedRoom): void {
    const seq = saving.settledSeq;
    if (seq === undefined) {
      this.#arm("wear", TELL_TEXT_MS);
      return;
    }
    this.#compacting = true;
    const me = self();
    const { text } = document;
    void this.options.repository
      .compactRoom({ id: this.options.id, epoch, seq, state: seedState(text), text })
      .then((outcome) => send(me, ["compacted", outcome]));
  }

  /**
   * The reason to end, when it was: channels see it, and their clients join the room that has the
   * new document.
   */
  compacted(outcome: Outcome<null>): ExitReason | undefined {
    this.#compacting = false;
    if (outcome[0] === "ok") {
      this.#broadcast(COMPACTED, { epoch: (this.#live as LoadedRoom).epoch });
      return COMPACTED_END;
    }
    this.#live?.saving.look();
    this.#arm("wear", QUIET_MS);
    return undefined;
  }

  // ---------------------------------------------------------------- whole texts

  #wholeText(live: LoadedRoom, pid: Pid, text: string, answer: (value: unknown) => void): void {
    const member = this.#members.get(pid);
    if (member === undefined || !member.canWrite) {
      answer("refused");
      return;
    }
    const { document } = live;
    const { userId } = member;
    if (this.#waitFor(userId) > 0) {
      answer("refused");
      return;
    }
    const normal = normalText(text);
    const before = document.structs;
    const written = member.seen.write(normal, document, now());
    let result = versionOf(document);
    this.#edit(live, userId, written.hunks, (seq) => {
      answer(seq === undefined ? "refused" : "ok");
      if (seq === undefined) {
        member.seen.refused(written);
        return;
      }
      member.seen.stored(written);
      this.#typed(member);
      if (this.#textRate.take(result.text.length * this.#members.size, now()) > 0) this.#tellTextSoon();
      else this.#tellText(live, result);
    });
    member.seen.wrote(written, document);
    const after = document.structs;
    this.#charge(userId, written.steps + TEXT_STEPS_PER_STRUCT * after, after - before);
    result = versionOf(document);
  }

  #tellTextSoon(): void {
    if (!this.#members.hasReaders) return;
    this.#textDue = true;
    this.#arm("text", TELL_TEXT_MS);
  }

  #tellText(live: LoadedRoom, { text, version }: TextVersion): void {
    for (const { document, seen } of this.#members.all()) if (!document) seen.tell(text, version, now());
    this.#broadcastLocal("response:updated", { challenge: this.#view(live, text) });
  }

  #view({ challenge }: LoadedRoom, text: string): ChallengeView {
    return { ...challenge, response: text, updated_at: new Date().toISOString() };
  }

  // ---------------------------------------------------------------- typing and cursors

  #typed(member: Member): void {
    this.#editedAt = now();
    this.#arm("wear", QUIET_MS);
    if (member.typingUntil === 0) send(member.pid, ["room", "typing", true] satisfies RoomNews);
    member.typingUntil = now() + TYPING_MS;
    this.#arm("typing", TYPING_MS);
  }

  #endTyping(): void {
    const time = now();
    let next = Number.POSITIVE_INFINITY;
    for (const member of this.#members.all()) {
      if (member.typingUntil === 0) continue;
      if (member.typingUntil > time) {
        next = Math.min(next, member.typingUntil);
        continue;
      }
      member.typingUntil = 0;
      send(member.pid, ["room", "typing", false] satisfies RoomNews);
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm("typing", next - time);
  }

  #stopTyping(pid: Pid): void {
    const member = this.#members.get(pid);
    if (member !== undefined) member.typingUntil = 0;
  }

  #cursor(pid: Pid, cursor: Cursor): void {
    const member = this.#members.get(pid);
    if (member === undefined || member.cursors.take(1, now()) > 0) return;
    member.cursor = cursor;
    this.#moved.add(member);
    this.#arm("cursors", TELL_CURSORS_MS);
  }

  #cursorsHere(): readonly CursorState[] {
    const states: CursorState[] = [];
    for (const { face, cursor } of this.#members.all())
      if (cursor !== undefined) states.push({ ...face, ...cursor });
    return states;
  }

  /**
   * Tells other rooms that these are still here, and those who are here which of others' are not.
   */
  #keepCursors(): void {
    const states = this.#cursorsHere();
    if (states.length > 0) this.#broadcast(CURSORS_HERE, { states });
    this.#forgetSilent();
  }

  #forgetSilent(): void {
    const gone = this.#remoteCursors.silent(now());
    if (gone.length > 0) this.#broadcastLocal("y:awareness", { states: [], gone });
  }

  #tellCursors(): void {
    const states = [...this.#moved].map(({ face, cursor }) => ({ ...face, ...cursor }));
    this.#broadcast("y:awareness", { states, gone: this.#gone });
    this.#moved.clear();
    this.#gone = [];
  }

  // ---------------------------------------------------------------- status and end

  #status({ saving }: LoadedRoom): RoomStatus {
    return { persistence: saving.persistence, draining: this.#draining !== undefined };
  }

  #tellStatus(): void {
    if (this.#live !== undefined) this.#broadcastLocal("room:status", this.#status(this.#live));
  }

  #drain(live: LoadedRoom, from: From): void {
    const first = this.#draining === undefined;
    this.#draining = [...(this.#draining ?? []), from];
    if (first) this.#tellStatus();
    live.saving.whenStored({ stored: () => this.#drained(), failed: () => this.#drained() });
  }

  #drained(): void {
    for (const from of this.#draining ?? []) GenServer.reply(from, "ok");
    this.#draining = [];
  }

  timer(name: string): ExitReason | undefined {
    this.#timers.delete(name);
    const live = this.#live;
    if (name === "loading") this.#answerEarly("loading");
    if (name === "forget" && live === undefined && !this.#loading) return "normal";
    if (live === undefined) return undefined;
    if (name === "wear") this.#checkWear(live);
    else if (name === "typing") this.#endTyping();
    else if (name === "look") {
      live.saving.look();
      if (this.#members.size > 0) this.#arm("look", LOOK_MS);
    } else if (name === "here") {
      this.#keepCursors();
      for (const { seen } of this.#members.all()) seen.forgetArrived(now());
      if (this.#members.size > 0) this.#arm("here", HERE_EVERY_MS);
    } else if (name === "cursors") this.#tellCursors();
    else if (name === "text" && this.#textDue) {
      // Revocable edits are broadcast when they are stored.
      if (live.saving.hasRevocable) this.#arm("text", TELL_TEXT_MS);
      else {
        this.#textDue = false;
        this.#tellText(live, versionOf(live.document));
      }
    } else if (name === "idle" && this.#members.size === 0) {
      if (live.saving.snapshot()) return "normal";
      this.#arm("idle", Math.max(TELL_TEXT_MS, live.saving.snapshotWaitMs));
    }
    return undefined;
  }

  #watchIdle(): void {
    if (this.#members.size === 0) this.#arm("idle", IDLE_MS);
  }

  /** Broadcasts to all clients, on all nodes. */
  #broadcast(event: string, payload: object, except?: Pid): void {
    const { endpoint, topic } = this.options;
    if (except !== undefined && payload instanceof Uint8Array) this.#said.add(payload);
    // Itself it need not tell.
    Endpoint.broadcastFrom(endpoint, except ?? self(), topic, event, payload);
  }

  /** Tells those whose room this is: others hear it from their own. */
  #broadcastLocal(event: string, payload: object): void {
    const { endpoint, topic } = this.options;
    Endpoint.localBroadcastFrom(endpoint, self(), topic, event, payload);
  }

  #arm(name: string, ms: number): void {
    if (!this.#timers.has(name)) this.#timers.set(name, sendAfter(self(), ["timer", name], Math.ceil(ms)));
  }

  #disarm(name: string): void {
    const timer = this.#timers.get(name);
    if (timer !== undefined) cancelTimer(timer);
    this.#timers.delete(name);
  }
}

const COMPACTED_END = ["shutdown", "compacted"] as const;

export const roomServer: GenServerModule<Room, RoomOptions> = {
  name: "Room",

  init(options) {
    // Stopping stores what is not stored yet.
    trapExit(true);
    return ["ok", new Room(options, Endpoint.subscribe(options.endpoint, options.topic))];
  },

  handleCall(request: RoomCall, from, room) {
    room.call(request, from);
    return ["noreply", room];
  },

  handleCast(request: RoomCast, room) {
    room.cast(request);
    return ["noreply", room];
  },

  handleInfo(message, room) {
    if (isForSaving(message)) {
      room.saving?.handle(message);
      return ["noreply", room];
    }
    if (isBroadcast(message)) {
      room.onBroadcast(message.event, message.payload);
      return ["noreply", room];
    }
    if (!Array.isArray(message)) return ["noreply", room];
    let end: ExitReason | undefined;
    if (message[0] === "DOWN") room.leave(message[3] as Pid);
    else if (message[0] === "timer") end = room.timer(message[1] as string);
    else if (message[0] === "opened") end = room.opened(message[1] as Outcome<Loaded>);
    else if (message[0] === "compacted") end = room.compacted(message[1] as Outcome<null>);
    // Channels see it exit, their clients join again, and the owner of the room then answers.
    else if (message[0] === "lost") end = ["room_lost", message[1]];
    return end === undefined ? ["noreply", room] : ["stop", end, room];
  },

  async terminate(reason, room) {
    const { saving } = room;
    if (saving === undefined) return;
    const lost = Array.isArray(reason) && (reason[0] === "room_lost" || reason[1] === COMPACTED_END[1]);
    if (!lost && !(await saving.finish()))
      console.error(
        `[phoenixpair] room ${room.options.id} ended with ${saving.unsavedBytes} bytes that could not be stored`,
      );
    saving.drop();
  },

  formatStatus: ({ state }) => ({
    room: state.options.id,
    members: state.size,
    persistence: state.saving?.persistence ?? "loading",
    unsavedBytes: state.saving?.unsavedBytes ?? 0,
  }),
};
