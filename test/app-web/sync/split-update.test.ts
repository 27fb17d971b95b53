import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as Y from "yjs";
import { splitUpdate } from "../../../src/app/web/sync/split-update.js";

const LIMIT = 300;

/** Applies each part to a document, which must never have to wait for another one. */
function applied(parts: readonly Uint8Array[], base?: Uint8Array): string {
  const doc = new Y.Doc();
  if (base) Y.applyUpdate(doc, base);
  for (const part of parts) {
    Y.applyUpdate(doc, part);
    expect(doc.store.pendingStructs).toBeNull();
  }
  expect(doc.store.pendingDs).toBeNull();
  return doc.getText("t").toString();
}

describe("splitting an update", () => {
  test("a small one is left as it is", () => {
    const doc = new Y.Doc();
    doc.getText("t").insert(0, "hello");
    const update = Y.encodeStateAsUpdate(doc);
    expect(splitUpdate(update, LIMIT)).toEqual([update]);
  });

  test("a long text is cut between characters, never inside one", () => {
    const doc = new Y.Doc();
    const text = "a😀é".repeat(400);
    doc.getText("t").insert(0, text);
    const parts = splitUpdate(Y.encodeStateAsUpdate(doc), LIMIT);
    expect(parts.length).toBeGreaterThan(5);
    for (const part of parts) expect(part.length).toBeLessThanOrEqual(LIMIT);
    expect(applied(parts)).toBe(text);
  });

  test("many scattered changes are cut by their number, deletions too", () => {
    const base = new Y.Doc();
    base.getText("t").insert(0, "ab".repeat(6000));
    const state = Y.encodeStateAsUpdate(base);
    const doc = new Y.Doc();
    Y.applyUpdate(doc, state);
    const before = Y.encodeStateVector(doc);
    doc.transact(() => {
      for (let at = 11_999; at > 0; at -= 2) {
        doc.getText("t").delete(at, 1);
        doc.getText("t").insert(at, "c");
      }
    });
    const parts = splitUpdate(Y.encodeStateAsUpdate(doc, before), 2 ** 20);
    expect(parts.length).toBeGreaterThan(3);
    for (const part of parts) {
      const { structs, ds } = Y.decodeUpdate(part);
      expect(structs.length).toBeLessThanOrEqual(2000);
      expect([...ds.clients.values()].flat().length).toBeLessThanOrEqual(2000);
    }
    expect(applied(parts, state)).toBe("ac".repeat(6000));
  });

  test("the parts of a state equal the whole, and none depends on a later one", () => {
    const edit = fc.record({
      who: fc.nat(2),
      place: fc.double({ min: 0, max: 1, noNaN: true }),
      remove: fc.nat(5),
      insert: fc.string({ unit: fc.constantFrom("a", "é", "😀"), maxLength: 60 }),
      exchange: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 40 }), fc.boolean(), (edits, hasBase) => {
        const docs = [new Y.Doc(), new Y.Doc(), new Y.Doc()] as const;
        for (const { who, place, remove, insert, exchange } of edits) {
          const doc = docs[who]!;
          const text = doc.getText("t");
          // Characters are kept whole, as an editor does.
          const chars = [...text.toString()];
          const at = Math.floor(place * chars.length);
          const from = chars.slice(0, at).join("").length;
          const length = chars.slice(at, at + remove).join("").length;
          doc.transact(() => {
            text.delete(from, length);
            text.insert(from, insert);
          });
          if (exchange) for (const other of docs) Y.applyUpdate(other, Y.encodeStateAsUpdate(doc));
        }
        const base = hasBase ? Y.encodeStateAsUpdate(docs[1]) : undefined;
        for (const other of docs) Y.applyUpdate(docs[0], Y.encodeStateAsUpdate(other));
        const whole = Y.encodeStateAsUpdate(docs[0], base && Y.encodeStateVectorFromUpdate(base));
        expect(applied(splitUpdate(whole, LIMIT), base)).toBe(docs[0].getText("t").toString());
      }),
      { numRuns: 300 },
    );
  });
});
