import fc from "fast-check";
import { expect, test } from "vitest";
import * as Y from "yjs";
import { documentOf, imageOf } from "../../../src/app/document/document-image.js";

const picture = (doc: Y.Doc) => ({
  text: doc.getText("response").toString(),
  length: doc.getText("response").length,
  all: [...Y.encodeStateAsUpdate(doc)],
});

const edits = fc.array(
  fc.record({
    who: fc.nat(2),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    remove: fc.nat(4),
    insert: fc.constantFrom("", "a", "bc", "é", "line\n"),
    sync: fc.boolean(),
  }),
  { maxLength: 80 },
);

test("a document from its image is what it was, and takes edits as it would have", () => {
  fc.assert(
    fc.property(edits, edits, (before, after) => {
      const docs = [new Y.Doc(), new Y.Doc(), new Y.Doc()] as const;
      const play = (actions: typeof before): void => {
        for (const { who, at, remove, insert, sync } of actions) {
          const doc = docs[who] as Y.Doc;
          const text = doc.getText("response");
          const place = Math.min(text.length, Math.floor(at * (text.length + 1)));
          text.delete(place, Math.min(remove, text.length - place));
          text.insert(place, insert);
          if (sync) for (const other of docs) Y.applyUpdate(other, Y.encodeStateAsUpdate(doc));
        }
      };
      play(before);
      const original = docs[0];
      const restored = documentOf(imageOf(original));
      expect(picture(restored)).toEqual(picture(original));
      play(after);
      for (const doc of docs)
        Y.applyUpdate(restored, Y.encodeStateAsUpdate(doc, Y.encodeStateVector(restored)));
      for (const doc of docs) Y.applyUpdate(original, Y.encodeStateAsUpdate(doc));
      expect(picture(restored)).toEqual(picture(original));
    }),
    { numRuns: 60 },
  );
});
