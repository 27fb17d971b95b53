/** The schema on a SQLite file of its own. MariaDB: test/integration/schema.test.ts. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createDataSource } from "../../../src/app/storage/data-source.js";
import { prepareSchema, startProblem } from "../../../src/app/storage/schema.js";
import { CutOff, contents, prepare } from "../../support/schema.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "schema-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const file = (name: string) => ({ kind: "sqlite", location: join(folder, name) }) as const;

test("a start that is cut off after any statement can be repeated on SQLite", async () => {
  const statements = await prepare(file("whole"));
  const whole = await contents(file("whole"));
  expect(statements).toBeGreaterThan(30);
  for (let n = 0; n < statements; n++) {
    await expect(prepare(file(`${n}`), n), `after ${n} statements`).rejects.toThrow(CutOff);
    await prepare(file(`${n}`));
    expect(await contents(file(`${n}`)), `after ${n} statements`).toEqual(whole);
  }
});

test("a start waits for another process that prepares the same file", async () => {
  const other = createDataSource(file("shared"));
  const mine = createDataSource(file("shared"));
  await Promise.all([other.initialize(), mine.initialize()]);
  await mine.query("pragma busy_timeout = 0");
  await other.query("begin immediate");
  const lines: string[] = [];
  const started = prepareSchema(mine, {
    log: (line) => {
      lines.push(line);
      void other.query("rollback");
    },
  });
  await started;
  expect(lines).toEqual(["another process prepares this database; waiting for it"]);
  expect(await mine.query("select count(*) as n from challenges")).toEqual([{ n: 5 }]);
  await Promise.all([other.destroy(), mine.destroy()]);
});

test("waiting for a process that prepares the file ends with what to do", async () => {
  const other = createDataSource(file("shared"));
  const mine = createDataSource(file("shared"));
  await Promise.all([other.initialize(), mine.initialize()]);
  await mine.query("pragma busy_timeout = 0");
  await other.query("begin immediate");
  await expect(prepareSchema(mine, { patienceMs: 0, log: () => {} })).rejects.toThrow(/end it first/);
  await other.query("rollback");
  await prepareSchema(mine);
  await Promise.all([other.destroy(), mine.destroy()]);
});

test("a schema that a newer program has changed is refused before anything is written", async () => {
  await prepare(file("newer"));
  const source = createDataSource(file("newer"));
  await source.initialize();
  await source.query("insert into migrations (timestamp, name) values (1999, 'AddFuture1999000000000')");
  const problem = await prepareSchema(source).catch(startProblem);
  expect(problem).toMatch(/newer version .*AddFuture1999000000000.*go back to a backup/);
  expect(problem).not.toContain("\n");
  await source.query("delete from migrations where name like 'AddFuture%'");
  await prepareSchema(source);
  await source.destroy();
});

test("foreign keys hold after the schema was prepared, and after that failed", async () => {
  const source = createDataSource(file("keys"));
  await source.initialize();
  await prepareSchema(source);
  expect(await source.query("pragma foreign_keys")).toEqual([{ foreign_keys: 1 }]);
  await source.query("insert into migrations (timestamp, name) values (1999, 'AddFuture1999000000000')");
  await expect(prepareSchema(source)).rejects.toThrow("newer version");
  expect(await source.query("pragma foreign_keys")).toEqual([{ foreign_keys: 1 }]);
  await source.destroy();
});
