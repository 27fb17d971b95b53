/**
 * A document client of a room without a browser, as docs/room-protocol.md has it: the official
 * Phoenix client and a Yjs document. What it types goes out gathered, as from an editor; it knows
 * which of its edits were acknowledged.
 */
import type { Channel, Socket } from "phoenix";
import * as Y from "yjs";
import { answer, openSocket } from "./phoenix-client.js";

export interface JoinReply {
  readonly challenge: { readonly id: number; readonly response: string };
  readonly epoch: string;
  readonly can_write: boolean;
  readonly sv: string;
  readonly status: { readonly persistence: string; readonly draining: boolean };
  readonly me: {
    readonly id: string;
    readonly user_id: number;
    readonly name: string;
    readonly color: number;
  };
}

type Bytes = ArrayBuffer | { readonly b64: string };

const bytesOf = (payload: Bytes): Uint8Array =>
  payload instanceof ArrayBuffer
    ? new Uint8Array(payload)
    : new Uint8Array(Buffer.from(payload.b64, "base64"));

const bufferOf = (bytes: Uint8Array): ArrayBuffer =>
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;

/** Ms for which edits are gathered. */
const GATHER_MS = 35;

export class DocumentClient {
  readonly doc = new Y.Doc();
  readonly text = this.doc.getText("response");
  readonly socket: Socket;
  readonly channel: Channel;
  readonly errors: { readonly reason: string }[] = [];
  readonly events: (readonly [event: string, payload: unknown])[] = [];
  reply: JoinReply | undefined;
  joins = 0;
  /** Updates that were sent and not answered. */
  unanswered = 0;
  /** `y:sync` has been answered since the last join. */
  synced = false;
  readonly #base64: boolean;
  #gathered: Uint8Array[] = [];
  #notified: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(
    server: { readonly port: number },
    token: string,
    challenge: number,
    { base64 = false, options = {} }: { base64?: boolean; options?: object } = {},
  ) {
    this.#base64 = base64;
    this.socket = openSocket(server.port, { token }, options);
    const params = { proto: "y1", client: this.doc.clientID, ...(base64 ? { bytes: "base64" } : {}) };
    this.channel = this.socket.channel(`challenges:${challenge}`, params);
    this.channel.on("y:update", (payload: Bytes) => Y.applyUpdate(this.doc, bytesOf(payload), "server"));
    this.channel.on("y:sv", (payload: Bytes) => {
      const missing = Y.encodeStateAsUpdate(this.doc, bytesOf(payload));
      // No structs and no deletions.
      if (missing.length > 2) this.#send(missing, []);
    });
    for (const event of ["room:status", "room:access", "y:awareness", "response:updated"])
      this.channel.on(event, (payload: unknown) => void this.events.push([event, payload]));
    this.channel.onError(() => {
      this.synced = false;
      this.unanswered = 0;
    });
    this.doc.on("update", (update: Uint8Array, origin: unknown) => {
      if (origin !== "server") this.#gather(update);
    });
  }

  /** Joins, now and after each outage, and brings both sides up to date each time. */
  join(): Promise<JoinReply> {
    const push = this.channel.join();
    push.receive("ok", (reply: JoinReply) => {
      this.reply = reply;
      this.joins += 1;
      this.unanswered = 0;
      this.#gathered = [];
      this.#sync();
    });
    return answer<JoinReply>(push);
  }

  #sync(): void {
    this.channel
      .push("y:sync", this.#payload(Y.encodeStateVector(this.doc)), 60_000)
      .receive("ok", (payload: Bytes) => {
        Y.applyUpdate(this.doc, bytesOf(payload), "server");
        this.synced = true;
      })
      .receive("error", ({ retry_after_ms = 20 }: { retry_after_ms?: number }) => {
        setTimeout(() => this.channel.state === "joined" && this.#sync(), retry_after_ms);
      });
  }

  /** Everything that was typed here is stored. */
  get saved(): boolean {
    return this.synced && this.unanswered === 0 && this.#gathered.length === 0;
  }

  /** Edits; `acknowledged` is called once the server says that they are stored. */
  edit(change: (text: Y.Text) => void, acknowledged: () => void = () => {}): void {
    this.#notified.push(acknowledged);
    this.doc.transact(() => change(this.text));
  }

  /** Sends bytes as an update. */
  push(update: Uint8Array): Promise<{ readonly seq: number }> {
    return answer(this.channel.push("y:update", this.#payload(update), 60_000));
  }

  last<T>(event: string): T | undefined {
    return this.events.findLast(([name]) => name === event)?.[1] as T | undefined;
  }

  #payload(bytes: Uint8Array): object {
    return this.#base64 ? { b64: Buffer.from(bytes).toString("base64") } : bufferOf(bytes);
  }

  #gather(update: Uint8Array): void {
    this.#gathered.push(update);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const updates = this.#gathered;
      const notified = this.#notified;
      this.#notified = [];
      this.#gathered = [];
      // Otherwise the next join brings it.
      if (updates.length > 0 && this.synced && this.channel.state === "joined" && this.socket.isConnected())
        this.#send(Y.mergeUpdates(updates), notified);
    }, GATHER_MS);
  }

  #send(update: Uint8Array, notified: readonly (() => void)[]): void {
    this.unanswered += 1;
    const { joins } = this;
    this.channel
      .push("y:update", this.#payload(update), 60_000)
      .receive("ok", () => {
        if (this.joins === joins) this.unanswered -= 1;
        for (const tell of notified) tell();
      })
      .receive("error", (error: { reason: string }) => {
        this.errors.push(error);
        if (this.joins === joins) this.unanswered -= 1;
        this.synced = false;
        // A gap heals by asking again; being too fast by waiting.
        setTimeout(() => this.channel.state === "joined" && this.#sync(), error.reason === "rate" ? 200 : 20);
      });
  }

  /** Goes away for good, with what it knows. */
  leave(): void {
    clearTimeout(this.#timer);
    this.socket.disconnect();
  }
}
