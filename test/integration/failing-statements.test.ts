/** Each statement fails in each way on MariaDB. SQLite: test/app/storage/transactions.test.ts. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Trial } from "../app/storage/failing-statements.js";
import type { Way } from "../support/faulty-drivers.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { describeWith } from "../support/requirements.js";

const error = (errno: number, code: string) => ({ code, errno });

const ways: readonly (readonly [string, Way])[] = [
  ["meets a deadlock", { error: error(1213, "ER_LOCK_DEADLOCK"), undone: "transaction" }],
  ["waits for a lock too long", { error: error(1205, "ER_LOCK_WAIT_TIMEOUT") }],
  ["is refused, for the server is read-only", { error: error(1290, "ER_OPTION_PREVENTS_STATEMENT") }],
  ["is refused in an unknown way", { error: error(9999, "ER_UNHEARD_OF") }],
  ["is carried out, and answered with an error", { afterwards: error(1180, "ER_ERROR_DURING_COMMIT") }],
  ["loses its connection before it is carried out", { lost: "before" }],
  ["loses its connection after it is carried out", { lost: "after" }],
];

describeWith("MariaDB", "on MariaDB", () => {
  let mariadb: MariaDb;
  let trial: Trial;
  beforeAll(async () => {
    mariadb = await startMariaDb();
    trial = new Trial({ kind: "mysql", location: await mariadb.createDatabase() });
    await trial.start();
  });
  afterAll(async () => {
    await trial?.stop();
    await mariadb?.stop();
  });

  test.each(ways)("a statement %s: what was acknowledged is stored", async (_title, way) => {
    await trial.failEach(way, false);
  });

  const lasting = ways.filter(([title]) => /deadlock|unknown|before/.test(title));
  test.each(lasting)("a statement and all after it: each %s", async (_title, way) => {
    await trial.failEach(way, true);
  });

  test("no answer: it fails in time, its connection is given up, and the next works", async () => {
    await trial.failEach("hangs", false);
  });

  test("an account that was stored without an answer is found, not refused as taken", async () => {
    trial.faults.start({ lost: "after" }, 0);
    const done = await trial.work();
    expect(trial.faults.seen[0]).toMatch(/INSERT INTO `users`/);
    expect(done.users).toHaveLength(1);
    await trial.check(done, "after the answer was lost");
  });

  test("no transaction is left open on the server", async () => {
    const root = await mariadb.connectAsRoot();
    const open = async () => {
      const [rows] = await root.query("select trx_id from information_schema.innodb_trx");
      return (rows as unknown[]).length;
    };
    await expect.poll(open).toBe(0);
    await root.end();
  });
});
