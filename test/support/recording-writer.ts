/** Writers whose edits are recorded, for tests that look for acknowledged edits after a fault. */
import type { Random } from "simurgh/testing";
import { DocumentClient } from "./document-client.js";

/** A word that a writer typed. Its text is unique, so that it can be found again. */
export interface Word {
  readonly text: string;
  stored: boolean;
  deleted: "no" | "asked" | "stored";
}

/**
 * A client that types words and deletes some of them, every 10 ms, and records which of these edits
 * the server acknowledged.
 */
export class Writer {
  readonly client: DocumentClient;
  readonly words: Word[] = [];
  readonly #name: string;
  readonly #random: Random;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    server: { readonly port: number },
    token: string,
    challenge: number,
    name: string,
    random: Random,
  ) {
    this.client = new DocumentClient(server, token, challenge);
    this.#name = name;
    this.#random = random;
  }

  start(): void {
    this.#timer = setInterval(() => this.#type(), 10);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #type(): void {
    const { client } = this;
    const old = this.words.find(({ stored, deleted }) => stored && deleted === "no");
    if (old !== undefined && this.#random.chance(0.15)) {
      const at = client.text.toString().indexOf(old.text);
      if (at === -1) return;
      old.deleted = "asked";
      client.edit(
        (text) => text.delete(at, old.text.length),
        () => {
          old.deleted = "stored";
        },
      );
      return;
    }
    const word: Word = { text: `‹${this.#name}.${this.words.length}🦚›`, stored: false, deleted: "no" };
    this.words.push(word);
    const text = client.text.toString();
    // Between words, so that each can be found again.
    const places = [0, ...[...text.matchAll(/›/g)].map(({ index }) => index + 1)];
    const at = places[this.#random.below(places.length)] as number;
    client.edit(
      (doc) => doc.insert(at, word.text),
      () => {
        word.stored = true;
      },
    );
  }
}

/**
 * Acknowledged edits that a text does not show: words that are lost, doubled, or back after their
 * deletion.
 */
export function missing(text: string, words: readonly Word[]): string[] {
  const wrong: string[] = [];
  for (const word of words) {
    const times = text.split(word.text).length - 1;
    if (times > 1) wrong.push(`${word.text} is there ${times} times`);
    if (word.stored && word.deleted === "no" && times !== 1) wrong.push(`${word.text} is lost`);
    if (word.deleted === "stored" && times !== 0) wrong.push(`${word.text} is back`);
  }
  return wrong;
}
