/**
 * What an edit of a shared document costs the server: many headless writers on one room, each
 * behind the others by what is under way, as in real editing. Beside it, Yjs alone with the same
 * updates: what looking at them first and encoding them again adds. Prints CPU time per edit, and
 * fails when the replicas do not agree.
 *
 *     node --import ./scripts/typescript-loader.mjs --conditions simurgh-source \
 *       bench/document/document.ts [writers] [edits each]
 */
import { Random } from "simurgh/testing";
import * as Y from "yjs";
import { SharedDocument, seedState } from "../../src/app/document/shared-document.js";
import { TEXT } from "../../src/app/document/update-validation.js";

const [writers = 50, edits = 200] = process.argv.slice(2).map(Number);
const random = new Random(7);

interface Writer {
  readonly doc: Y.Doc;
  /** How much of the log it has received. */
  received: number;
  /** Where it continues typing. */
  at: number;
}

const seed = seedState("function solve() {\n}\n");
const server = SharedDocument.load(seed, []);
const plain = new Y.Doc();
Y.applyUpdateV2(plain, seed);
const people = Array.from({ length: writers }, (): Writer => {
  const doc = new Y.Doc();
  Y.applyUpdateV2(doc, seed);
  return { doc, received: 0, at: 0 };
});

/** A burst of typing at one place, sometimes a correction, now and then elsewhere. */
function type(writer: Writer): Uint8Array {
  const text = writer.doc.getText(TEXT);
  const before = Y.encodeStateVector(writer.doc);
  if (random.chance(0.05)) writer.at = random.below(text.length + 1);
  writer.at = Math.min(writer.at, text.length);
  if (random.chance(0.12) && writer.at > 0) {
    writer.at -= 1;
    text.delete(writer.at, 1);
  } else {
    text.insert(writer.at, random.pick(["a", "e", "x", " ", "()", "\n"]));
    writer.at += 1;
  }
  return Y.encodeStateAsUpdate(writer.doc, before);
}

const hear = (writer: Writer, log: readonly Uint8Array[]): void => {
  while (writer.received < log.length) {
    Y.applyUpdate(writer.doc, log[writer.received] as Uint8Array);
    writer.received += 1;
  }
};

const log: Uint8Array[] = [];
const micros = { checked: 0, plain: 0 };
const cpu = (work: () => void): number => {
  const from = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(from);
  return user + system;
};
let steps = 0;
let bytes = 0;
for (let round = 0; round < edits; round += 1) {
  const sent = people.map((writer) => {
    if (random.chance(0.3)) hear(writer, log);
    return type(writer);
  });
  micros.checked += cpu(() => {
    for (const update of sent) {
      const applied = server.apply(update, () => true);
      if (applied.type === "refused") throw new Error(applied.why);
      steps += applied.steps;
      if (applied.type === "changed") {
        log.push(applied.update);
        bytes += applied.update.length;
      }
    }
  });
  micros.plain += cpu(() => {
    for (const update of sent) Y.applyUpdate(plain, update);
  });
}
for (const writer of people) hear(writer, log);
const texts = new Set([
  server.text,
  plain.getText(TEXT).toString(),
  ...people.map(({ doc }) => doc.getText(TEXT).toString()),
]);
if (texts.size !== 1) throw new Error("the replicas do not agree");

const count = writers * edits;
console.log(
  JSON.stringify({
    writers,
    edits: count,
    characters: server.text.length,
    bytesPerUpdate: Number((bytes / log.length).toFixed(1)),
    microsPerEdit: Number((micros.checked / count).toFixed(1)),
    microsPerEditYjsAlone: Number((micros.plain / count).toFixed(1)),
    ratio: Number((micros.checked / micros.plain).toFixed(2)),
    stepsPerEdit: Math.round(steps / count),
  }),
);
