/**
 * Each statement fails in each way on a SQLite file. MariaDB:
 * test/integration/failing-statements.test.ts.
 */

import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Way } from "../../support/faulty-drivers.js";
import { Trial } from "./failing-statements.js";

let folder: string;
let trial: Trial;
beforeEach(async () => {
  // In memory where possible: thousands of commits, and no power cut.
  folder = await mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "tx-"));
  trial = new Trial({ kind: "sqlite", location: join(folder, "t.sqlite") });
  await trial.start();
});
afterEach(async () => {
  await trial.stop();
  await rm(folder, { recursive: true, force: true });
});

const ways: readonly (readonly [string, Way])[] = [
  [
    "finds the disk full, which ends the transaction",
    { error: { code: "SQLITE_FULL" }, undone: "transaction" },
  ],
  ["meets an I/O error, and leaves the transaction open", { error: { code: "SQLITE_IOERR_WRITE" } }],
  ["is carried out, and answered with an error", { afterwards: { code: "SQLITE_IOERR_FSYNC" } }],
  ["finds the file locked", { error: { code: "SQLITE_BUSY" } }],
  ["fails in an unknown way", { error: { code: "SQLITE_UNHEARD_OF" } }],
];

describe.each([
  ["once", false],
  ["and so do all after it", true],
] as const)("a statement fails %s", (_often, repeatedly) => {
  test.each(ways)("it %s: what was acknowledged is stored", async (_title, way) => {
    await trial.failEach(way, repeatedly);
  });
});

test("a lock that is free again soon is waited for", async () => {
  trial.faults.start({ error: { code: "SQLITE_BUSY" } }, 0);
  const done = await trial.work();
  expect([done.users.length, done.edits.length]).toEqual([1, 2]);
});
