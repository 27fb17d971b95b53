/**
 * The server of docs/room-protocol.md and any number of pages in one room, without sockets. Every
 * hop is a queue that moves only when notified to, so that a test decides what crosses what; time
 * is vitest's.
 *
 * The server has what it was sent at once and stores it when notified to; a crash takes what was
 * not stored.
 */
import * as Y from "yjs";
import {
  type DocumentLink,
  RoomDocument,
  TEXT,
  type UnsavedEdits,
} from "../../../src/app/web/sync/room-document.js";

type Up =
  | { readonly kind: "ask"; readonly vector: Uint8Array }
  | { readonly kind: "push"; readonly id: number; readonly update: Uint8Array };

/** What IndexedDB keeps of one person in one room. */
class Drawer {
  readonly rows = new Map<string, Uint8Array>();

  page(name: string): UnsavedEdits {
    const own = (key: string): boolean => key.startsWith(`${name}/`);
    let left: string[] = [];
    return {
      add: (row, update) => void this.rows.set(`${name}/${row}`, update),
      remove: (upTo) => {
        for (const key of [...this.rows.keys()].filter(own)) {
          if (Number(key.split("/")[1]) <= upTo) this.rows.delete(key);
        }
      },
      left: async () => {
        left = [...this.rows.keys()].filter((key) => !own(key));
        return left.map((key) => this.rows.get(key)!);
      },
      removeLeft: () => {
        for (const key of left) this.rows.delete(key);
      },
    };
  }
}

export class Page implements DocumentLink {
  readonly up: Up[] = [];
  readonly down: (() => unknown)[] = [];
  readonly drawer = new Drawer();
  document!: RoomDocument;
  connected = false;
  readonly #room: Room;
  #joins = 0;
  #pages = 0;

  constructor(room: Room) {
    this.#room = room;
    this.load();
  }

  /** The page is loaded, or loaded again: what it had in memory is gone. */
  load(): void {
    if (this.#pages > 0) {
      this.cut();
      this.document.close();
    }
    this.#pages += 1;
    this.document = new RoomDocument(this, this.drawer.page(String(this.#pages)), () => {});
  }

  /** Names the connection. */
  get joins(): string {
    return `${this.#room.pages.indexOf(this)}/${this.#joins}`;
  }

  get text(): string {
    return this.document.text.toString();
  }

  ask(vector: Uint8Array): void {
    if (!this.connected) throw new Error("asked without a connection");
    this.up.push({ kind: "ask", vector });
  }

  push(id: number, update: Uint8Array): void {
    if (!this.connected) throw new Error("pushed without a connection");
    this.up.push({ kind: "push", id, update });
  }

  /**
   * Replaces `length` characters at a place between 0 (start) and 1 (end). False when there is no
   * text to edit yet.
   */
  edit(place: number, length: number, insert: string): boolean {
    if (!this.document.received) return false;
    const { doc, text } = this.document;
    const from = Math.floor(place * text.length);
    doc.transact(() => {
      if (length > 0 && from < text.length) text.delete(from, Math.min(length, text.length - from));
      if (insert !== "") text.insert(from, insert);
    });
    return true;
  }

  connect(): void {
    if (this.connected) return;
    this.connected = true;
    this.#joins += 1;
    const { document } = this;
    this.down.push(() => document.joined(true, "ok"));
  }

  /**
   * The link breaks: what is on the way is gone in both directions, though `arriving` messages
   * still get there.
   */
  cut(arriving = 0): void {
    if (!this.connected) return;
    for (let i = 0; i < arriving; i += 1) this.arrive();
    this.connected = false;
    this.up.length = 0;
    this.down.length = 0;
    this.document.left();
  }

  /** The server takes this page's oldest message. */
  arrive(): boolean {
    const message = this.up.shift();
    if (!message) return false;
    if (message.kind === "ask") this.#room.answer(this, message.vector);
    else this.#room.take(this, message.id, message.update);
    return true;
  }

  /** This page takes the server's oldest message. */
  async receive(): Promise<boolean> {
    const message = this.down.shift();
    if (!message) return false;
    await message();
    return true;
  }
}

export class Room {
  #memory = new Y.Doc();
  #stored = new Y.Doc();
  /** What the next commit writes, and whom it then tells. */
  #waiting: { readonly update: Uint8Array; readonly joins: string; readonly notified: () => void }[] = [];
  /** So many updates are refused, for the rate. */
  refusing = 0;
  readonly pages: Page[] = [];

  constructor(text = "", pages = 0) {
    this.#memory.getText(TEXT).insert(0, text);
    Y.applyUpdate(this.#stored, Y.encodeStateAsUpdate(this.#memory));
    for (let i = 0; i < pages; i += 1) this.pages.push(new Page(this));
  }

  get storedText(): string {
    return this.#stored.getText(TEXT).toString();
  }

  answer(page: Page, vector: Uint8Array): void {
    const { document } = page;
    const ours = Y.encodeStateVector(this.#memory);
    const lacking = Y.encodeStateAsUpdate(this.#memory, vector);
    page.down.push(
      () => document.asked(ours),
      () => document.synced(lacking),
    );
  }

  take(page: Page, id: number, update: Uint8Array): void {
    const { document } = page;
    const answer = (tell: () => void): void => {
      if (page.connected && page.document === document) page.down.push(tell);
    };
    if (this.refusing > 0) {
      this.refusing -= 1;
      answer(() => document.refused(id, { reason: "rate", retryAfterMs: 40 }));
      return;
    }
    const trial = new Y.Doc();
    Y.applyUpdate(trial, Y.encodeStateAsUpdate(this.#memory));
    Y.applyUpdate(trial, update);
    if (trial.store.pendingStructs || trial.store.pendingDs) {
      answer(() => document.refused(id, { reason: "bad_update" }));
      return;
    }
    // The answers on one connection keep their order, so this one may have to wait for others.
    const { joins } = page;
    const first = !this.#waiting.some((other) => other.joins === joins);
    if (first && contains(this.#stored, update)) {
      answer(() => document.stored(id));
      return;
    }
    Y.applyUpdate(this.#memory, update);
    for (const other of this.pages) {
      if (other === page || !other.connected) continue;
      const { document: theirs } = other;
      other.down.push(() => theirs.receive([update]));
    }
    this.#waiting.push({ update, joins, notified: () => answer(() => document.stored(id)) });
  }

  /** What waits is stored, and those who sent it are notified. */
  commit(): boolean {
    const batch = this.#waiting.splice(0);
    for (const { update } of batch) Y.applyUpdate(this.#stored, update);
    for (const { notified } of batch) notified();
    return batch.length > 0;
  }

  /** The server dies and is started again: it has what was stored. */
  crash(): void {
    this.#waiting = [];
    for (const page of this.pages) page.cut();
    this.#memory = new Y.Doc();
    Y.applyUpdate(this.#memory, Y.encodeStateAsUpdate(this.#stored));
  }

  /** Everything on the way arrives, and is stored. */
  async deliver(): Promise<void> {
    for (let moved = true; moved; ) {
      moved = false;
      for (const page of this.pages) {
        while (page.arrive()) moved = true;
        while (await page.receive()) moved = true;
      }
      if (this.commit()) moved = true;
    }
  }

  /** Everyone is back, the server works, and time passes until no one has anything to do. */
  async heal(advance: (ms: number) => void): Promise<void> {
    this.refusing = 0;
    for (const page of this.pages) page.connect();
    for (let i = 0; i < 60; i += 1) {
      await this.deliver();
      advance(250);
    }
    await this.deliver();
  }
}

/** Whether an update says nothing that a document does not have. */
function contains(doc: Y.Doc, update: Uint8Array): boolean {
  const copy = new Y.Doc();
  const whole = Y.encodeStateAsUpdate(doc);
  Y.applyUpdate(copy, whole);
  Y.applyUpdate(copy, update);
  const waits = copy.store.pendingStructs !== null || copy.store.pendingDs !== null;
  return !waits && Y.equalSnapshots(Y.snapshot(copy), Y.snapshot(doc));
}
