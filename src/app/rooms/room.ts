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
 * Channels join and leave. The room knows which of them may write now, whatever was true when they
 * joined. Other threads use rooms.ts. Everything that must outlive the process is in
 * storage/room-log.ts. One concept in one file: the edits of one document, from their check to the
 * answer; the process around it is room-server.ts.
 */
import { Endpoint, replyTo, type SocketRef } from "simurgh/channels";
import { type ExitReason, type From, GenServer, monitor, type Pid, self, send } from "simurgh/runtime";
import * as Y from "yjs";
import { ACCESS_CHANGED, type AccessChanged, AccessWatch } from "../access/access-watch.js";
import { normalText, SharedDocument, seedState } from "../document/shared-document.js";
import { diff, type Hunk } from "../document/text-diff.js";
import { MAX_TEXT, MAX_UPDATE } from "../document/update-validation.js";
import type { ChallengeView, Outcome } from "../storage/repository-client.js";
import type { LogTail, OpenedRoom } from "../storage/room-log.js";
import { Awareness } from "./awareness.js";
import { FullTextClients, versionOf } from "./full-text-clients.js";
import { type Loaded, RoomLoading } from "./loading.js";
import { type JoinRequest, type Member, Members } from "./members.js";
import { now, RoomPersistence } from "./persistence.js";
import {
  COMPACTED,
  CURSORS_HERE,
  type JoinReply,
  type RoomCall,
  type RoomCast,
  type RoomOptions,
  type RoomStatus,
  type SyncAnswer,
} from "./room-messages.js";
import { Timers } from "./timers.js";
import { Typing } from "./typing.js";
import { GROWTH, UserPace, WORK } from "./user-pace.js";

const IDLE_MS = 60_000;
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
const RETRY_MS = 50;
/** What is written while it is compacted is to be sent again after so long. */
const COMPACTING_MS = 500;
/** What a bad update costs of what a client may send. */
const BAD_COST = 10;
/** A room with its document. */
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

/** The reason with which a room ends whose document has been compacted. */
export const COMPACTED_END = ["shutdown", "compacted"] as const;

export class Room {
  readonly options: RoomOptions;
  readonly #members = new Members();
  readonly #work: UserPace;
  readonly #growth: UserPace;
  #live: LoadedRoom | undefined;
  /** Updates that were broadcast, until this room receives them itself. */
  readonly #said = new Set<Uint8Array>();
  #editedAt = 0;
  #compacting = false;
  #draining: From[] | undefined;
  readonly #timers = new Timers();
  readonly #typing = new Typing(this.#members, this.#timers);
  readonly #awareness = new Awareness({
    members: this.#members,
    timers: this.#timers,
    broadcast: (event, payload) => this.#broadcast(event, payload),
    broadcastLocal: (event, payload) => this.#broadcastLocal(event, payload),
  });
  readonly #fullText = new FullTextClients(this.#members, this.#timers, (text) => {
    if (this.#live !== undefined)
      this.#broadcastLocal("response:updated", { challenge: this.#view(this.#live, text) });
  });
  readonly #loading: RoomLoading;

  constructor(options: RoomOptions, subscribed: "ok" | Promise<"ok">) {
    this.options = options;
    this.#work = options.work ?? new UserPace(WORK);
    this.#growth = options.growth ?? new UserPace(GROWTH);
    this.#loading = new RoomLoading(options, this.#timers, Promise.resolve(subscribed));
  }

  get size(): number {
    return this.#members.size;
  }

  get saving(): RoomPersistence | undefined {
    return this.#live?.saving;
  }

  /** The reason to end, when there is one. */
  opened(found: Outcome<Loaded>): ExitReason | undefined {
    this.#loading.ended();
    if (found[0] === "error") return this.#loading.failed(found[1]);
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
    this.#timers.arm("wear", QUIET_MS);
    for (const [request, from] of this.#loading.takeWaiting()) this.call(request, from);
    this.#watchIdle();
    return undefined;
  }

  // ---------------------------------------------------------------- requests

  call(request: RoomCall, from: From): void {
    const live = this.#live;
    if (live === undefined) {
      this.#loading.request(request, from);
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
          if (stored !== undefined) this.#fullText.sendSoon();
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
        this.#awareness.move(request[1], request[2]);
        break;
      case "stopped typing":
        this.#typing.stopped(request[1]);
        break;
      case "access":
        this.#access(request[1], request[3]);
    }
  }

  #enter(live: LoadedRoom, entrant: JoinRequest): JoinReply {
    monitor(entrant.pid);
    const member = this.#members.enter(entrant);
    this.#timers.disarm("idle");
    this.#timers.arm("look", LOOK_MS);
    this.#awareness.joined();
    this.#fullText.joined(member, live.document);
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
    const text = this.#fullText.missed(member, live.document);
    return text === undefined ? undefined : this.#view(live, text);
  }

  leave(pid: Pid): void {
    const member = this.#members.leave(pid);
    if (member === undefined) return;
    this.#awareness.left(member);
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
    if (event === "y:awareness") this.#awareness.received(payload as Parameters<Awareness["received"]>[0]);
    if (event === CURSORS_HERE) this.#awareness.confirmed(payload as Parameters<Awareness["confirmed"]>[0]);
    if (event === COMPACTED && (payload as { epoch: string }).epoch === this.#live.epoch)
      send(self(), ["lost", "compacted"]);
    if (event !== "challenge:changed") return;
    const { title, prompt, language } = (payload as { challenge: ChallengeView }).challenge;
    this.#live.challenge = { ...this.#live.challenge, title, prompt, language };
    this.#fullText.sendSoon();
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
    this.#fullText.sendSoon();
  }

  /** Applies what other nodes have written to the log and this room has not received. */
  #applyLog({ updates }: LogTail): void {
    const live = this.#live as LoadedRoom;
    const news = live.document.absorb(updates);
    if (news === "too dear") send(self(), ["lost", "behind"]);
    if (news === undefined || news === "too dear") return;
    this.#broadcastLocal("y:update", news);
    this.#fullText.sendSoon();
  }

  // ---------------------------------------------------------------- the document

  #sync(live: LoadedRoom, stateVector: Uint8Array): SyncAnswer | undefined {
    const update = live.document.updateSince(stateVector);
    if (update === undefined) return undefined;
    return { sv: live.document.stateVector(), update, states: this.#awareness.states() };
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
        if (reason === "bad_update") member.updates.charge(now(), BAD_COST);
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
        this.#fullText.sendSoon();
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
      this.#waitFor(member.userId) || member.updates.take(time) || member.bytes.take(time, bytes.length);
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
    else if (!isQuiet) this.#timers.arm("wear", quietIn);
  }

  /**
   * Puts a new document with the same text in the place of this one. Clients find it when they join
   * again.
   */
  #compact({ document, saving, epoch }: LoadedRoom): void {
    const seq = saving.settledSeq;
    if (seq === undefined) {
      this.#timers.arm("wear", RETRY_MS);
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
    this.#timers.arm("wear", QUIET_MS);
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
      this.#fullText.sendAtOnce(result);
    });
    member.seen.wrote(written, document);
    const after = document.structs;
    this.#charge(userId, written.steps + TEXT_STEPS_PER_STRUCT * after, after - before);
    result = versionOf(document);
  }

  #view({ challenge }: LoadedRoom, text: string): ChallengeView {
    return { ...challenge, response: text, updated_at: new Date().toISOString() };
  }

  // ---------------------------------------------------------------- typing and cursors

  #typed(member: Member): void {
    this.#editedAt = now();
    this.#timers.arm("wear", QUIET_MS);
    this.#typing.typed(member);
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
    this.#timers.fired(name);
    const live = this.#live;
    if (name === "loading") this.#loading.answerWaiting("loading");
    if (name === "forget" && live === undefined && !this.#loading.isRunning) return "normal";
    if (live === undefined) return undefined;
    if (name === "wear") this.#checkWear(live);
    else if (name === "typing") this.#typing.expire();
    else if (name === "look") {
      live.saving.look();
      if (this.#members.size > 0) this.#timers.arm("look", LOOK_MS);
    } else if (name === "here") {
      this.#awareness.confirm();
      for (const { seen } of this.#members.all()) seen.forgetArrived(now());
    } else if (name === "cursors") this.#awareness.broadcastMoves();
    else if (name === "text") this.#fullText.sendDue(live.document, live.saving.hasRevocable);
    else if (name === "idle" && this.#members.size === 0) {
      if (live.saving.snapshot()) return "normal";
      this.#timers.arm("idle", Math.max(RETRY_MS, live.saving.snapshotWaitMs));
    }
    return undefined;
  }

  #watchIdle(): void {
    if (this.#members.size === 0) this.#timers.arm("idle", IDLE_MS);
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
}
