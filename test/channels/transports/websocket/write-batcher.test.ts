import { expect, test } from "vitest";
import { WriteBatcher } from "../../../../src/channels/transports/websocket/write-batcher.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("connections are flushed at the end of the turn, once each", async () => {
  const batcher = new WriteBatcher();
  const flushed: number[] = [];
  for (const id of [1, 2, 3]) {
    batcher.frames += 2;
    batcher.add({ flush: () => flushed.push(id) });
  }
  expect(flushed).toEqual([]);
  await turn();
  expect(flushed).toEqual([1, 2, 3]);
  expect(batcher.frames).toBe(0);
});

test("a connection that is added during a flush is flushed in a later turn", async () => {
  const batcher = new WriteBatcher();
  const flushed: string[] = [];
  batcher.add({
    flush() {
      flushed.push("first");
      batcher.add({ flush: () => flushed.push("second") });
    },
  });
  await turn();
  expect(flushed).toEqual(["first"]);
  await turn();
  expect(flushed).toEqual(["first", "second"]);
});

test("a flush of many connections takes turns, and needs no further frame", async () => {
  const batcher = new WriteBatcher();
  let flushed = 0;
  for (let id = 0; id < 100; id += 1) {
    batcher.frames += 1;
    batcher.add({ flush: () => (flushed += 1) });
  }
  await turn();
  expect(flushed).toBe(0);
  while (flushed === 0) await turn();
  expect(flushed).toBe(100);
});
