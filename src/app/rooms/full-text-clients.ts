/**
 * FullTextClients sends the whole text to clients that do not exchange updates: at most every 50
 * ms, and the last text always. It notes what each of them was sent, from which whole-text.ts
 * concludes what a client has changed.
 */
import { TokenBucket } from "simurgh/channels";
import type { SharedDocument } from "../document/shared-document.js";
import type { Member, Members } from "./members.js";
import { now } from "./persistence.js";
import type { Timers } from "./timers.js";

const SEND_MS = 50;
/** Characters a second of texts that are sent one by one; beyond, only the last of 50 ms. */
const RATE = { perSecond: 2 * 1024 * 1024, burst: 16 * 1024 * 1024 };

/** A text with its version in the document's history. */
export interface TextVersion {
  readonly text: string;
  readonly version: number;
}

export const versionOf = (document: SharedDocument): TextVersion => ({
  text: document.text,
  version: document.version(),
});

export class FullTextClients {
  readonly #members: Members;
  readonly #timers: Timers;
  readonly #broadcast: (text: string) => void;
  readonly #rate = new TokenBucket(RATE);
  #isDue = false;

  constructor(members: Members, timers: Timers, broadcast: (text: string) => void) {
    this.#members = members;
    this.#timers = timers;
    this.#broadcast = broadcast;
  }

  /** A client has joined, and gets the text with its reply. */
  joined(member: Member, document: SharedDocument): void {
    if (!member.document) member.seen.tell(document.text, document.version(), now());
  }

  /** The text for a client that is subscribed now; undefined when it has it already. */
  missed(member: Member, document: SharedDocument): string | undefined {
    const { text } = document;
    if (member.seen.newest === text) return undefined;
    member.seen.tell(text, document.version(), now());
    return text;
  }

  /** The text has changed: it is sent within 50 ms. */
  sendSoon(): void {
    if (!this.#members.hasReaders) return;
    this.#isDue = true;
    this.#timers.arm("text", SEND_MS);
  }

  /** Sends the text that a client has made, unless too many characters are sent already. */
  sendAtOnce(result: TextVersion): void {
    if (this.#rate.take(now(), result.text.length * this.#members.size) > 0) this.sendSoon();
    else this.#send(result);
  }

  /** The timer "text" has fired. Revocable edits are sent when they are stored. */
  sendDue(document: SharedDocument, hasRevocable: boolean): void {
    if (!this.#isDue) return;
    if (hasRevocable) {
      this.#timers.arm("text", SEND_MS);
      return;
    }
    this.#isDue = false;
    this.#send(versionOf(document));
  }

  #send({ text, version }: TextVersion): void {
    for (const { document, seen } of this.#members.all()) if (!document) seen.tell(text, version, now());
    this.#broadcast(text);
  }
}
