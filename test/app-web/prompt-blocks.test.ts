import fc from "fast-check";
import { expect, test } from "vitest";
import { blocksOf, spansOf } from "../../src/app/web/ui/prompt-blocks.js";

test("indented lines are a block of code, the rest are paragraphs", () => {
  expect(blocksOf("Write it.\n\nExamples\n  f(1) → 2\n\n    f(2) → 3\n\nBe quick.")).toEqual([
    { kind: "text", text: "Write it." },
    { kind: "text", text: "Examples" },
    { kind: "code", text: "f(1) → 2\n\n  f(2) → 3" },
    { kind: "text", text: "Be quick." },
  ]);
});

test("an indented block of dashes is a list whose items may span lines", () => {
  expect(blocksOf("Talk about\n  - Which one?\n  - What about\n    the other?\n")).toEqual([
    { kind: "text", text: "Talk about" },
    { kind: "list", items: ["Which one?", "What about the other?"] },
  ]);
});

test("backticks mark code within a line, a lonely one is text", () => {
  expect(spansOf("at most `limit` things in ` ms")).toEqual([
    { code: false, text: "at most " },
    { code: true, text: "limit" },
    { code: false, text: " things in ` ms" },
  ]);
});

test("no visible character of a prompt is lost", () => {
  const line = fc.string({
    unit: fc.constantFrom("a", "<", "`", " ", "  ", "\t", "&", "é", "- "),
    maxLength: 12,
  });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
      const visible = (text: string): string => text.replace(/[\s-]/g, "");
      const prompt = lines.join("\n");
      const shown: string[] = [];
      for (const block of blocksOf(prompt)) {
        if (block.kind === "code") shown.push(block.text);
        else
          for (const text of block.kind === "list" ? block.items : [block.text]) {
            for (const span of spansOf(text)) shown.push(span.code ? `\`${span.text}\`` : span.text);
          }
      }
      expect(visible(shown.join(""))).toBe(visible(prompt));
    }),
    { numRuns: 500 },
  );
});
