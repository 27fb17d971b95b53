/**
 * One room as the page sees it: the socket, the channel of docs/room-protocol.md, the shared
 * document, who is there and where they are. The document decides what is sent and what is saved
 * (sync/), this file carries it over the wire. The view is a plain value that listeners read after
 * each change.
 *
 *     connecting ──▶ online ──▶ reconnecting ──▶ back ──a moment──▶ online
 *         └──────────────┴───────────┴──▶ ended: signed out, or no access to this room
 */
import { type Channel, Presence, type Socket } from "phoenix";
import { ApiError, api } from "../api.js";
import { session } from "../session.js";
import { bytesOf, toBase64, toBuffer } from "../sync/bytes.js";
import type { Persistence } from "../sync/doc-sync.js";
import { Pace } from "../sync/pace.js";
import { type DocumentLink, RoomDocument } from "../sync/room-document.js";
import { unsavedEdits } from "../sync/unsaved-edits.js";
import type { Challenge, Signed } from "../types.js";
import type { CodeEditor, Whereabouts } from "./editor.js";
import { pageClock } from "./page-clock.js";
import { colorOf, colorsOf, type Peer, type Peers, withAwareness } from "./peers.js";
import { type Meta, type Presences, peopleOf } from "./presence-list.js";
import { RoomEvents, reasonOf } from "./room-events.js";
import { RoomSocket } from "./room-socket.js";
import type { RoomView } from "./room-view.js";
import { keepSession } from "./session-keeper.js";

const BACK_SHOWN_MS = 4_000;
/**
 * Refused connects in a row after which the token is looked at: a browser does not say why a socket
 * was refused.
 */
const DOUBT_AFTER = 3;
/** The server takes ten positions a second. */
const POSITION_EVERY_MS = 110;
/** Updates are answered when they are stored, and that may take as long as the database is away. */
const NEVER_MS = 2 ** 31 - 1;

export class RoomLink implements DocumentLink {
  readonly channel: RoomEvents;
  view: RoomView = {
    connection: "connecting",
    challenge: undefined,
    people: [],
    save: "saved",
    block: undefined,
    persistence: "ok",
    draining: false,
    canWrite: false,
    ready: false,
    following: undefined,
    rescued: undefined,
    refusal: undefined,
  };
  readonly #id: string;
  readonly #userId: string;
  readonly #editor: CodeEditor;
  readonly #changed: () => void;
  readonly #connection: RoomSocket;
  readonly #socket: Socket;
  readonly #channel: Channel;
  readonly #presence: Presence;
  #document: RoomDocument | undefined;
  #epoch: string | undefined;
  /** Names this connection among the peers. */
  #ownId = "";
  #ownColor: number | undefined;
  #peers: Peers = new Map();
  /** What the others have done and is not shown yet. */
  #updates: Uint8Array[] = [];
  #awareness: unknown[] = [];
  #peopleChanged = false;
  readonly #pace = new Pace(() => this.#showOthers(), pageClock);
  #sentPosition = "";
  #positionTimer: ReturnType<typeof setTimeout> | undefined;
  #backTimer: ReturnType<typeof setTimeout> | undefined;
  #failedConnects = 0;
  #closed = false;
  readonly #leaveSession: () => void;

  constructor(id: string, signed: Signed, editor: CodeEditor, changed: () => void) {
    this.#id = id;
    this.#userId = String(signed.user.id);
    this.#editor = editor;
    this.#changed = changed;
    this.#connection = new RoomSocket(() => session.token());
    this.#socket = this.#connection.socket;
    this.#channel = this.#socket.channel(`challenges:${id}`, () => ({
      proto: "y1",
      // So that no other page writes under this page's id.
      client: this.#document?.doc.clientID,
    }));
    this.channel = new RoomEvents(this.#channel, () => this.#canPush());
    this.#leaveSession = keepSession(this.#channel);
    this.#presence = new Presence(this.#channel);
    this.#listen();
    this.#socket.connect();
    this.#join();
  }

  /** The cursor, the selection or the part in view has changed. */
  moved(): void {
    this.#positionTimer ??= setTimeout(() => {
      this.#positionTimer = undefined;
      this.#tellPosition();
    }, POSITION_EVERY_MS);
  }

  /** The reader has left the text, and does not type any more. */
  blurred(): void {
    const typing = this.view.people.some((person) => person.you && person.typing);
    if (typing && this.#canPush()) this.#channel.push("current_participant_typing:remove", {});
  }

  /** Follows what another user sees; undefined ends it. */
  follow(userId: string | undefined): void {
    if (userId === this.view.following) return;
    this.#show({ following: userId });
    const peer = this.#peerOf(userId);
    if (peer) this.#editor.goTo(peer);
    else this.#editor.stay();
  }

  close(): void {
    this.#closed = true;
    this.#pace.cancel();
    this.#leaveSession();
    clearTimeout(this.#backTimer);
    clearTimeout(this.#positionTimer);
    this.#channel.leave();
    this.#socket.disconnect();
    this.#document?.close();
  }

  ask(stateVector: Uint8Array): void {
    const document = this.#document;
    this.#channel
      .push("y:sync", this.#payload(stateVector))
      .receive("ok", async (reply: unknown) => {
        const update = bytesOf(reply);
        if (!update || document !== this.#document) return;
        this.#pace.now();
        await document?.synced(update);
        this.#opened();
      })
      .receive("error", () => document?.unasked())
      .receive("timeout", () => document?.unasked());
  }

  push(id: number, update: Uint8Array): void {
    const document = this.#document;
    this.#channel
      .push("y:update", this.#payload(update), NEVER_MS)
      .receive("ok", () => document?.stored(id))
      .receive("error", (reply: unknown) => {
        const { why, retry_after_ms: wait } = (reply ?? {}) as { why?: unknown; retry_after_ms?: unknown };
        const reason = reasonOf(reply);
        document?.refused(id, {
          reason,
          why: typeof why === "string" ? why : undefined,
          retryAfterMs: typeof wait === "number" ? wait : undefined,
        });
        if (reason === "epoch") this.#rejoin();
      });
  }

  /** Bytes as this connection carries them. */
  #payload(bytes: Uint8Array): object {
    return this.#connection.overLongPoll ? { b64: toBase64(bytes) } : toBuffer(bytes);
  }

  #listen(): void {
    this.#socket.onOpen(() => {
      this.#failedConnects = 0;
    });
    this.#socket.onClose(() => {
      this.#away();
      void this.#doubtToken();
    });
    this.#channel.onError(() => this.#away());

    this.#channel.on("y:sv", (payload: unknown) => {
      const vector = bytesOf(payload);
      if (!vector) return;
      this.#pace.now();
      this.#document?.asked(vector);
    });
    this.#channel.on("y:update", (payload: unknown) => {
      const update = bytesOf(payload);
      if (!update) return;
      this.#updates.push(update);
      this.#pace.soon();
    });
    this.#channel.on("y:awareness", (payload: unknown) => {
      this.#awareness.push(payload);
      this.#pace.soon();
    });
    this.#channel.on("room:status", (payload: unknown) => this.#status(payload));
    this.#channel.on("room:access", (payload: unknown) => this.#access(payload));
    this.#channel.on("challenge:changed", (payload: unknown) => {
      const { challenge } = (payload ?? {}) as { challenge?: unknown };
      const before = this.view.challenge;
      if (before && isChallenge(challenge)) this.#show({ challenge: { ...before, ...challenge } });
    });
    this.#presence.onSync(() => {
      this.#peopleChanged = true;
      this.#pace.soon();
    });
  }

  #join(): void {
    this.#channel
      .join()
      .receive("ok", (reply: unknown) => void this.#enter(reply))
      .receive("error", (reply: unknown) => {
        const reason = reasonOf(reply);
        if (/not.?found|no such|unknown|invalid/i.test(reason)) this.#end("not-found");
        else if (reason === "full" && !this.view.challenge) this.#end("full");
        else if (/token|sign|unauthenticated/i.test(reason)) void this.#checkToken();
        // A room that we know may be unavailable for a while; the channel tries again by itself.
        else if (!this.view.challenge && !/unavailable|timeout|later|crash|overload/i.test(reason))
          this.#end("refused");
      });
  }

  async #enter(reply: unknown): Promise<void> {
    const { challenge, epoch, can_write, status, me } = (reply ?? {}) as Record<string, unknown>;
    if (!isChallenge(challenge) || typeof epoch !== "string") return this.#end("refused");
    const { id, color } = (me ?? {}) as { id?: unknown; color?: unknown };
    this.#ownId = String(id);
    this.#ownColor = colorOf(color);
    this.#sentPosition = "";
    // What a state of before the outage is about may have gone meanwhile: all of them come again.
    this.#forgetPeers();
    this.#show({ challenge, canWrite: can_write === true, ...statusOf(status) });
    this.channel.joined();
    if (epoch !== this.#epoch) await this.#begin(epoch);
    if (!this.#canPush()) return;
    this.#document?.joined(this.view.canWrite, this.view.persistence);
  }

  /**
   * A document for this epoch. What an earlier one had unsaved does not fit into it, and is offered
   * as text.
   */
  async #begin(epoch: string): Promise<void> {
    const before = this.#document;
    this.#epoch = epoch;
    this.#document = undefined;
    if (before && !before.saved) this.#show({ rescued: before.text.toString() });
    before?.close();
    const unsaved = await unsavedEdits(this.#userId, this.#id, epoch);
    if (this.#closed || epoch !== this.#epoch) return;
    this.#document = new RoomDocument(this, unsaved, () => this.#showDocument());
    this.#show({ ready: false });
    this.#editor.allowEditing(false);
  }

  /** The text has arrived, for the first time or again. */
  #opened(): void {
    const document = this.#document;
    if (this.#closed || !document?.received) return;
    if (!this.view.ready) {
      this.#editor.open(document.text);
      this.#editor.allowEditing(this.view.canWrite);
    }
    if (this.view.connection === "reconnecting") {
      this.#backTimer = setTimeout(() => this.#show({ connection: "online" }), BACK_SHOWN_MS);
      this.#show({ connection: "back" });
    } else if (this.view.connection === "connecting") this.#show({ connection: "online" });
    this.#show({ ready: true });
    this.moved();
  }

  #showDocument(): void {
    const document = this.#document;
    if (!document) return;
    const { save, block } = document;
    if (save !== this.view.save || block !== this.view.block) this.#show({ save, block });
  }

  #status(payload: unknown): void {
    const status = statusOf(payload);
    this.#show(status);
    this.#document?.persistence(status.persistence);
  }

  #access(payload: unknown): void {
    const canWrite = (payload as { can_write?: unknown } | null)?.can_write === true;
    this.#show({ canWrite });
    this.#document?.access(canWrite);
    if (this.view.ready) this.#editor.allowEditing(canWrite);
  }

  /**
   * What the others have done since the last time: their letters first, to which their cursors then
   * point.
   */
  #showOthers(): void {
    const updates = this.#updates;
    this.#updates = [];
    if (updates.length > 0) this.#document?.receive(updates);
    if (this.#awareness.length > 0) this.#showCursors();
    if (this.#peopleChanged) this.#showPeople();
  }

  #showCursors(): void {
    const before = this.#peers;
    const { peers, changed } = withAwareness(before, this.#awareness, this.#ownId);
    this.#peers = peers;
    this.#awareness = [];
    // People have the colours of their cursors.
    this.#peopleChanged = true;
    this.#editor.showPeers(
      changed,
      [...before.keys()].filter((id) => !peers.has(id)),
    );
    const leader = changed.findLast((peer) => peer.userId === this.view.following);
    if (leader) this.#editor.goTo(leader);
  }

  #forgetPeers(): void {
    this.#editor.showPeers([], [...this.#peers.keys()]);
    this.#peers = new Map();
  }

  #showPeople(): void {
    this.#peopleChanged = false;
    const entries: Presences = this.#presence.list(
      (id: string, entry: { metas: readonly Meta[] }) => [id, entry.metas] as const,
    );
    const colors = new Map(colorsOf(this.#peers));
    if (this.#ownColor !== undefined) colors.set(this.#userId, this.#ownColor);
    const people = peopleOf(entries, this.#userId, colors);
    if (JSON.stringify(people) === JSON.stringify(this.view.people)) return;
    const { following } = this.view;
    const gone = following !== undefined && !people.some((person) => person.id === following);
    this.#show({ people, ...(gone && { following: undefined }) });
  }

  #peerOf(userId: string | undefined): Peer | undefined {
    return [...this.#peers.values()].findLast((peer) => peer.userId === userId);
  }

  #tellPosition(): void {
    const place = this.view.ready && this.#canPush() ? this.#editor.whereabouts() : undefined;
    if (!place) return;
    const message = positionMessage(place);
    const text = JSON.stringify(message);
    if (text === this.#sentPosition) return;
    this.#sentPosition = text;
    this.#channel.push("y:awareness", message);
  }

  #away(): void {
    if (this.#closed) return;
    clearTimeout(this.#backTimer);
    this.#pace.now();
    this.#document?.left();
    this.#forgetPeers();
    if (this.view.ready) this.#show({ connection: "reconnecting", following: undefined });
  }

  /**
   * The document was created again while we were in the room: joining again tells which one it is
   * now.
   */
  #rejoin(): void {
    this.#document?.left();
    this.#socket.disconnect(() => this.#socket.connect());
  }

  async #doubtToken(): Promise<void> {
    this.#failedConnects += 1;
    if (this.#failedConnects % DOUBT_AFTER === 0) await this.#checkToken();
  }

  /**
   * The api ends the session on a 401, and the page goes to the sign-in form; every other failure
   * is a matter of time.
   */
  async #checkToken(): Promise<void> {
    try {
      await api.challenge(this.#id);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404 && !this.view.challenge) this.#end("not-found");
    }
  }

  #end(refusal: NonNullable<RoomView["refusal"]>): void {
    if (this.#closed) return;
    this.#channel.leave();
    this.#socket.disconnect();
    this.#show({ refusal });
  }

  /** A push while away would wait in the client's buffer and go out later, out of date. */
  #canPush(): boolean {
    return this.#channel.state === "joined" && this.#socket.isConnected();
  }

  #show(change: Partial<{ -readonly [K in keyof RoomView]: RoomView[K] }>): void {
    if (this.#closed) return;
    this.view = { ...this.view, ...change };
    this.#changed();
  }
}

const positionMessage = ({ cursor, top }: Whereabouts): object => ({
  cursor: { anchor: toBase64(cursor.anchor), head: toBase64(cursor.head) },
  top: toBase64(top),
});

function isChallenge(value: unknown): value is Challenge {
  return typeof value === "object" && value !== null && "id" in value;
}

function statusOf(value: unknown): { readonly persistence: Persistence; readonly draining: boolean } {
  const { persistence, draining } = (value ?? {}) as { persistence?: unknown; draining?: unknown };
  return {
    persistence: persistence === "degraded" || persistence === "read_only" ? persistence : "ok",
    draining: draining === true,
  };
}
