/** What one person may have, and what one answer may hold, on a SQLite database of its own. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { KeyedQueue } from "../../../src/app/keyed-queue.js";
import { challenges } from "../../../src/app/storage/challenges.js";
import { createDataSource } from "../../../src/app/storage/data-source.js";
import type { Outcome, Quotas } from "../../../src/app/storage/database.js";
import { sessions } from "../../../src/app/storage/sessions.js";
import { Transactions } from "../../../src/app/storage/transactions.js";
import { users } from "../../../src/app/storage/users.js";

let source: ReturnType<typeof createDataSource>;
let ann = 0;
let bob = 0;

const database = (quotas?: Quotas) => ({
  source,
  dialect: "sqlite" as const,
  transactions: new Transactions(source),
  writes: new KeyedQueue<number>(),
  quotas,
});

const ok = <T>(outcome: Outcome<T>): T => {
  if (outcome[0] === "error") throw new Error(outcome[1]);
  return outcome[1];
};

beforeEach(async () => {
  source = createDataSource({ kind: "sqlite", location: ":memory:" });
  await source.initialize();
  await source.runMigrations({ transaction: "each" });
  const user = async (email: string): Promise<number> =>
    ok(await users(database()).createUser({ firstName: "A", email, passwordHash: "-" })).id;
  ann = await user("a@b.c");
  bob = await user("b@b.c");
  await source.query("delete from challenges");
});
afterEach(() => source.destroy());

const QUOTAS = { challenges: 3, bytes: 10_000, sessions: 2 };
const challenge = (ownerId: number, response = "") => ({
  title: "T",
  prompt: "P",
  language: "go",
  response,
  ownerId,
});

test("a user's challenges are bounded, however many are made at once", async () => {
  const table = challenges(database(QUOTAS));
  const made = await Promise.all(Array.from({ length: 10 }, () => table.createChallenge(challenge(ann))));
  expect(made.filter(([status]) => status === "ok")).toHaveLength(3);
  expect(made.filter((outcome) => outcome[1] === "quota")).toHaveLength(7);
  expect((await table.createChallenge(challenge(bob)))[0]).toBe("ok");
  const { challenges: mine } = ok(await table.listChallenges(ann));
  await table.deleteChallenge(mine[0]?.id as number);
  expect((await table.createChallenge(challenge(ann)))[0]).toBe("ok");
});

test("bytes count towards the quota when challenges are made and changed", async () => {
  const table = challenges(database(QUOTAS));
  const { id } = ok(await table.createChallenge(challenge(ann, "ü".repeat(2000))));
  expect(await table.createChallenge(challenge(ann, "x".repeat(2000)))).toEqual(["error", "quota"]);
  expect(await table.changeChallenge(id, { starter: "x".repeat(8000) })).toEqual(["error", "quota"]);
  expect(await table.changeChallenge(id, { prompt: "🦚".repeat(1000) })).toEqual(["error", "quota"]);
  expect((await table.changeChallenge(id, { starter: "", title: "less" }))[0]).toBe("ok");
  expect((await table.createChallenge(challenge(ann, "x".repeat(2000))))[0]).toBe("ok");
});

test("a list of large texts has excerpts from 1 MiB on", async () => {
  const table = challenges(database());
  const large = "x".repeat(200 * 1024);
  for (let n = 0; n < 8; n += 1) await table.createChallenge(challenge(ann, n < 2 ? "small" : large));
  const { challenges: list, next } = ok(await table.listChallenges(bob));
  expect(list.map(({ response }) => response.length)).toEqual([5, 5, ...Array(5).fill(large.length), 280]);
  expect(list.map(({ truncated }) => truncated)).toEqual([...Array(7).fill(undefined), true]);
  expect(next).toBeUndefined();
  expect(Object.keys(list[0] as object).sort()).toEqual([
    "id",
    "language",
    "prompt",
    "response",
    "title",
    "updated_at",
  ]);
});

test("a long list comes in pages of 100, each challenge once", async () => {
  const table = challenges(database());
  for (let n = 0; n < 201; n += 1) await table.createChallenge(challenge(ann));
  const seen: number[] = [];
  const pages: number[] = [];
  for (let after: number | undefined = 0; after !== undefined; ) {
    const page: {
      readonly challenges: readonly { readonly id: number }[];
      readonly next: number | undefined;
    } = ok(await table.listChallenges(bob, after));
    seen.push(...page.challenges.map(({ id }) => id));
    pages.push(page.challenges.length);
    after = page.next;
  }
  expect(pages).toEqual([100, 100, 1]);
  expect(new Set(seen).size).toBe(201);
});

test("visibility and counts of challenges are decided without reading texts", async () => {
  const plan = async (sql: string): Promise<string> =>
    JSON.stringify(await source.query(`explain query plan ${sql}`));
  expect(await plan("select count(*) from challenges c where c.owner_id = 1 or c.access = 'open'")).toContain(
    "COVERING INDEX",
  );
  expect(await plan("select count(*) from challenges where owner_id = 1")).toContain("INDEX");
});

test("a person has so many sessions: with one more, the one renewed longest ago ends", async () => {
  const table = sessions(database(QUOTAS));
  for (const id of ["1", "2", "3"]) {
    await table.createSession({ id, userId: ann, tokenHash: id, passwordHash: "-" });
    await source.query("update sessions set expires_at = datetime(expires_at, ?) where id = ?", [
      `+${id} seconds`,
      id,
    ]);
  }
  await table.createSession({ id: "other", userId: bob, tokenHash: "o", passwordHash: "-" });
  const continues = async (id: string, who: number): Promise<boolean> =>
    (await table.sessionUser(id, who))[0] === "ok";
  expect(await Promise.all(["1", "2", "3"].map((id) => continues(id, ann)))).toEqual([false, true, true]);
  expect(await continues("other", bob)).toBe(true);
});
