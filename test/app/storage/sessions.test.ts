/**
 * How long a session continues, on a SQLite database of its own and a clock that is notified what
 * time it is.
 */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { KeyedQueue } from "../../../src/app/keyed-queue.js";
import { createDataSource } from "../../../src/app/storage/data-source.js";
import { sessions } from "../../../src/app/storage/sessions.js";
import { Transactions } from "../../../src/app/storage/transactions.js";
import { users } from "../../../src/app/storage/users.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const START = Date.UTC(2030, 0, 1);

let source: ReturnType<typeof createDataSource>;
let table: ReturnType<typeof sessions>;
let userId: number;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
  source = createDataSource({ kind: "sqlite", location: ":memory:" });
  await source.initialize();
  await source.runMigrations({ transaction: "each" });
  const database = {
    source,
    dialect: "sqlite",
    transactions: new Transactions(source),
    writes: new KeyedQueue<number>(),
  } as const;
  table = sessions(database);
  const created = await users(database).createUser({ firstName: "Ann", email: "a@b.c", passwordHash: "-" });
  if (created[0] === "error") throw new Error(created[1]);
  userId = created[1].id;
  await table.createSession({ id: "s", userId, tokenHash: "0", passwordHash: "-" });
});
afterEach(async () => {
  vi.useRealTimers();
  await source.destroy();
});

const continues = async (): Promise<boolean> => (await table.sessionUser("s", userId))[0] === "ok";

test("a session that is not renewed is valid for 14 days", async () => {
  vi.setSystemTime(START + 14 * DAY_MS - 1);
  expect(await continues()).toBe(true);
  vi.setSystemTime(START + 14 * DAY_MS);
  expect(await continues()).toBe(false);
  expect(await table.renewSession({ id: "s", tokenHash: "0", nextHash: "1" })).toEqual([
    "error",
    "not_found",
  ]);
});

test("a renewed session is valid from then on, but not beyond 90 days", async () => {
  for (let day = 10, n = 0; day < 90; day += 10, n += 1) {
    vi.setSystemTime(START + day * DAY_MS);
    const renewed = await table.renewSession({ id: "s", tokenHash: String(n), nextHash: String(n + 1) });
    expect(renewed[0]).toBe("ok");
  }
  vi.setSystemTime(START + 90 * DAY_MS - 1);
  expect(await continues()).toBe(true);
  vi.setSystemTime(START + 90 * DAY_MS);
  expect(await continues()).toBe(false);
});
