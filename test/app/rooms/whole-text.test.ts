import { describe, expect, test } from "vitest";
import { SharedDocument, seedState } from "../../../src/app/document/shared-document.js";
import { SeenTexts, type Written } from "../../../src/app/rooms/whole-text.js";

/** A document, and one client that reads and writes whole texts of it. */
class World {
  readonly seen = new SeenTexts();
  readonly document: SharedDocument;
  now = 0;

  constructor(text: string) {
    this.document = SharedDocument.load(seedState(text), []);
    this.tell();
  }

  get text(): string {
    return this.document.text;
  }

  /** The client is notified what the text is now. */
  tell(): void {
    this.seen.tell(this.document.text, this.document.version(), this.now);
  }

  /** The text after this one has come from the client, and what has become of it. */
  write(text: string): { readonly text: string; readonly written: Written } {
    const written = this.seen.write(text, this.document, this.now);
    this.document.edit(written.hunks);
    this.seen.wrote(written, this.document);
    return { text: this.text, written };
  }

  /** Another client has typed. */
  insert(insert: string, at: number): void {
    this.document.edit([{ from: at, to: at, insert }]);
  }

  delete(from: number, to: number): void {
    this.document.edit([{ from, to, insert: "" }]);
  }

  append(insert: string): void {
    this.insert(insert, this.text.length);
  }
}

describe("a client that writes alone", () => {
  test("gets what it sent, though an older text of its own is nearer", () => {
    const world = new World("by x");
    for (const text of ["by []", "by {}", 'by ["1"]', "done"]) expect(world.write(text).text).toBe(text);
  });

  test("gets what it sends after several of its texts were rolled back", () => {
    const world = new World("text 400");
    for (const text of ["text 403", "text 406", "text 410"]) {
      world.seen.stored(world.write(text).written);
      world.tell();
    }
    world.document.settleEdits();
    const taken = ["text 411", "text 412"].map((text) => world.write(text).written);
    for (const written of taken) world.seen.refused(written);
    world.document.undoEdits(2);
    expect(world.text).toBe("text 410");
    expect(world.write("text 416").text).toBe("text 416");
  });

  test("gets what it sends after one of its texts was refused at once", () => {
    const world = new World("");
    for (const text of ["text 406", "text 410"]) world.write(text);
    const tooLong = world.seen.write("too long", world.document, 0);
    world.seen.refused(tooLong);
    world.seen.wrote(tooLong, world.document);
    expect(world.write("text 4067").text).toBe("text 4067");
  });

  test("gets what it sent, though compared with a sent text it only added", () => {
    const world = new World("");
    for (const text of ["a", "ab", "abc"]) {
      world.write(text);
      world.tell();
    }
    world.now = 400;
    expect(world.write("az").text).toBe("az");
  });

  test("loses nothing while it types faster than its texts come back", () => {
    const world = new World("");
    for (const text of ["a", "ab", "abc"]) {
      world.write(text);
      world.tell();
    }
    world.now = 100;
    // The first of these has come back, and taken away the other two letters.
    expect(world.write("az").text).toBe("abcz");
  });

  test("has no texts kept of it that cannot be refused any more", () => {
    const world = new World("a");
    const { written } = world.write("ab");
    world.seen.stored(written);
    expect(written.base).toBeUndefined();
  });
});

describe("a text that comes a second time", () => {
  test("is made so, after its client got the merged text", () => {
    const world = new World("7 41");
    world.delete(0, 4);
    world.append("12 46");
    expect(world.write("the end").text).not.toBe("the end");
    world.tell();
    expect(world.write("the end").text).toBe("the end");
  });

  test("keeps edits of others that its client has not received", () => {
    const world = new World("hello");
    world.write("hello Bob");
    world.insert("Ann: ", 0);
    expect(world.write("hello Bob").text).toBe("Ann: hello Bob");
  });
});

describe("beside others", () => {
  test("what another has typed while a text was on its way stays, however much it was", () => {
    const world = new World("ann:\n\n\nbob:");
    for (const letter of "the other types thirty letters") {
      world.append(letter);
      world.tell();
    }
    expect(world.write("ann:a\n\n\nbob:").text).toBe("ann:a\n\n\nbob:the other types thirty letters");
  });

  test("what another has deleted while a text was on its way stays deleted", () => {
    const world = new World("one two three");
    world.delete(3, 7);
    world.tell();
    expect(world.write("one two three four").text).toBe("one three four");
  });

  test("a token stays whole next to a later text with a similar token", () => {
    const world = new World("bob:<b0><b1>");
    world.append("<b2>");
    world.tell();
    world.insert("a ", 0);
    world.tell();
    expect(world.write("bob:<b0><b1><b9>").text).toMatch(/<b2><b9>|<b9><b2>/);
  });

  test("a token that a text sent since happens to contain is there twice", () => {
    const world = new World("x");
    world.append("<1>");
    world.tell();
    world.append("<2>");
    world.tell();
    expect(world.write("x<1>").text.split("<1>")).toHaveLength(3);
  });

  test("a deletion among words that are all the same takes away its own one", () => {
    const world = new World("a a a");
    world.insert("a b ", 0);
    world.tell();
    // From "a a a", of which the client has deleted the last two words.
    expect(world.write("a").text).toBe("a b a");
  });

  test("a text made from the client's last one keeps newer edits, once each", () => {
    const world = new World("ann:\nbob:");
    world.write("ann:\nbob:x");
    world.insert("1", 4);
    world.tell();
    world.insert("2", 5);
    world.tell();
    expect(world.write("ann:\nbob:xy").text).toBe("ann:12\nbob:xy");
  });

  test("an edit that continues where its client typed is that one", () => {
    const world = new World("ann:\nbob:");
    for (const text of ["ann:\nbob:<b0>", "ann:\nbob:<b0><b1>"]) {
      world.write(text);
      world.tell();
    }
    world.insert("<a0>", 4);
    // From the first of these, which has just come back to it; from the second it would have put a
    // 0 into a token.
    expect(world.write("ann:\nbob:<b0><b10>").text).toMatch(/<b1>.*<b10>|<b10>.*<b1>/);
  });

  test("what its client typed before a refusal is in its next text", () => {
    const world = new World("a");
    const { written } = world.write("ab");
    world.insert("x ", 0);
    world.seen.refused(written);
    world.document.undoEdits(2);
    world.insert("x ", 0);
    expect(world.write("abc").text).toBe("x abc");
  });

  test("a text of its own is over once a later sent text has arrived", () => {
    const world = new World("b:");
    world.write("b:1");
    world.now = 100;
    world.append("2");
    world.tell();
    world.now = 5000;
    expect(world.write("b:13").text).toBe("b:13");
  });

  test("a client that sends back what it received changes nothing", () => {
    const world = new World("x");
    world.append(", and more");
    world.tell();
    expect(world.write("x, and more").text).toBe("x, and more");
  });

  test("of replacements as large as each other the one of the newest text counts", () => {
    const world = new World("seed");
    for (const text of ["from node 1", "from node 2"]) {
      world.delete(0, world.text.length);
      world.append(text);
      world.tell();
    }
    expect(world.write("from node 3").text).toBe("from node 3");
  });

  test("a text that was sent seconds ago has arrived, whatever an older one looks like", () => {
    const sent = "a, and c";
    const madeAt = (ms: number): string => {
      const world = new World("a");
      world.now = 100;
      world.append(", and b by another");
      world.tell();
      world.now = ms;
      return world.write(sent).text;
    };
    // Beside the first text it is an addition; but once its client has the second, it has replaced
    // the end.
    expect([madeAt(200) === sent, madeAt(5000) === sent]).toEqual([false, true]);
  });

  test("an edit of a text too old for the history is carried over by comparing the texts", () => {
    const world = new World("ann:\nbob:");
    for (let n = 0; n < 1100; n += 1) {
      world.insert("a", 4);
      world.document.version();
    }
    expect(world.write("ann:\nbob:b").text).toBe(`ann:${"a".repeat(1100)}\nbob:b`);
  });
});

test("a text that is sent again after a refusal counts as that one", () => {
  const world = new World("text");
  const refused = world.seen.write("refused", world.document, 0);
  world.seen.refused(refused);
  world.seen.wrote(refused, world.document);
  world.tell();
  expect(world.write("text a").text).toBe("text a");
  world.seen.tell("text", 0, 0);
  world.insert("by another; ", 0);
  expect(world.write("text b").text).toMatch(/^by another; text( a b| b a)$/);
});
