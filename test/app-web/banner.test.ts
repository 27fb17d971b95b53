import { expect, test } from "vitest";
import { bannerOf } from "../../src/app/web/room/banner.js";

const fine = {
  connection: "online",
  save: "saved",
  block: undefined,
  persistence: "ok",
  draining: false,
  canWrite: true,
  ready: true,
} as const;

test("when all is well nothing is said", () => {
  expect(bannerOf(fine)).toBeUndefined();
  expect(bannerOf({ ...fine, save: "saving" })).toBeUndefined();
});

test.each([
  ["a lost connection", { connection: "reconnecting" }, /Reconnecting… You can keep typing/],
  ["a lost connection with edits", { connection: "reconnecting", save: "unsaved" }, /kept on this device/],
  ["a lost connection for a reader", { connection: "reconnecting", canWrite: false }, /Reconnecting…$/],
  ["a database that is away", { persistence: "degraded" }, /nothing is saved yet/],
  ["a database that is away for long", { persistence: "read_only", block: "persistence" }, /not saved yet/],
  ["a restart", { draining: true }, /restarts/],
  ["a server that does not answer", { save: "unsaved" }, /not saved yet/],
  ["a right that was taken away", { block: "role", save: "unsaved", canWrite: false }, /copy them/],
  ["a reader's room", { block: "role", canWrite: false }, /read along/],
  ["a text that is too long", { block: "too_large", save: "unsaved" }, /Shorten/],
  ["edits that are never taken", { block: "bad_update", save: "unsaved" }, /load the page again/],
  ["a connection that is back", { connection: "back" }, /Connected again/],
] as const)("%s is notified, and what it means", (_, change, text) => {
  expect(bannerOf({ ...fine, ...change })?.text).toMatch(text);
});

test("what is wrong with the connection goes before what is wrong behind it", () => {
  expect(bannerOf({ ...fine, connection: "reconnecting", persistence: "degraded" })?.text).toMatch(
    /Connection lost/,
  );
});
