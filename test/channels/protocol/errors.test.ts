/** The tables of docs/errors.md and docs/protocol.md list what the code sends. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CLOSE } from "../../../src/channels/protocol/constants.js";
import { CLIENT_ERRORS, invalidPayload, rateLimited } from "../../../src/channels/protocol/errors.js";

/** The rows of the tables below a heading. */
function rowsOf(file: string, heading: string): readonly (readonly string[])[] {
  const text = readFileSync(new URL(`../../../docs/${file}`, import.meta.url), "utf8");
  const section = text.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return section
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .slice(1)
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

test("docs/errors.md lists the errors that clients receive, and no others", () => {
  const listed = rowsOf("errors.md", "What a client may receive").map(([, reason = "", code = ""]) => [
    code.replaceAll("`", ""),
    reason.replaceAll("`", ""),
  ]);
  const sent = Object.values(CLIENT_ERRORS).map(({ reason, code }) => [code, reason]);
  expect(listed.toSorted()).toEqual(sent.toSorted());
});

test("docs/protocol.md lists the close codes, and no others", () => {
  const listed = rowsOf("protocol.md", "Close codes").flatMap(([codes = ""]) =>
    codes.split(", ").map(Number),
  );
  expect(listed.toSorted()).toEqual(Object.values(CLOSE).toSorted());
});

test("codes are snake_case, and each is of one error only", () => {
  const codes = Object.values(CLIENT_ERRORS).map(({ code }) => code);
  for (const code of codes) expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
  expect(new Set(codes).size).toBe(codes.length);
});

test("errors with details keep their reason and code", () => {
  expect(rateLimited(20)).toEqual({ ...CLIENT_ERRORS.rateLimited, retry_after_ms: 20 });
  expect(invalidPayload(["x"])).toEqual({ ...CLIENT_ERRORS.invalidPayload, issues: ["x"] });
});
