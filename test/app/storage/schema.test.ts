/** The schema on a SQLite file of its own. MariaDB: test/integration/schema.test.ts. */
import { copyFile, mkdtemp, open, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createDataSource } from "../../../src/app/storage/data-source.js";
import { prepareSchema, startProblem } from "../../../src/app/storage/schema.js";
import { checkFiles } from "../../../src/app/storage/sqlite-checks.js";
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

/** A database with work in its log, as a process that was killed leaves it. */
async function killed(name: string): Promise<string> {
  const source = createDataSource(file(name));
  await source.initialize();
  await prepareSchema(source);
  await source.query(
    "insert into challenges (title, language, prompt, response, created_at, updated_at) values ('New', 'go', 'p', 'r', 1, 1)",
  );
  const { location } = file(`killed-${name}`);
  for (const ending of ["", "-wal", "-shm"])
    await copyFile(`${file(name).location}${ending}`, `${location}${ending}`);
  await source.destroy();
  return location;
}

const problemOf = (location: string): Promise<string | undefined> =>
  (async () => {
    await checkFiles(location);
    const source = createDataSource({ kind: "sqlite", location });
    try {
      await source.initialize();
      await prepareSchema(source);
      expect(await source.query("select count(*) as n from challenges")).toEqual([{ n: 6 }]);
    } finally {
      if (source.isInitialized) await source.destroy();
    }
  })().then(() => undefined, startProblem);

test("the database of a process that was killed opens with all of its log", async () => {
  expect(await problemOf(await killed("a"))).toBeUndefined();
});

const damages: Record<string, readonly [(location: string) => Promise<void>, RegExp]> = {
  "whose log is gone": [
    (location) => rm(`${location}-wal`),
    /-wal is missing .* or delete .*-shm to continue/,
  ],
  "whose log begins with other bytes": [
    (location) => overwrite(`${location}-wal`, 0, Buffer.alloc(16, 7)),
    /-wal is damaged, .* backup/,
  ],
  "whose log has another checksum": [
    (location) => overwrite(`${location}-wal`, 25, Buffer.from([1, 2, 3])),
    /-wal is damaged/,
  ],
  "which is gone but for its log": [
    (location) => rm(location),
    /missing or empty though its log .* is there/,
  ],
  "which is empty but for its log": [(location) => truncate(location, 0), /missing or empty though its log/],
  "which is no database": [
    (location) => overwrite(location, 0, Buffer.from("Not SQLite at all")),
    /damaged; put a backup in place of all its files/,
  ],
  "with overwritten pages": [
    async (location) => {
      const source = createDataSource({ kind: "sqlite", location });
      await source.initialize();
      await source.destroy();
      await overwrite(location, 4096, Buffer.alloc(8192, 0xff));
    },
    /damaged.*backup/,
  ],
};

test.each(Object.entries(damages))("a database %s is refused in one line", async (_title, [damage, line]) => {
  const location = await killed("b");
  await damage(location);
  const problem = await problemOf(location);
  expect(problem).toMatch(line);
  expect(problem).not.toContain("\n");
});

test("what was prepared is in the file itself, should its log be lost", async () => {
  const source = createDataSource(file("c"));
  await source.initialize();
  await prepareSchema(source);
  await copyFile(file("c").location, file("copy").location);
  await source.destroy();
  const copy = createDataSource(file("copy"));
  await copy.initialize();
  expect(await copy.query("select count(*) as n from challenges")).toEqual([{ n: 5 }]);
  await copy.destroy();
});

async function overwrite(path: string, at: number, bytes: Buffer): Promise<void> {
  const handle = await open(path, "r+");
  await handle.write(bytes, 0, bytes.length, at);
  await handle.close();
}
