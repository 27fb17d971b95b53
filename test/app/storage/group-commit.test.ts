import { expect, test } from "vitest";
import { GroupCommit } from "../../../src/app/storage/group-commit.js";

class Poison extends Error {}

/** Commits that note their groups; whatever has "bad" in it fails. */
function committing(weight: number) {
  const groups: string[][] = [];
  const log = new GroupCommit<string, string>(
    async (items) => {
      groups.push([...items]);
      if (items.includes("bad")) throw new Poison("bad");
      if (items.includes("away")) throw new Error("away");
      return items.map((item) => item.toUpperCase());
    },
    { waitMs: 0, weight },
    (error) => error instanceof Poison,
  );
  return { groups, log };
}

test("a group has no more than one commit may have, and every item is committed", async () => {
  const { groups, log } = committing(100);
  const answers = await Promise.all(["a", "b", "c", "d", "e"].map((item) => log.add(item, 40)));
  expect(answers).toEqual(["A", "B", "C", "D", "E"]);
  expect(Math.max(...groups.map(({ length }) => length))).toBe(2);
});

test("an item that is larger than a group is committed by itself", async () => {
  const { groups, log } = committing(100);
  await Promise.all([log.add("small", 1), log.add("huge", 1000), log.add("tiny", 1)]);
  expect(groups).toEqual([["small"], ["huge"], ["tiny"]]);
});

test("an item that can never be committed fails alone", async () => {
  const { log } = committing(100);
  const answers = await Promise.allSettled(["a", "bad", "c"].map((item) => log.add(item, 1)));
  expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});

test("a database that is away is asked once for the whole group", async () => {
  const { groups, log } = committing(100);
  const answers = await Promise.allSettled(["a", "away", "c"].map((item) => log.add(item, 1)));
  expect(answers.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(groups).toHaveLength(1);
});
