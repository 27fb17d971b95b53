import { expect, test } from "vitest";
import { KeyedQueue } from "../../src/app/keyed-queue.js";

test("work of one key runs in order, past a failure, and leaves nothing behind", async () => {
  const ordered = new KeyedQueue<string>();
  const log: string[] = [];
  let release!: () => void;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const first = ordered.run("a", async () => {
    log.push("a1");
    await held;
    log.push("a1 ends");
  });
  const second = ordered.run("a", async () => {
    log.push("a2");
    throw new Error("a2 fails");
  });
  const third = ordered.run("a", async () => log.push("a3"));
  await ordered.run("b", async () => log.push("b"));
  await ordered.settled("b");
  expect(log).toEqual(["a1", "b"]);
  expect([ordered.waiting("a"), ordered.waiting("b"), ordered.waiting("c")]).toEqual([3, 0, 0]);
  release();
  await first;
  await expect(second).rejects.toThrow("a2 fails");
  await third;
  expect(log).toEqual(["a1", "b", "a1 ends", "a2", "a3"]);
  await ordered.allSettled();
  expect(ordered.size).toBe(0);
});
