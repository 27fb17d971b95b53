/**
 * The clients of a rolling deploy, in a process of their own: `rolling-deploy-clients.ts <port>
 * <token> <clients> <rooms>`. Each has the document of its room and types a word of its own now and
 * then; reconnecting is as the official client has it by default.
 *
 * Asked on stdin, one word a line, it answers with a line of JSON:
 *
 *     settled   when all are joined and have the text: how many
 *     leave     some leave, each when its next word is acknowledged; then: how many
 *     finish    ends the typing; once stored: the acknowledged words, and the outages of each
 *               client
 */
import { createInterface } from "node:readline";
import { DocumentClient } from "../support/document-client.js";
import { waitFor } from "../support/wait.js";

const [port, token, clientCount, roomCount] = process.argv.slice(2) as [string, string, string, string];

/** Milliseconds between two words of one client, on average. */
const TYPE_EVERY_MS = 10_000;
/** Those who go away for good at each `leave`. */
const LEAVERS = 5;
const PATIENCE_MS = 120_000;

/** When it happened, in ms of this process; what of an outage has not happened yet is undefined. */
export interface Outage {
  readonly closedAt: number;
  /** Connections that were tried in vain. */
  failures: number;
  openedAt?: number;
  joinedAt?: number;
  /** The text of the room is here. */
  syncedAt?: number;
  /** Others are received again. */
  receivedAt?: number;
}

export interface Outcome {
  /** By room: every word that was acknowledged. */
  readonly acknowledged: readonly (readonly string[])[];
  readonly typed: number;
  readonly outages: readonly Outage[];
  /** The longest time without a sign from the room, of each client that stayed; in ms. */
  readonly silences: readonly number[];
}

/** As `phoenix` has it. */
const DEFAULTS = { reconnectAfterMs: undefined, rejoinAfterMs: undefined };

class Typist {
  readonly client: DocumentClient;
  readonly room: number;
  readonly outages: Outage[] = [];
  typed = 0;
  silence = 0;
  leaving = false;
  gone = false;
  readonly number: number;
  readonly acknowledged: string[];
  #receivedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(number: number, acknowledged: string[]) {
    this.number = number;
    this.acknowledged = acknowledged;
    this.room = number % Number(roomCount);
    this.client = new DocumentClient({ port: Number(port) }, token, 1 + this.room, { options: DEFAULTS });
    const { socket, channel } = this.client;
    socket.onClose(() => {
      if (this.gone) return;
      const last = this.outages.at(-1);
      if (last !== undefined && last.openedAt === undefined) last.failures += 1;
      else this.outages.push({ closedAt: performance.now(), failures: 0 });
    });
    socket.onOpen(() => this.#reached("openedAt"));
    channel.on("y:update", () => this.#received());
  }

  async join(): Promise<void> {
    const joined = this.client.join();
    (
      this.client.channel as unknown as { joinPush: { receive(status: string, then: () => void): void } }
    ).joinPush.receive("ok", () => this.#reached("joinedAt"));
    await joined;
    await waitFor("the text", () => this.client.synced, PATIENCE_MS);
    this.#receivedAt = performance.now();
    this.#typeLater();
  }

  look(): void {
    if (this.client.synced) this.#reached("syncedAt");
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #received(): void {
    const now = performance.now();
    this.silence = Math.max(this.silence, now - this.#receivedAt);
    this.#receivedAt = now;
    this.#reached("receivedAt");
  }

  #reached(what: Exclude<keyof Outage, "closedAt" | "failures">): void {
    const outage = this.outages.at(-1);
    // What is still received of the connection before.
    if (outage !== undefined && (what === "openedAt" || outage.openedAt !== undefined))
      outage[what] ??= performance.now();
  }

  #typeLater(): void {
    this.#timer = setTimeout(
      () => {
        this.#type();
        this.#typeLater();
      },
      TYPE_EVERY_MS * (0.5 + Math.random()),
    );
  }

  #type(): void {
    const word = `‹${this.number}.${this.typed}›`;
    this.typed += 1;
    this.client.edit(
      (text) => text.insert(0, word),
      () => {
        this.acknowledged.push(word);
        if (this.leaving) this.#leave();
      },
    );
  }

  /** Soon, for who is to leave with its next word. */
  hurry(): void {
    this.leaving = true;
    this.stop();
    const type = (): void => {
      if (this.gone) return;
      if (this.client.synced) this.#type();
      this.#timer = setTimeout(type, 500);
    };
    type();
  }

  #leave(): void {
    this.gone = true;
    this.stop();
    this.client.leave();
  }
}

const words = Array.from({ length: Number(roomCount) }, (): string[] => []);
const all = Array.from(
  { length: Number(clientCount) },
  (_, number) => new Typist(number, words[number % Number(roomCount)] as string[]),
);
const there = (): Typist[] => all.filter(({ gone }) => !gone);
const say = (answer: object): void => console.log(JSON.stringify(answer));

for (let from = 0; from < all.length; from += 50)
  await Promise.all(all.slice(from, from + 50).map((typist) => typist.join()));
// What a client does when it has the text is notified by no one.
setInterval(() => {
  for (const typist of all) typist.look();
}, 20).unref();
say({ ready: all.length });

for await (const line of createInterface(process.stdin)) {
  if (line === "settled") {
    await waitFor("all have the text", () => there().every(({ client }) => client.synced), PATIENCE_MS);
    say({ settled: there().length });
  } else if (line === "leave") {
    const leavers = there().slice(0, LEAVERS);
    for (const leaver of leavers) leaver.hurry();
    await waitFor("they have left", () => leavers.every(({ gone }) => gone), PATIENCE_MS);
    say({ left: leavers.length });
  } else if (line === "finish") {
    for (const typist of all) typist.stop();
    await waitFor("all is stored", () => there().every(({ client }) => client.saved), PATIENCE_MS);
    say({
      acknowledged: words,
      typed: all.reduce((sum, { typed }) => sum + typed, 0),
      outages: there().flatMap(({ outages }) => outages),
      silences: there().map(({ silence }) => silence),
    } satisfies Outcome);
    process.exit(0);
  }
}
