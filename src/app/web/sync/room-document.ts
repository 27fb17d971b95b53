/**
 * The shared document of a room in this page: a Yjs document, kept in step with the server's by
 * doc-sync.ts, and its unsaved edits kept where a reload finds them.
 *
 * The promise: an edit made here is in the document at once, in the `UnsavedEdits` before the
 * browser paints, and in every other copy as soon as there is a connection. Nothing typed is ever
 * taken away by what others do.
 *
 * One document is one epoch of the room; for another epoch make another one.
 */
import * as Y from "yjs";
import {
  initialSync,
  isSaved,
  type Refusal,
  type SaveStatus,
  type SyncAction,
  type SyncEvent,
  type SyncState,
  saveStatus,
  step,
  UPDATE_LIMIT,
  wakeAt,
} from "./doc-sync.js";
import { splitUpdate } from "./split-update.js";

/** The type in the document that holds the text; the same for every client. */
export const TEXT = "response";

/** What the document needs of the channel. Called only while it is joined. */
export interface DocumentLink {
  /** Sends our state vector. The answers come as `asked` and `synced`. */
  ask(stateVector: Uint8Array): void;
  /** Sends an update. The answer comes as `stored` or `refused`. */
  push(id: number, update: Uint8Array): void;
}

/**
 * Where edits wait that are not stored by the server. Adding must not need a further turn of the
 * event loop.
 */
export interface UnsavedEdits {
  add(row: number, update: Uint8Array): void;
  /** Everything up to this row is stored, or is contained in a later one. */
  remove(upTo: number): void;
  /** What earlier pages have left; a page's own rows are not among them. */
  left(): Promise<readonly Uint8Array[]>;
  /** What earlier pages have left is stored now. */
  removeLeft(): void;
}

/** So many rows become one. */
const ROWS_AT_MOST = 300;

/** The origin of what the server sent. */
const REMOTE = Symbol("remote");

export class RoomDocument {
  readonly doc = new Y.Doc();
  readonly text = this.doc.getText(TEXT);
  readonly #link: DocumentLink;
  readonly #unsaved: UnsavedEdits;
  readonly #changed: () => void;
  #state: SyncState = initialSync;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** For each client id that is ours to answer for: its clock up to which all is stored. */
  readonly #storedClocks = new Map<number, number>();
  /** What a push will have stored when it is answered: clocks of our ids, and the newest row. */
  readonly #pushed = new Map<
    number,
    { readonly clocks: ReadonlyMap<number, number>; readonly row: number }
  >();
  #row = 0;
  #firstRow = 1;
  #restored = false;
  #leftRemoved = false;
  #received = false;
  #closed = false;

  constructor(link: DocumentLink, unsaved: UnsavedEdits, changed: () => void) {
    this.#link = link;
    this.#unsaved = unsaved;
    this.#changed = changed;
    this.#storedClocks.set(this.doc.clientID, 0);
    this.doc.on("update", (update: Uint8Array, origin: unknown) => {
      if (origin === REMOTE) return;
      this.#keep(update);
      for (const part of splitUpdate(update, UPDATE_LIMIT)) this.#feed({ type: "edited", update: part });
    });
  }

  /** The server's text has arrived once: before that there is nothing to show or to edit. */
  get received(): boolean {
    return this.#received;
  }

  get saved(): boolean {
    return isSaved(this.#state);
  }

  get save(): SaveStatus {
    return saveStatus(this.#state, performance.now());
  }

  /** Why nothing goes out although there is a connection. */
  get block(): SyncState["block"] {
    return this.#state.block;
  }

  joined(canWrite: boolean, persistence: SyncState["persistence"]): void {
    this.#feed({ type: "joined", canWrite, persistence });
  }

  left(): void {
    this.#pushed.clear();
    this.#feed({ type: "left" });
  }

  access(canWrite: boolean): void {
    this.#feed({ type: "access", canWrite });
  }

  persistence(persistence: SyncState["persistence"]): void {
    this.#feed({ type: "persistence", persistence });
  }

  /** The server has sent its state vector (`y:sv`). */
  asked(stateVector: Uint8Array): void {
    const theirs = decoded(() => Y.decodeStateVector(stateVector));
    if (theirs) this.#feed({ type: "asked", missing: this.#missing(theirs) });
  }

  /** What others have typed. Shown as one change. */
  receive(updates: readonly Uint8Array[]): void {
    this.doc.transact(() => {
      for (const update of updates) decoded(() => Y.applyUpdate(this.doc, update, REMOTE));
    }, REMOTE);
  }

  /** The server sent what we lack, as the answer to a question. */
  async synced(update: Uint8Array): Promise<void> {
    this.receive([update]);
    if (!this.#restored) {
      this.#restored = true;
      await this.#restore();
    }
    if (this.#closed) return;
    this.#received = true;
    this.#changed();
  }

  stored(id: number): void {
    const pushed = this.#pushed.get(id);
    if (!pushed) return;
    this.#pushed.delete(id);
    this.#feed({ type: "stored", id });
    // While something that was sent before is owed, this answer speaks for its own update alone.
    if (this.#state.owed) return;
    for (const [client, clock] of pushed.clocks) this.#storedClocks.set(client, clock);
    if (pushed.row >= this.#firstRow) {
      this.#unsaved.remove(pushed.row);
      this.#firstRow = pushed.row + 1;
    }
    if (!this.saved || !this.#received || this.#leftRemoved) return;
    this.#leftRemoved = true;
    this.#unsaved.removeLeft();
  }

  /** The question was not answered, or with an error. */
  unasked(): void {
    this.#feed({ type: "unasked" });
  }

  refused(id: number, refusal: Refusal): void {
    this.#pushed.delete(id);
    this.#feed({ type: "refused", id, refusal });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.doc.destroy();
  }

  /**
   * What the server lacks, and what it has but is not known to have stored, in parts that may be
   * sent.
   */
  #missing(theirs: Map<number, number>): readonly Uint8Array[] {
    const ours = Y.decodeStateVector(Y.encodeStateVector(this.doc));
    const known = new Map(theirs);
    if (!this.saved) {
      for (const [client, stored] of this.#storedClocks) {
        known.set(client, Math.min(stored, known.get(client) ?? 0));
      }
    } else if ([...ours].every(([client, clock]) => clock <= (theirs.get(client) ?? 0))) {
      return [];
    }
    return splitUpdate(this.#since(known), UPDATE_LIMIT);
  }

  #since(clocks: ReadonlyMap<number, number>): Uint8Array {
    return Y.encodeStateAsUpdate(this.doc, encodeClocks(clocks));
  }

  #keep(update: Uint8Array): void {
    this.#row += 1;
    this.#unsaved.add(this.#row, update);
    if (this.#row - this.#firstRow < ROWS_AT_MOST) return;
    const clocks = Y.decodeStateVector(Y.encodeStateVector(this.doc));
    for (const [client, stored] of this.#storedClocks) clocks.set(client, stored);
    this.#row += 1;
    this.#unsaved.add(this.#row, this.#since(clocks));
    this.#unsaved.remove(this.#row - 1);
    this.#firstRow = this.#row;
  }

  /**
   * Edits of an earlier page that it did not get stored. They follow what the server sent, on which
   * they build.
   */
  async #restore(): Promise<void> {
    const rows = await this.#unsaved.left();
    for (const row of rows) {
      const { structs } = decoded(() => Y.decodeUpdate(row)) ?? { structs: [] };
      for (const { id } of structs) {
        this.#storedClocks.set(id.client, Math.min(id.clock, this.#storedClocks.get(id.client) ?? id.clock));
      }
      // Sent whether or not it changes anything here: only an answer says that it is stored.
      decoded(() => Y.applyUpdate(this.doc, row, REMOTE));
      for (const part of splitUpdate(row, UPDATE_LIMIT)) this.#feed({ type: "edited", update: part });
    }
  }

  #feed(event: SyncEvent): void {
    if (this.#closed) return;
    const { state, actions } = step(this.#state, event, performance.now());
    this.#state = state;
    for (const action of actions) this.#perform(action);
    this.#changed();
    clearTimeout(this.#timer);
    const now = performance.now();
    const at = wakeAt(this.#state, now);
    if (at !== undefined) {
      this.#timer = setTimeout(() => this.#feed({ type: "tick" }), Math.max(1, at - now));
    }
  }

  #perform(action: SyncAction): void {
    if (action.type === "ask") {
      this.#link.ask(Y.encodeStateVector(this.doc));
      return;
    }
    const clocks = new Map<number, number>();
    // Answers come in order, so this one stands for all that was pushed before; what is pending is
    // not in it.
    if (this.#state.pending.length === 0) {
      const all = Y.decodeStateVector(Y.encodeStateVector(this.doc));
      for (const client of this.#storedClocks.keys()) clocks.set(client, all.get(client) ?? 0);
    }
    const row = this.#state.pending.length === 0 ? this.#row : 0;
    this.#pushed.set(action.id, { clocks, row });
    this.#link.push(action.id, action.update);
  }
}

/** What a peer sent is not trusted to be what it should be. */
function decoded<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** A state vector: how many entries, then client and clock of each, as Yjs has it. */
function encodeClocks(clocks: ReadonlyMap<number, number>): Uint8Array {
  const encoder = new Y.UpdateEncoderV1();
  const entries = [...clocks].filter(([, clock]) => clock > 0);
  encoder.writeLen(entries.length);
  for (const [client, clock] of entries) {
    encoder.writeLen(client);
    encoder.writeLen(clock);
  }
  return encoder.toUint8Array();
}
