import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as Y from "yjs";
import { DamagedDocument, SharedDocument, seedState } from "../../../src/app/document/shared-document.js";
import { MAX_TEXT, MAX_UPDATE, TEXT } from "../../../src/app/document/update-validation.js";

const anybody = (): boolean => true;

/** A client's replica; `updates` are its own changes that were not taken yet. */
class Replica {
  readonly doc = new Y.Doc();
  readonly text = this.doc.getText(TEXT);
  #updates: Uint8Array[] = [];

  constructor(server: SharedDocument) {
    Y.applyUpdate(this.doc, server.updateSince(Y.encodeStateVector(this.doc)) as Uint8Array, "server");
    this.doc.on("update", (update: Uint8Array, origin: unknown) => {
      if (origin !== "server") this.#updates.push(update);
    });
  }

  /** What it would send now: its changes since the last time, merged. */
  take(): Uint8Array | undefined {
    const updates = this.#updates;
    this.#updates = [];
    return updates.length === 0 ? undefined : Y.mergeUpdates(updates);
  }

  receive(update: Uint8Array): void {
    Y.applyUpdate(this.doc, update, "server");
  }
}

const documentOf = (text: string): SharedDocument => SharedDocument.load(seedState(text), []);

/** All there is to a document that anybody could notice. */
const picture = (document: SharedDocument) => ({
  text: document.text,
  sv: [...document.stateVector()],
  all: [...(document.updateSince(Y.encodeStateVector(new Y.Doc())) as Uint8Array)],
});

/** The update that `change` makes in a replica of the document. */
function updateBy(document: SharedDocument, change: (doc: Y.Doc, text: Y.Text) => void): Uint8Array {
  const replica = new Replica(document);
  change(replica.doc, replica.text);
  return replica.take() as Uint8Array;
}

describe("what a client sends", () => {
  test("an edit becomes part of the text, and is known when sent again", () => {
    const document = documentOf("hello");
    const update = updateBy(document, (_doc, text) => text.insert(5, " 🦚 world"));
    expect(document.apply(update, anybody)).toMatchObject({ type: "changed" });
    expect(document.text).toBe("hello 🦚 world");
    expect(document.apply(update, anybody)).toMatchObject({ type: "known" });
  });

  test("trailing bytes are dropped from a relayed update", () => {
    const document = documentOf("");
    const update = updateBy(document, (_doc, text) => text.insert(0, "x"));
    const applied = document.apply(Uint8Array.from([...update, 1, 2, 3]), anybody);
    expect(applied).toMatchObject({ type: "changed", update });
  });

  const bad: [title: string, make: (document: SharedDocument) => Uint8Array][] = [
    ["nothing", () => new Uint8Array()],
    ["noise", () => Uint8Array.from({ length: 100 }, (_, n) => (n * 89) % 256)],
    [
      "an update in Yjs's other encoding",
      (d) => {
        const doc = new Y.Doc();
        Y.applyUpdate(doc, d.updateSince(Y.encodeStateVector(doc)) as Uint8Array);
        doc.getText("response").insert(0, "x");
        return Y.encodeStateAsUpdateV2(doc);
      },
    ],
    ["a truncated update", (d) => updateBy(d, (_doc, text) => text.insert(0, "hello there")).slice(0, -3)],
    [
      "an update without the one before it",
      (d) => {
        const replica = new Replica(d);
        replica.text.insert(0, "a");
        replica.take();
        replica.text.insert(1, "b");
        return replica.take() as Uint8Array;
      },
    ],
    [
      "an update that refers to what others have not sent yet",
      (d) => {
        const [one, two] = [new Replica(d), new Replica(d)];
        one.text.insert(0, "a");
        two.receive(one.take() as Uint8Array);
        two.text.insert(1, "b");
        return two.take() as Uint8Array;
      },
    ],
    [
      "a deletion of what is not there",
      (d) => {
        const [one, two] = [new Replica(d), new Replica(d)];
        one.text.insert(0, "a");
        two.receive(one.take() as Uint8Array);
        two.text.delete(0, 1);
        return two.take() as Uint8Array;
      },
    ],
    ["another type", (d) => updateBy(d, (doc) => doc.getText("other").insert(0, "x"))],
    ["a map", (d) => updateBy(d, (doc) => void doc.getMap("meta").set("a", 1))],
    ["a key of the text", (d) => updateBy(d, (_doc, text) => text.setAttribute("a", "b"))],
    ["a format", (d) => updateBy(d, (_doc, text) => text.format(0, 3, { bold: true }))],
    ["an embed", (d) => updateBy(d, (_doc, text) => text.insertEmbed(0, { image: "x" }))],
    ["a type in the text", (d) => updateBy(d, (_doc, text) => text.insertEmbed(0, new Y.Map()))],
    ["a carriage return", (d) => updateBy(d, (_doc, text) => text.insert(0, "a\r\nb"))],
    [
      "an insertion between the halves of a character",
      (d) => updateBy(d, (_doc, text) => text.insert(6, "x")),
    ],
    ["a deletion of half a character", (d) => updateBy(d, (_doc, text) => text.delete(5, 1))],
    ["a deletion of the other half", (d) => updateBy(d, (_doc, text) => text.delete(6, 2))],
  ];
  test.each(bad)("%s is refused and leaves the document as it was", (_title, make) => {
    const document = documentOf("hello🦚 world");
    const before = picture(document);
    expect(document.apply(make(document), anybody)).toMatchObject({ type: "refused", reason: "bad_update" });
    expect(picture(document)).toEqual(before);
  });

  test("a deletion of half a character that is gone already is known, and cuts nothing", () => {
    const document = documentOf("hello🦚 world");
    const half = updateBy(document, (_doc, text) => text.delete(5, 1));
    const all = updateBy(document, (_doc, text) => text.delete(4, 4));
    expect(document.apply(half, anybody)).toMatchObject({ type: "refused", reason: "bad_update" });
    expect(document.apply(all, anybody)).toMatchObject({ type: "changed" });
    const before = picture(document);
    expect(document.apply(half, anybody)).toMatchObject({ type: "known" });
    expect(picture(document)).toEqual(before);
  });

  test("half a character in the bytes is refused", () => {
    const document = documentOf("");
    const update = updateBy(document, (_doc, text) => text.insert(0, "€"));
    // The client id in the update is random, and may have one of these bytes.
    const at = Buffer.from(update).indexOf("€");
    // ED A0 80 is what U+D800 would be in UTF-8, if it could be.
    const forged = update.slice();
    forged.set([0xed, 0xa0, 0x80], at);
    expect(document.apply(forged, anybody)).toMatchObject({ type: "refused", reason: "bad_update" });
    expect(document.text).toBe("");
  });

  test("an id of another user may not be extended, but its edits may be repeated", () => {
    const document = documentOf("");
    const replica = new Replica(document);
    replica.text.insert(0, "mine");
    const update = replica.take() as Uint8Array;
    document.apply(update, anybody);
    const noOne = (): boolean => false;
    expect(document.apply(update, noOne)).toMatchObject({ type: "known" });
    replica.text.insert(4, "!");
    expect(document.apply(replica.take() as Uint8Array, noOne)).toMatchObject({
      type: "refused",
      reason: "bad_update",
    });
    expect(document.text).toBe("mine");
  });

  test("an id that says otherwise than before is refused", () => {
    const document = documentOf("");
    const [one, two] = [new Replica(document), new Replica(document)];
    two.doc.clientID = one.doc.clientID;
    one.text.insert(0, "mine");
    two.text.insert(0, "yours, and longer");
    document.apply(one.take() as Uint8Array, anybody);
    expect(document.apply(two.take() as Uint8Array, anybody)).toMatchObject({
      type: "refused",
      reason: "bad_update",
    });
    expect(document.text).toBe("mine");
  });

  test("refuses a struct whose left origin follows its right origin", () => {
    const document = documentOf("");
    const one = new Replica(document);
    one.text.insert(0, "b");
    one.text.insert(0, "a");
    document.apply(one.take() as Uint8Array, anybody);
    expect(document.text).toBe("ab");
    const client = one.doc.clientID;
    // A struct of another client, put after "b" (clock 0) and before "a" (clock 1).
    const id = (n: number): number[] => {
      const bytes: number[] = [];
      let rest = n;
      while (rest > 127) {
        bytes.push((rest % 128) | 128);
        rest = Math.floor(rest / 128);
      }
      return [...bytes, rest];
    };
    const forged = Uint8Array.from([
      1,
      1,
      ...id(77),
      0,
      0x80 | 0x40 | 4,
      ...id(client),
      0,
      ...id(client),
      1,
      1,
      0x78,
      0,
    ]);
    expect(Y.decodeUpdate(forged).structs).toHaveLength(1);
    expect(document.apply(forged, anybody)).toMatchObject({
      type: "refused",
      reason: "bad_update",
      why: "it does not stand where it says",
    });
    expect(document.text).toBe("ab");
  });

  test("too large an update and too long a text are refused as such", () => {
    const document = documentOf("x".repeat(MAX_TEXT - 10));
    const before = picture(document).sv;
    for (const update of [
      updateBy(document, (_doc, text) => text.insert(0, "y".repeat(11))),
      new Uint8Array(MAX_UPDATE + 1),
    ])
      expect(document.apply(update, anybody)).toMatchObject({ type: "refused", reason: "too_large" });
    expect([...document.stateVector()]).toEqual(before);
    const replaced = updateBy(document, (_doc, text) => {
      text.delete(0, 1000);
      text.insert(0, "y".repeat(1000));
    });
    expect(document.apply(replaced, anybody)).toMatchObject({ type: "changed" });
  });

  test("an invalid state vector is refused", () => {
    expect(documentOf("x").updateSince(Uint8Array.from([200, 1]))).toBeUndefined();
  });
});

describe("edits of the server", () => {
  test("a rolled-back edit leaves nothing, and edits of others stay", () => {
    const document = documentOf("one two three");
    const reader = new Replica(document);
    const typist = new Replica(document);
    const edit = document.edit([
      { from: 4, to: 7, insert: "TWO" },
      { from: 13, to: 13, insert: "!" },
    ]) as Uint8Array;
    expect(document.text).toBe("one TWO three!");
    typist.text.insert(0, "zero ");
    typist.text.insert(typist.text.length, " four");
    const typed = document.apply(typist.take() as Uint8Array, anybody);
    const undone = document.undoEdits(1) as Uint8Array;
    expect(document.text).toBe("zero one two three four");
    reader.receive(edit);
    reader.receive((typed as { update: Uint8Array }).update);
    reader.receive(undone);
    expect(reader.text.toString()).toBe(document.text);
  });

  test("only the last edits are taken back, and none that are settled", () => {
    const document = documentOf("");
    document.edit([{ from: 0, to: 0, insert: "a" }]);
    document.settleEdits();
    document.edit([{ from: 1, to: 1, insert: "b" }]);
    document.edit([{ from: 2, to: 2, insert: "c" }]);
    document.undoEdits(1);
    expect(document.text).toBe("ab");
    document.undoEdits(5);
    expect(document.text).toBe("a");
  });

  test("what a settled edit deleted takes no room any more", () => {
    const document = documentOf("");
    for (let n = 0; n < 20; n += 1) {
      document.edit([{ from: 0, to: document.text.length, insert: `${n}`.repeat(50_000) }]);
      if (n % 3 === 0) document.undoEdits(1);
      document.settleEdits();
    }
    expect(document.encode().length).toBeLessThan(3 * document.text.length);
    expect(document.wear).toBeLessThan(0.01);
    expect(SharedDocument.load(document.encode(), []).text).toBe(document.text);
  });

  test("an edit that would make the text too long is not made", () => {
    const document = documentOf("x");
    expect(document.edit([{ from: 0, to: 0, insert: "y".repeat(MAX_TEXT) }])).toBeUndefined();
    expect(document.text).toBe("x");
  });
});

describe("a document that is loaded", () => {
  test("from a snapshot and the updates since is what it was", () => {
    const document = documentOf("a");
    const updates = ["b", "c", "d"].map((letter) => {
      const applied = document.apply(
        updateBy(document, (_doc, text) => text.insert(text.length, letter)),
        anybody,
      );
      return (applied as { update: Uint8Array }).update;
    });
    const first = seedState("a");
    expect(SharedDocument.load(document.encode(), []).text).toBe("abcd");
    const state = document.encode();
    expect(SharedDocument.load(state, updates).text).toBe("abcd");
    expect(() => SharedDocument.load(first, updates)).toThrow(DamagedDocument);
  });

  test("a document without one of its updates is known to be damaged", () => {
    const document = documentOf("a");
    const state = document.encode();
    const replica = new Replica(document);
    const updates = ["b", "c"].map((letter) => {
      replica.text.insert(0, letter);
      return (document.apply(replica.take() as Uint8Array, anybody) as { update: Uint8Array }).update;
    });
    expect(SharedDocument.load(state, updates).text).toBe("cba");
    expect(() => SharedDocument.load(state, updates.slice(1))).toThrow(DamagedDocument);
    expect(() => SharedDocument.load(state.slice(2), [])).toThrow(DamagedDocument);
  });
});

// ------------------------------------------------------------------ properties

/** More of them search longer: DOCUMENT_RUNS=5000. A failure prints its seed. */
const RUNS = Number(process.env.DOCUMENT_RUNS ?? 150);

const words = fc.constantFrom("a", "b ", "\n", "🦚", "é́", "the quick", "() {", "𝒳𝒴");

/** What one of several people does next. */
const action = fc.record({
  who: fc.nat(3),
  what: fc.constantFrom("insert", "insert", "insert", "delete", "send", "send", "receive"),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  text: words,
});

/** A place between two whole characters. */
function place(text: string, at: number): number {
  const index = Math.floor(at * (text.length + 1));
  return index > 0 && /[\udc00-\udfff]/.test(text.charAt(index)) ? index - 1 : Math.min(index, text.length);
}

/**
 * Several people write at once, each behind the others; `send` gives what they send to `deliver`.
 */
function write(
  document: SharedDocument,
  actions: readonly { who: number; what: string; at: number; text: string }[],
  deliver: (update: Uint8Array) => Uint8Array | undefined,
): Replica[] {
  const replicas = Array.from({ length: 4 }, () => new Replica(document));
  const inbox: Uint8Array[][] = replicas.map(() => []);
  const send = (who: number): void => {
    const update = replicas[who]?.take();
    const notified = update === undefined ? undefined : deliver(update);
    if (notified !== undefined)
      for (const [other, box] of inbox.entries()) if (other !== who) box.push(notified);
  };
  for (const { who, what, at, text } of actions) {
    const replica = replicas[who] as Replica;
    const now = replica.text.toString();
    if (what === "insert") replica.text.insert(place(now, at), text);
    else if (what === "delete") {
      const from = place(now, at);
      const to = place(now, Math.min(1, at + 0.2));
      if (to > from) replica.text.delete(from, to - from);
    } else if (what === "send") send(who);
    else for (const update of (inbox[who] as Uint8Array[]).splice(0)) replica.receive(update);
  }
  replicas.forEach((_replica, who) => void send(who));
  replicas.forEach((replica, who) => {
    for (const update of inbox[who] as Uint8Array[]) replica.receive(update);
  });
  return replicas;
}

test("concurrent edits are accepted, and all replicas and the log converge", {
  timeout: 120_000,
}, () => {
  let sent = 0;
  let steps = 0;
  fc.assert(
    fc.property(fc.array(action, { maxLength: 120 }), (actions) => {
      const document = documentOf("start 🦚");
      const state = document.encode();
      const log: Uint8Array[] = [];
      const replicas = write(document, actions, (update) => {
        const applied = document.apply(update, anybody);
        sent += 1;
        steps += applied.steps;
        // Two may delete the same.
        if (applied.type === "known") return undefined;
        if (applied.type !== "changed") throw new Error(JSON.stringify(applied));
        log.push(applied.update);
        return applied.update;
      });
      for (const replica of replicas) expect(replica.text.toString()).toBe(document.text);
      expect(SharedDocument.load(state, log).text).toBe(document.text);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  // What people type costs next to nothing of what one update may.
  expect(steps / sent).toBeLessThan(1000);
});

const mutation = fc.record({
  kind: fc.constantFrom("flip", "cut", "drop", "double", "splice", "number"),
  at: fc.nat(),
  byte: fc.nat(255),
});

function mutate(
  update: Uint8Array,
  { kind, at, byte }: { kind: string; at: number; byte: number },
): Uint8Array {
  const bytes = [...update];
  const index = at % bytes.length;
  if (kind === "flip") bytes[index] = (bytes[index] as number) ^ (byte || 1);
  else if (kind === "cut") bytes.length = index;
  else if (kind === "drop") bytes.splice(index, 1 + (byte % 5));
  else if (kind === "double") bytes.splice(index, 0, ...bytes.slice(index, index + 1 + (byte % 9)));
  else if (kind === "number") bytes.splice(index, 1, 255, 255, 255, 255, byte & 127);
  else bytes.splice(index, 0, byte);
  return Uint8Array.from(bytes);
}

test("mutated updates change nothing or leave a consistent document", {
  timeout: 120_000,
}, () => {
  fc.assert(
    fc.property(
      fc.array(action, { minLength: 10, maxLength: 60 }),
      fc.array(fc.tuple(fc.nat(), mutation), { minLength: 1, maxLength: 12 }),
      (actions, mutations) => {
        const document = documentOf("start 🦚");
        const state = document.encode();
        const log: Uint8Array[] = [];
        const originals: Uint8Array[] = [];
        const take = (update: Uint8Array): Uint8Array | undefined => {
          const before = picture(document);
          const applied = document.apply(update, anybody);
          if (applied.type === "changed") {
            log.push(applied.update);
            return applied.update;
          }
          expect(picture(document)).toEqual(before);
          return undefined;
        };
        let next = 0;
        const replicas = write(document, actions, (update) => {
          originals.push(update);
          const notified = take(update);
          const forged = mutations[next];
          if (forged !== undefined && originals.length % 2 === 0) {
            next += 1;
            const extra = take(mutate(originals[forged[0] % originals.length] as Uint8Array, forged[1]));
            // Everyone is notified of a forgery that was taken, its own author included.
            if (extra !== undefined)
              return notified === undefined ? extra : Y.mergeUpdates([notified, extra]);
          }
          return notified;
        });
        expect(document.text.isWellFormed()).toBe(true);
        expect(document.text).not.toContain("\ufffd");
        const again = SharedDocument.load(state, log);
        expect(again.text).toBe(document.text);
        expect(picture(again).sv).toEqual(picture(document).sv);
        // Who is in step receives all of it, in another order than the document did, and agrees.
        const late = new Replica(documentOf(""));
        Y.applyUpdateV2(late.doc, state, "server");
        for (const update of log.toReversed()) late.receive(update);
        expect(late.text.toString()).toBe(document.text);
        expect(replicas).toHaveLength(4);
      },
    ),
    { numRuns: RUNS, endOnFailure: true },
  );
});
