/**
 * A server of the whole-text protocol and any number of clients in one room, without clocks or sockets. Every hop is a
 * queue that moves only when told to, so that a test decides what crosses what.
 *
 * The server is deliberately dumb: it stores what comes, last writer wins, and tells everyone, the sender included.
 */
import { ChangeSet } from "@codemirror/state";
import { apply } from "../../src/app/rooms/text-diff.js";
import {
  initialSync,
  type SyncEvent,
  type SyncState,
  saveStatus,
  step,
  wakeAt,
} from "../../src/app/web/sync/text-sync.js";

type Up = { readonly id: number; readonly text: string };

export class SimulatedClient {
  readonly name: string;
  state: SyncState;
  /** What the editor shows: changed by local edits and by `apply` actions alone. */
  editor = "";
  /** Every action and event, for reading a counterexample. */
  readonly log: string[] = [];
  readonly up: Up[] = [];
  readonly down: SyncEvent[] = [];
  connected = false;
  readonly #room: Room;

  constructor(room: Room, name: string) {
    this.#room = room;
    this.name = name;
    this.state = initialSync(room.clients.length / 4);
  }

  handle(event: SyncEvent): void {
    const { state, actions } = step(this.state, event, this.#room.now);
    this.state = state;
    for (const action of actions) {
      if (action.type === "apply") this.editor = apply(this.editor, action.changes);
      else {
        if (!this.connected) throw new Error(`${this.name} sent without a connection`);
        this.up.push({ id: action.id, text: action.text });
      }
      this.log.push(action.type === "send" ? `send ${JSON.stringify(action.text)}` : "apply");
    }
    this.log.push(
      `${event.type} ${"text" in event ? JSON.stringify(event.text) : ""} -> ${JSON.stringify(state.doc)}`,
    );
    if (this.editor !== state.doc) {
      throw new Error(
        `${this.name}: the editor shows ${JSON.stringify(this.editor)}, the state ${JSON.stringify(state.doc)}`,
      );
    }
  }

  /** Replaces `length` characters at a place between 0 (start) and 1 (end); the caret of a person, so to say. */
  edit(place: number, length: number, insert: string): void {
    if (!this.state.joined && this.state.seen.length === 0) return;
    const from = Math.floor(place * this.editor.length);
    const to = Math.min(this.editor.length, from + length);
    if (from === to && insert === "") return;
    const changes = ChangeSet.of({ from, to, insert }, this.editor.length);
    this.editor = apply(this.editor, changes);
    this.handle({ type: "edited", changes });
  }

  append(insert: string): void {
    this.edit(1, 0, insert);
  }

  connect(): void {
    if (this.connected) return;
    this.connected = true;
    this.down.push({ type: "joined", text: this.#room.text });
  }

  /** The link breaks: what is on the way is gone in both directions, though `stored` updates still arrived. */
  cut(stored = 0): void {
    if (!this.connected) return;
    this.connected = false;
    for (const update of this.up.splice(0, stored)) this.#room.store(update.text);
    this.up.length = 0;
    this.down.length = 0;
    this.handle({ type: "left" });
  }

  /** The server takes this client's oldest update. */
  arrive(): boolean {
    const update = this.up.shift();
    if (!update) return false;
    if (this.#room.failing) this.down.push({ type: "refused", id: update.id });
    else this.#room.store(update.text);
    return true;
  }

  /** This client takes the server's oldest message. */
  receive(): boolean {
    const event = this.down.shift();
    if (!event) return false;
    this.handle(event);
    return true;
  }

  tickIfDue(): boolean {
    const due = wakeAt(this.state);
    if (due === undefined || due > this.#room.now) return false;
    this.handle({ type: "tick" });
    return true;
  }
}

export class Room {
  text: string;
  now = 1_000_000;
  failing = false;
  readonly clients: SimulatedClient[] = [];

  constructor(text = "", names: readonly string[] = []) {
    this.text = text;
    for (const name of names) this.clients.push(new SimulatedClient(this, name));
  }

  store(text: string): void {
    this.text = text;
    for (const client of this.clients) {
      if (client.connected) client.down.push({ type: "updated", text });
    }
  }

  advance(ms: number): void {
    this.now += ms;
    for (const client of this.clients) client.tickIfDue();
  }

  /** Everything on the way arrives, nothing else happens. */
  deliver(): void {
    let moved = true;
    for (let i = 0; moved; i += 1) {
      if (i > 2_000) throw new Error("the clients do not stop answering each other");
      moved = false;
      for (const client of this.clients) {
        while (client.arrive()) moved = true;
        while (client.receive()) moved = true;
      }
    }
  }

  /** Everybody is back, the server works, and time passes until nobody has anything to do. */
  heal(): void {
    this.failing = false;
    for (const client of this.clients) client.connect();
    for (let i = 0; ; i += 1) {
      if (i > 200) throw new Error("the clients never come to rest");
      this.deliver();
      const due = this.clients.map((client) => wakeAt(client.state)).filter((at) => at !== undefined);
      if (due.length === 0) return;
      this.advance(Math.max(0, Math.min(...due) - this.now));
    }
  }

  atRest(): boolean {
    return this.clients.every(
      (client) => client.editor === this.text && saveStatus(client.state) === "saved",
    );
  }
}
