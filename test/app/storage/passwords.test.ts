/**
 * What is begun with a password ends with it, on a SQLite database of its own. MariaDB:
 * test/integration/storage.test.ts.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import { createDataSource } from "../../../src/app/storage/data-source.js";
import type { Outcome, Repository } from "../../../src/app/storage/repository.js";
import { stateOf } from "../../../src/app/storage/repository.js";
import { Transactions } from "../../../src/app/storage/transactions.js";

let source: ReturnType<typeof createDataSource>;
let repository: Repository;
let userId: number;

const value = <T>(outcome: Outcome<T>): T => {
  if (outcome[0] === "error") throw new Error(outcome[1]);
  return outcome[1];
};

beforeEach(async () => {
  source = createDataSource({ kind: "sqlite", location: ":memory:" });
  await source.initialize();
  await source.runMigrations({ transaction: "each" });
  const { operations } = stateOf(source, new Transactions(source));
  repository = Object.fromEntries(operations) as unknown as Repository;
  userId = value(await repository.createUser({ firstName: "Ann", email: "a@b.c", passwordHash: "first" })).id;
});
afterEach(() => source.destroy());

const session = (id: string, passwordHash: string) => ({ id, userId, tokenHash: id, passwordHash });
const change = (before: string, after: string) =>
  repository.changePassword({ before, session: session(`after ${after}`, after) });
const continues = async (id: string): Promise<boolean> =>
  (await repository.sessionUser(id, userId))[0] === "ok";
const hash = async (): Promise<string> => value(await repository.userByEmail("a@b.c")).passwordHash;

test("a changed password ends every session and begins one", async () => {
  value(await repository.createSession(session("one", "first")));
  value(await change("first", "second"));
  expect([await hash(), await continues("one"), await continues("after second")]).toEqual([
    "second",
    false,
    true,
  ]);
});

test("a log-in that was checked against the former password begins no session", async () => {
  value(await change("first", "second"));
  expect(await repository.createSession(session("late", "first"))).toEqual(["error", "forbidden"]);
  expect(await continues("late")).toBe(false);
});

test("of two changes of one password the first holds", async () => {
  expect(await Promise.all([change("first", "mine"), change("first", "yours")])).toEqual([
    ["ok", null],
    ["error", "forbidden"],
  ]);
  expect([await hash(), await continues("after mine"), await continues("after yours")]).toEqual([
    "mine",
    true,
    false,
  ]);
});

test("another hash of a password that has been replaced meanwhile is not stored", async () => {
  value(await change("first", "second"));
  value(await repository.rehashPassword(userId, "first", "first, hashed again"));
  expect(await hash()).toBe("second");
  value(await repository.rehashPassword(userId, "second", "second, hashed again"));
  expect([await hash(), await continues("after second")]).toEqual(["second, hashed again", true]);
});
