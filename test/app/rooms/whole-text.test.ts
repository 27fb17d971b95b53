import { expect, test } from "vitest";
import { SeenTexts } from "../../../src/app/rooms/whole-text.js";

test("a client that writes alone gets what it sent, though an older text of its own is nearer", () => {
  const seen = new SeenTexts();
  let current = "by x";
  for (const text of ["by []", "by {}", 'by ["1"]', "done"]) {
    for (const { from, to, insert } of seen.editOf(text, current).toReversed())
      current = current.slice(0, from) + insert + current.slice(to);
    seen.wrote(text);
    expect(current).toBe(text);
  }
});
