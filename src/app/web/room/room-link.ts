/**
 * One room as the page sees it: the socket, the channel, who is there, and the text kept in step (sync/text-sync.ts
 * decides, this file carries out). The view is a plain value that listeners read after each change.
 *
 *     connecting ──▶ online ──▶ reconnecting ──▶ back ──a moment──▶ online
 *         └──────────────┴───────────┴──▶ ended: signed out, or the server says that this room is not for us
 */
import { type Channel, Presence, Socket } from "phoenix";
import { ApiError, api } from "../api.js";
import { session } from "../session.js";
import {
  draftOf,
  initialSync,
  inStep,
  resumeSync,
  type SaveStatus,
  type SyncAction,
  type SyncEvent,
  type SyncState,
  saveStatus,
  step,
  wakeAt,
} from "../sync/text-sync.js";
import type { Challenge, Signed } from "../types.js";
import { keepDraft, takeDraft } from "./drafts.js";
import type { CodeEditor } from "./editor.js";
import { type Meta, type Person, type Presences, peopleOf } from "./presence-list.js";
import { RoomEvents, reasonOf } from "./room-events.js";
import { keepSession } from "./session-keeper.js";

export type Connection = "connecting" | "online" | "reconnecting" | "back";

export interface RoomView {
  readonly connection: Connection;
  readonly challenge: Challenge | undefined;
  readonly people: readonly Person[];
  readonly save: SaveStatus;
  /** Why the last update was refused, in the server's words. */
  readonly problem: string | undefined;
  /** The room cannot be entered. */
  readonly refusal: "not-found" | "refused" | undefined;
}

const RECONNECT_MS = [50, 100, 250, 500, 1_000, 2_000, 3_000];
const REJOIN_MS = [200, 500, 1_000, 2_000, 5_000];
const BACK_SHOWN_MS = 4_000;
/** How long unsent edits wait, after a join, for the text to be read once more. */
const READ_AGAIN_MS = 2_000;
/** Refused connects in a row after which the token is looked at: a browser does not say why a socket was refused. */
const DOUBT_AFTER = 3;

export class RoomLink {
  readonly channel: RoomEvents;
  view: RoomView = {
    connection: "connecting",
    challenge: undefined,
    people: [],
    save: "saved",
    problem: undefined,
    refusal: undefined,
  };
  readonly #id: string;
  readonly #userId: string;
  readonly #editor: CodeEditor;
  readonly #changed: () => void;
  readonly #socket: Socket;
  readonly #channel: Channel;
  #sync: SyncState;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #backTimer: ReturnType<typeof setTimeout> | undefined;
  /** Joins so far, and the newest text that was broadcast since the last one. */
  #joins = 0;
  #heard: Challenge | undefined;
  #failedConnects = 0;
  /** The server may believe that this tab types. */
  #typing = false;
  #closed = false;
  readonly #leaveSession: () => void;
  #draftKept: boolean;

  constructor(id: string, signed: Signed, editor: CodeEditor, changed: () => void) {
    this.#id = id;
    this.#userId = String(signed.user.id);
    this.#editor = editor;
    this.#changed = changed;

    const draft = takeDraft(this.#userId, id);
    this.#draftKept = draft !== undefined;
    const stagger = Math.random();
    this.#sync = draft ? resumeSync(draft, stagger, Date.now()) : initialSync(stagger);

    this.#socket = new Socket("/socket", {
      params: () => ({ token: session.token() }),
      heartbeatIntervalMs: 15_000,
      // Everybody is thrown out at once when a server stops; they should not all come back at once.
      reconnectAfterMs: (tries: number) => pick(RECONNECT_MS, tries) * (0.7 + 0.6 * Math.random()),
      rejoinAfterMs: (tries: number) => pick(REJOIN_MS, tries),
    });
    this.#channel = this.#socket.channel(`challenges:${id}`, {});
    this.channel = new RoomEvents(this.#channel, () => this.#canPush());
    this.#leaveSession = keepSession(this.#channel);
    this.#listen();
    this.#socket.connect();
    this.#join();
    window.addEventListener("pagehide", this.#keep);
    document.addEventListener("visibilitychange", this.#keep);
  }

  edited(changes: Extract<SyncEvent, { type: "edited" }>["changes"]): void {
    this.#feed({ type: "edited", changes });
  }

  /** The reader has left the text: nobody types here any more. */
  blurred(): void {
    if (!this.#typing || !this.#canPush()) return;
    this.#typing = false;
    this.#channel.push("current_participant_typing:remove", {});
  }

  close(): void {
    this.#keep();
    this.#closed = true;
    this.#leaveSession();
    clearTimeout(this.#timer);
    clearTimeout(this.#backTimer);
    window.removeEventListener("pagehide", this.#keep);
    document.removeEventListener("visibilitychange", this.#keep);
    this.#channel.leave();
    this.#socket.disconnect();
  }

  readonly #keep = (): void => {
    const draft = draftOf(this.#sync);
    keepDraft(this.#userId, this.#id, draft);
    this.#draftKept = draft !== undefined;
  };

  #listen(): void {
    this.#socket.onOpen(() => {
      this.#failedConnects = 0;
    });
    this.#socket.onClose(() => {
      this.#away();
      void this.#doubtToken();
    });
    this.#channel.onError(() => this.#away());

    this.#channel.on("response:updated", ({ challenge }: { challenge: Challenge }) => {
      if (!isChallenge(challenge)) return;
      this.#heard = challenge;
      if (this.#sync.joined) this.#take(challenge);
    });

    const presence = new Presence(this.#channel);
    presence.onSync(() => {
      const entries: Presences = presence.list(
        (id: string, entry: { metas: readonly Meta[] }) => [id, entry.metas] as const,
      );
      this.#show({ people: peopleOf(entries, this.#userId) });
    });
  }

  #take(challenge: Challenge): void {
    const text = textOf(challenge);
    if (this.#sync.joined) {
      this.#show({ challenge });
      this.#feed({ type: "updated", text });
      return;
    }
    const again = this.view.connection === "reconnecting";
    clearTimeout(this.#backTimer);
    if (again) this.#backTimer = setTimeout(() => this.#show({ connection: "online" }), BACK_SHOWN_MS);
    this.#show({ challenge, connection: again ? "back" : "online", problem: undefined });
    this.#feed({ type: "joined", text });
  }

  /**
   * The join's reply was read from the database before the server subscribed us to the room, so it may lack an update
   * that nobody will tell us of. The text is therefore read once more: before unsent edits go out, because they would
   * overwrite that update; otherwise on the quiet. What has been broadcast since the join is newer than both.
   */
  async #enter(replied: Challenge): Promise<void> {
    this.#joins += 1;
    const join = this.#joins;
    this.#heard = undefined;
    if (inStep(this.#sync)) this.#take(replied);
    const read = await api.challenge(this.#id, AbortSignal.timeout(READ_AGAIN_MS)).catch(() => undefined);
    if (join !== this.#joins || this.#channel.state !== "joined") return;
    if (!this.#sync.joined) this.#take(this.#heard ?? read ?? replied);
    else if (!this.#heard && read) this.#take(read);
  }

  #join(): void {
    this.#channel
      .join()
      .receive("ok", ({ challenge }: { challenge: Challenge }) => {
        if (!isChallenge(challenge)) return this.#end("refused");
        this.#typing = false;
        this.channel.joined();
        this.#restoreDraft();
        this.#editor.allowEditing(true);
        void this.#enter(challenge);
      })
      .receive("error", (reply: unknown) => {
        const reason = reasonOf(reply);
        if (/not.?found|no such|unknown|invalid/i.test(reason)) this.#end("not-found");
        else if (/token|sign|unauthenticated/i.test(reason)) void this.#checkToken();
        // A room that we know may be unavailable for a while; the channel tries again by itself.
        else if (!this.view.challenge && !/unavailable|timeout|later|crash|overload/i.test(reason))
          this.#end("refused");
      });
  }

  /** The first join fills the editor with the draft's text; the merge with the server's then follows like any other. */
  #restoreDraft(): void {
    const { doc } = this.#sync;
    if (doc === "" || this.#editor.text !== "") return;
    this.#editor.fill(doc);
  }

  #away(): void {
    if (this.#closed) return;
    clearTimeout(this.#backTimer);
    if (this.#sync.joined) this.#feed({ type: "left" });
    if (this.view.challenge) this.#show({ connection: "reconnecting" });
  }

  async #doubtToken(): Promise<void> {
    this.#failedConnects += 1;
    if (this.#failedConnects % DOUBT_AFTER === 0) await this.#checkToken();
  }

  /** The api signs out on a 401, and the page goes to the sign-in form; every other failure is a matter of time. */
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

  #feed(event: SyncEvent): void {
    if (this.#closed) return;
    const { state, actions } = step(this.#sync, event, Date.now());
    this.#sync = state;
    // A draft of what has been stored since would be typed a second time by the next page.
    if (this.#draftKept && inStep(state)) this.#keep();
    for (const action of actions) this.#perform(action);
    this.#show({ save: saveStatus(this.#sync), ...(this.#sync.failures === 0 && { problem: undefined }) });
    this.#sleep();
  }

  #perform(action: SyncAction): void {
    if (action.type === "apply") {
      this.#editor.applyRemote(action.changes);
      return;
    }
    const { id } = action;
    // A push while away would wait in the client's buffer and go out later, out of date; text-sync never asks for it,
    // and should the socket have gone just now, the update counts as lost when `left` comes.
    if (!this.#canPush()) return;
    this.#typing = true;
    this.#channel
      .push("response:update", { response: action.text })
      .receive("ok", () => this.#feed({ type: "confirmed", id }))
      .receive("error", (reply: unknown) => {
        this.#show({ problem: reasonOf(reply) });
        this.#feed({ type: "refused", id });
      });
    // An update that goes out after the reader has left the text sets the mark again on the server.
    if (!this.#editor.focused) this.blurred();
  }

  #canPush(): boolean {
    return this.#channel.state === "joined" && this.#socket.isConnected();
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    const at = wakeAt(this.#sync);
    if (at === undefined) return;
    this.#timer = setTimeout(() => this.#feed({ type: "tick" }), Math.max(0, at - Date.now()));
  }

  #show(change: Partial<{ -readonly [K in keyof RoomView]: RoomView[K] }>): void {
    if (this.#closed) return;
    this.view = { ...this.view, ...change };
    this.#changed();
  }
}

const pick = (delays: readonly number[], tries: number): number =>
  delays[Math.min(tries, delays.length) - 1] ?? 50;

function isChallenge(value: unknown): value is Challenge {
  return typeof value === "object" && value !== null && "id" in value;
}

/** The editor knows one kind of line break. */
const textOf = (challenge: Challenge): string =>
  typeof challenge.response === "string" ? challenge.response.replace(/\r\n?/g, "\n") : "";
