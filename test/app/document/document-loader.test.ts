import { afterEach, expect, test } from "vitest";
import { documentOf } from "../../../src/app/document/document-image.js";
import { ThreadLoader } from "../../../src/app/document/document-loader.js";
import { type StoredDocument, textHash } from "../../../src/app/document/document-loading.js";
import { SharedDocument, seedState } from "../../../src/app/document/shared-document.js";
import { forgedRun, forgeUpdate } from "../../support/forged-update.js";

const loaders: ThreadLoader[] = [];
const loaderWith = (options: { fastMs?: number; slowMs?: number }): ThreadLoader => {
  const loader = new ThreadLoader(options);
  loaders.push(loader);
  return loader;
};
afterEach(async () => {
  for (const loader of loaders.splice(0)) await loader.stop();
});

const stored = (text: string, updates: readonly Uint8Array[] = []): StoredDocument => ({
  state: seedState(text),
  hash: textHash(text),
  updates,
});

/**
 * Siblings of a low client id, then as many of a higher one: placing them takes the square of their
 * number.
 */
const dear = (count: number): StoredDocument =>
  stored(
    "",
    [5, 9].map((client) =>
      forgeUpdate(forgedRun(count, (clock) => ({ client, clock, origin: null, right: null, text: "x" }))),
    ),
  );

test("a document is loaded, from the snapshot before when the newest is damaged", async () => {
  const loader = loaderWith({});
  const loaded = await loader.image([{ ...stored("new"), hash: textHash("other") }, stored("old 🦚")]);
  expect(loaded[0] === "ok" && SharedDocument.fromImage(loaded[1]).text).toBe("old 🦚");
  expect(await loader.image([{ ...stored("new"), hash: "" }])).toEqual(["error", "damaged"]);
  expect(await loader.image([{ ...stored("x"), state: Uint8Array.from([1, 2, 3]) }])).toEqual([
    "error",
    "damaged",
  ]);
  expect(await loader.text(seedState("text"), textHash("text"))).toEqual(["ok", "text"]);
  expect(await loader.text(seedState("text"), "")).toEqual(["error", "damaged"]);
});

test("one that takes long is loaded apart from the others, and comes to be as it was", {
  timeout: 60_000,
}, async () => {
  const loader = loaderWith({ fastMs: 1, slowMs: 60_000 });
  const slow = await loader.image([dear(1500)]);
  if (slow[0] === "error") throw new Error(slow[1]);
  expect(documentOf(slow[1]).getText("response").length).toBe(3000);
});

test("one that takes too long is given up, its thread ends, and others are loaded", {
  timeout: 60_000,
}, async () => {
  const loader = loaderWith({ fastMs: 3000, slowMs: 100 });
  const order: string[] = [];
  const trap = loader.image([dear(12_000)]).then((outcome) => {
    order.push("trap");
    return outcome;
  });
  const others = Promise.all(
    ["a", "b", "c"].map(async (text) => {
      const loaded = await loader.image([stored(text)]);
      order.push(text);
      return loaded[0];
    }),
  );
  expect(await others).toEqual(["ok", "ok", "ok"]);
  expect(await trap).toEqual(["error", "too_slow"]);
  expect(order).toContain("trap");
  expect((await loader.image([stored("after")]))[0]).toBe("ok");
});
