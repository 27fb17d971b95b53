import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as Y from "yjs";
import { TextHistory } from "../../../src/app/document/text-history.js";

/** Characters that are never used twice: of two texts, what is the same in both is certain. */
function* characters(): Generator<string, never> {
  for (let code = 0x4e00; ; code += 1) yield String.fromCharCode(code);
}

/**
 * What `history` says is right when what it keeps is the same in both, and what it inserts or
 * deletes is only in one.
 */
function expectPath(history: TextHistory, version: number, before: string, after: string): void {
  const path = history.since(version);
  if (path === undefined) throw new Error(`version ${version} is not known`);
  expect([path.length, path.newLength]).toEqual([before.length, after.length]);
  path.iterGaps((from, to, length) =>
    expect(after.slice(to, to + length)).toBe(before.slice(from, from + length)),
  );
  path.iterChangedRanges((fromA, toA, fromB, toB) => {
    for (const character of before.slice(fromA, toA)) expect(after).not.toContain(character);
    for (const character of after.slice(fromB, toB)) expect(before).not.toContain(character);
  });
}

describe("a history", () => {
  test("maps each version to the present, whatever clients insert and delete", () => {
    const edit = fc.record({
      client: fc.integer({ min: 0, max: 2 }),
      at: fc.nat(30),
      remove: fc.nat(4),
      insert: fc.nat(3),
      // Whether the client exchanges with the others afterwards, and a version is taken.
      exchange: fc.boolean(),
      version: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 40 }), (edits) => {
        const next = characters();
        const docs = [new Y.Doc(), new Y.Doc(), new Y.Doc()];
        const texts = docs.map((doc) => doc.getText("t"));
        texts[0]!.insert(0, Array.from({ length: 8 }, () => next.next().value).join(""));
        const history = new TextHistory(docs[0]!, texts[0]!);
        const seen = [{ version: history.version(), text: String(texts[0]) }];
        for (const { client, at, remove, insert, exchange, version } of edits) {
          const text = texts[client]!;
          const from = Math.min(at, text.length);
          docs[client]!.transact(() => {
            text.delete(from, Math.min(remove, text.length - from));
            text.insert(from, Array.from({ length: insert }, () => next.next().value).join(""));
          });
          if (exchange) {
            const [mine, other] = [docs[client]!, docs[client === 0 ? 1 : 0]!];
            Y.applyUpdate(other, Y.encodeStateAsUpdate(mine, Y.encodeStateVector(other)));
            Y.applyUpdate(mine, Y.encodeStateAsUpdate(other, Y.encodeStateVector(mine)));
          }
          if (version) seen.push({ version: history.version(), text: String(texts[0]) });
        }
        for (const one of seen) expectPath(history, one.version, one.text, String(texts[0]));
      }),
    );
  });

  test("counts a version when one is requested after a change", () => {
    const doc = new Y.Doc();
    const text = doc.getText("t");
    const history = new TextHistory(doc, text);
    const first = history.version();
    expect(history.version()).toBe(first);
    text.insert(0, "a");
    text.insert(1, "b");
    expect(history.version()).toBe(first + 1);
  });

  test("tells words that look the same apart", () => {
    const doc = new Y.Doc();
    const text = doc.getText("t");
    text.insert(0, "a a a");
    const history = new TextHistory(doc, text);
    const version = history.version();
    text.delete(0, 2);
    text.insert(3, " a");
    expect(history.since(version)?.toJSON()).toEqual([2, 0, 3, -1, 0, 2]);
  });

  test("knows nothing of a version that is too old", () => {
    const doc = new Y.Doc();
    const text = doc.getText("t");
    const history = new TextHistory(doc, text);
    const version = history.version();
    for (let n = 0; n < 1100; n += 1) {
      text.insert(0, "a");
      history.version();
    }
    expect(history.since(version)).toBeUndefined();
    expect(history.since(version + 200)?.newLength).toBe(1100);
  });

  test("knows nothing of the versions before it was started again", () => {
    const doc = new Y.Doc();
    const text = doc.getText("t");
    const history = new TextHistory(doc, text);
    const version = history.version();
    history.restart();
    expect(history.since(version)).toBeUndefined();
    expect(history.since(history.version())?.empty).toBe(true);
  });
});
