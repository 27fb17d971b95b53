import { expect, test } from "vitest";
import { SeenTexts } from "../../../src/app/rooms/whole-text.js";

test("a client that writes alone gets what it sent, though an older text of its own is nearer", () => {
  const seen = new SeenTexts();
  let current = "by x";
  for (const text of ["by []", "by {}", 'by ["1"]', "done"]) {
    for (const { from, to, insert } of seen.editOf(text, current, 0).toReversed())
      current = current.slice(0, from) + insert + current.slice(to);
    seen.wrote(text, 0);
    expect(current).toBe(text);
  }
});

/** The document after this text, as its client sent it. */
function write(seen: SeenTexts, text: string, current: string): string {
  let made = current;
  for (const { from, to, insert } of seen.editOf(text, current, 0).toReversed())
    made = made.slice(0, from) + insert + made.slice(to);
  seen.wrote(text, 0);
  return made;
}

test("a client that writes alone gets what it sends after several of its texts were taken back, whatever is nearer", () => {
  const seen = new SeenTexts();
  for (const text of ["text 403", "text 406", "text 410"]) seen.wrote(text, 0);
  // Told once they are stored, when the next are on their way already.
  for (const text of ["text 403", "text 406", "text 410"]) seen.add(text, 0);
  let current = "text 410";
  for (const text of ["text 411", "text 412"]) current = write(seen, text, current);
  for (const text of ["text 411", "text 412"]) seen.forget(text, current);
  seen.wentBack(current, "text 410");
  expect(write(seen, "text 416", "text 410")).toBe("text 416");
});

test("a client that writes alone gets what it sends after one of its texts was refused at once", () => {
  const seen = new SeenTexts();
  for (const text of ["text 406", "text 410", "too long"]) seen.wrote(text, 0);
  seen.forget("too long", "text 410");
  expect(write(seen, "text 4067", "text 410")).toBe("text 4067");
});

test("a text that comes a second time, after its client was told what was made of it, is made so", () => {
  const seen = new SeenTexts();
  seen.add("7 41", 0);
  expect(write(seen, "the end", "12 46")).not.toBe("the end");
  seen.add("2 the end 46", 0);
  expect(write(seen, "the end", "2 the end 46")).toBe("the end");
});

test("a text that comes twice keeps what others did, of which its client was told nothing yet", () => {
  const seen = new SeenTexts();
  seen.add("hello", 0);
  seen.wrote("hello Bob", 0);
  expect(write(seen, "hello Bob", "Ann: hello Bob")).toBe("Ann: hello Bob");
});

test("what another has typed while a text was on its way stays, however much it was", () => {
  const seen = new SeenTexts();
  seen.add("ann:\n\n\nbob:", 0);
  let current = "ann:\n\n\nbob:";
  for (const letter of "the other types thirty letters") {
    current += letter;
    seen.add(current, 0);
  }
  expect(write(seen, "ann:a\n\n\nbob:", current)).toBe(`ann:a\n\n\nbob:the other types thirty letters`);
});

test("a token stays whole beside a later text in which another token looks much like it", () => {
  const seen = new SeenTexts();
  for (const text of ["bob:<b0><b1>", "bob:<b0><b1><b2>", "a bob:<b0><b1><b2>"]) seen.add(text, 0);
  expect(write(seen, "bob:<b0><b1><b9>", "a bob:<b0><b1><b2>")).toMatch(/<b2><b9>|<b9><b2>/);
});

test("a token that a text told since happens to have is there twice", () => {
  const seen = new SeenTexts();
  for (const text of ["x", "x<1>", "x<1><2>"]) seen.add(text, 0);
  expect(write(seen, "x<1>", "x<1><2>").split("<1>")).toHaveLength(3);
});

test("a client that sends what it was told changes nothing", () => {
  const seen = new SeenTexts();
  for (const text of ["x", "x, and more"]) seen.add(text, 0);
  expect(write(seen, "x, and more", "x, and more")).toBe("x, and more");
});

test("of replacements as large as each other the one of the newest text counts", () => {
  const seen = new SeenTexts();
  for (const text of ["seed", "from node 1", "from node 2"]) seen.add(text, 0);
  expect(write(seen, "from node 3", "from node 2")).toBe("from node 3");
});

test("a text that was sent seconds ago has arrived, whatever an older one looks like", () => {
  const seen = new SeenTexts();
  seen.add("a", 0);
  seen.add("a, and b by another", 100);
  // Beside the first text it is an addition; but its client has the second, and has replaced the end.
  const [sent, current] = ["a, and c", "a, and b by another"];
  const edited = (now: number) =>
    seen
      .editOf(sent, current, now)
      .toReversed()
      .reduce((text, { from, to, insert }) => text.slice(0, from) + insert + text.slice(to), current);
  expect(edited(200)).not.toBe(sent);
  expect(edited(5000)).toBe(sent);
});

test("a refused text leaves the others that its client can have before it", () => {
  const seen = new SeenTexts();
  seen.wrote("refused", 0);
  seen.add("text", 1);
  expect(write(seen, "text a", "text")).toBe("text a");
  seen.forget("refused", "by another; text a");
  // From "text", which its client was shown again.
  expect(write(seen, "text b", "by another; text a")).toBe("by another; text a b");
});
