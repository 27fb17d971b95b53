/**
 * Many people who type in one room, in a process of their own: `crowd-clients.ts <port> <challenge>
 * <tokens> <seconds>`, tokens as a JSON array, one client for each. They type as people do: words
 * with pauses, now and then a correction, each at a place of their own. Prints a JSON line when all
 * have read the text, and one at the end: how many keys, and the text on which all of them agree.
 */
import { DocumentClient } from "../support/document-client.js";
import { waitFor } from "../support/wait.js";

const [port, challenge, tokens, seconds] = process.argv.slice(2);
const clients = (JSON.parse(tokens!) as string[]).map(
  (token) => new DocumentClient({ port: Number(port) }, token, Number(challenge)),
);
await Promise.all(clients.map((client) => client.join()));
await waitFor("all have the text", () => clients.every((client) => client.synced), 120_000);
console.log(JSON.stringify({ ready: clients.length }));

const WORDS = ["const", "value", "return", "if (open)", "{", "}", "// note 🙂", "né́e", "for", "=>", "null;"];
const end = Date.now() + Number(seconds) * 1_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
let keys = 0;

/** A small generator with a seed, so that every run types the same. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}

/** The place at or after `at` that is not inside a character. */
const between = (text: string, at: number): number =>
  /[\udc00-\udfff]/.test(text[at] ?? "") ? at + 1 : Math.min(at, text.length);

const textOf = ({ text }: DocumentClient): string => text.toString();

async function type(client: DocumentClient, seed: number): Promise<void> {
  const random = randomFrom(seed * 7919);
  while (Date.now() < end) {
    await pause(400 + random() * 1_600);
    const word = WORDS[Math.floor(random() * WORDS.length)]!;
    const lines = textOf(client).split("\n");
    const line = Math.floor(random() * lines.length);
    let at = lines.slice(0, line + 1).join("\n").length;
    for (const letter of `${random() < 0.2 ? "\n" : ""}${word} `) {
      at = between(textOf(client), at);
      const place = at;
      client.edit((text) => text.insert(place, letter));
      keys += 1;
      at += letter.length;
      await pause(60 + random() * 160);
    }
    if (random() < 0.3 && textOf(client)[at - 1] === " ") {
      const place = at - 1;
      client.edit((text) => text.delete(place, 1));
      keys += 1;
    }
  }
}

await Promise.all(clients.map(type));
await waitFor("all edits are stored", () => clients.every((client) => client.saved), 120_000);
// A person in a browser may still be typing.
await waitFor("all agree", () => new Set(clients.map(textOf)).size === 1, 120_000);
console.log(
  JSON.stringify({
    keys,
    text: textOf(clients[0]!),
    errors: clients.flatMap((client) => client.errors),
  }),
);
process.exit(0);
