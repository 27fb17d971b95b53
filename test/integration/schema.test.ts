/**
 * The schema on MariaDB, and servers whose settings are not the usual ones. SQLite:
 * test/app/storage/schema.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { challenges } from "../../src/app/storage/challenges.js";
import { chat } from "../../src/app/storage/chat.js";
import { createDataSource } from "../../src/app/storage/data-source.js";
import { prepareSchema, startProblem } from "../../src/app/storage/schema.js";
import { users } from "../../src/app/storage/users.js";
import { runToEnd } from "../support/app-server.js";
import { value, withDatabase } from "../support/databases.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { describeWith } from "../support/requirements.js";
import { type Contents, CutOff, contents, prepare } from "../support/schema.js";

const at = (location: string) => ({ kind: "mysql", location }) as const;
const nameOf = (url: string): string => new URL(url).pathname.slice(1);
/** What these tests store need not survive the power being cut. */
const FAST = ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"];

/** Why the program does not start on this database. */
async function problemOf(url: string): Promise<string | undefined> {
  const source = createDataSource(at(url));
  await source.initialize();
  try {
    await prepareSchema(source);
    return undefined;
  } catch (error) {
    return startProblem(error);
  } finally {
    await source.destroy();
  }
}

const EMAIL = "victim@example.com";
const NEW_USER = { firstName: "Zoë 😀", email: EMAIL, passwordHash: "secret'hash\\" };

describeWith("MariaDB", "the schema on MariaDB", () => {
  let mariadb: MariaDb;
  beforeAll(async () => {
    mariadb = await startMariaDb(FAST);
  });
  afterAll(() => mariadb?.stop());

  test("a start that is cut off after any statement can be repeated", async () => {
    const model = at(await mariadb.createDatabase());
    const statements = await prepare(model);
    const whole = await contents(model);
    expect(statements).toBeGreaterThan(30);
    for (let n = 0; n < statements; n++) {
      const config = at(await mariadb.createDatabase());
      await expect(prepare(config, n), `after ${n} statements`).rejects.toThrow(CutOff);
      await prepare(config);
      expect(await contents(config), `after ${n} statements`).toEqual(whole);
    }
  });

  test("a node that waits for another's lock says so, and gives up with what to do", async () => {
    const url = await mariadb.createDatabase();
    const [holder, waiter] = [createDataSource(at(url)), createDataSource(at(url))];
    await Promise.all([holder.initialize(), waiter.initialize()]);
    const lines: string[] = [];
    const log = (line: string): void => {
      lines.push(line);
    };
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    // Stops before its first migration, with the lock.
    const held = prepareSchema(holder, { beforeMigrations: () => released });
    await expect
      .poll(() => prepareSchema(waiter, { patienceMs: 0, log }).catch(startProblem))
      .toMatch(/has been preparing this database for 0 s; .* or end it first$/);
    release();
    await held;
    await prepareSchema(waiter, { log });
    expect(lines[0]).toBe("another process prepares this database; waiting for it");
    await Promise.all([holder.destroy(), waiter.destroy()]);
  });

  test("an e-mail address and a key of a message are compared by their bytes", async () => {
    await withDatabase(at(await mariadb.createDatabase()), async (database) => {
      const accounts = users(database);
      const { id } = value(await accounts.createUser(NEW_USER));
      for (const other of [
        "vïctim@example.com",
        "victim\0@example.com",
        "victim@exampl\u00e9.com",
        "ｖictim@example.com",
      ])
        expect(await accounts.userByEmail(other), other).toEqual(["error", "not_found"]);
      for (const same of [EMAIL, " VICTIM@Example.com "])
        expect(value(await accounts.userByEmail(same)), same).toMatchObject({ id });
      const messages = chat(database);
      const keys = ["aB1", "Ab1", "ab1", "ab1 ", "ab1  ", "áb1", "a\u0301b1", "ß", "ss", "😀", "😁"];
      for (const clientKey of keys) {
        const message = { challengeId: 1, userId: id, clientKey, text: clientKey };
        expect(value(await messages.addChatMessage(message)).again, clientKey).toBe(false);
        expect(value(await messages.addChatMessage(message)).again, clientKey).toBe(true);
      }
      expect(value(await messages.chatMessages(1, undefined, 50)).map(({ text }) => text)).toEqual(keys);
      expect(value(await messages.chatMessages(1, undefined, 50))[0]).toMatchObject({ first_name: "Zoë 😀" });
    });
  });

  test.each([
    ["character set latin1"],
    ["character set utf8mb3"],
    ["character set utf8mb4 collate utf8mb4_unicode_ci"],
  ])("in a database with %s the tables state their own", async (characterSet) => {
    const url = await mariadb.createDatabase({ characterSet });
    await withDatabase(at(url), async (database) => {
      value(await users(database).createUser(NEW_USER));
      const list = challenges(database);
      const input = { title: "😀 ẞ", prompt: "\\' \" --", language: "go", response: "🦄", ownerId: 1 };
      const { id } = value(await list.createChallenge(input));
      expect(value(await list.challenge(id))).toMatchObject({
        title: "😀 ẞ",
        prompt: "\\' \" --",
        response: "🦄",
      });
    });
    const others = await mariadb.query(
      `select table_name from information_schema.columns where table_schema = '${nameOf(url)}'
       and collation_name is not null and collation_name <> 'utf8mb4_bin'`,
    );
    expect(others).toEqual([]);
  });

  test("tables of an older program are converted with what stands in them", async () => {
    const url = await mariadb.createDatabase({ characterSet: "character set latin1" });
    await prepare(at(url));
    const whole = await contents(at(url));
    const name = nameOf(url);
    // As an older program left them on such a server, with the record of its migrations.
    await mariadb.query(
      "insert into users (first_name, email, email_normal, password_hash, created_at) values ('José', 'É@example.com', 'é@example.com', 'h', now())",
      name,
    );
    await mariadb.query("alter table users modify email_normal varchar(254) not null", name);
    await mariadb.query("alter table chat_messages modify client_key varchar(40) not null", name);
    for (const table of Object.keys(whole))
      await mariadb.query(
        `alter table ${table} convert to character set ${table === "challenges" ? "utf8mb3" : "latin1"}`,
        name,
      );
    await mariadb.query(
      "delete from migrations where name like 'StateCharacterSets%' or name like 'AddSearch%'",
      name,
    );
    await mariadb.query("alter table challenges drop column search_title, drop column search_prompt", name);
    await mariadb.query(
      "update migrations set name = 'CreateSharing1764200000001' where name like 'CreateSharing%'",
      name,
    );
    await withDatabase(at(url), async (database) => {
      expect(value(await users(database).userByEmail("É@EXAMPLE.com"))).toMatchObject({ first_name: "José" });
    });
    const after = await contents(at(url));
    const definitions = (all: Contents) =>
      Object.entries(all).flatMap(([table, { definition }]) => (table === "migrations" ? [] : [definition]));
    expect(definitions(after)).toEqual(definitions(whole));
    expect(after.challenges).toEqual(whole.challenges);
  });

  test("a start that an older program's tables ended is carried through", async () => {
    const url = await mariadb.createDatabase({ characterSet: "character set latin1" });
    await prepare(at(url));
    const whole = await contents(at(url));
    for (const statement of [
      "drop table chat_messages, invitations, memberships, room_snapshots, room_updates, rooms, sessions",
      "delete from challenges",
      "alter table challenges drop index challenges_visible, drop index challenges_owner",
      "alter table challenges drop column access, drop column starter, drop column search_title, drop column search_prompt",
      "alter table challenges convert to character set latin1",
      "alter table users convert to character set latin1",
      "delete from migrations where name not like 'CreateTables%'",
    ])
      await mariadb.query(statement, nameOf(url));
    await prepare(at(url));
    expect(await contents(at(url))).toEqual(whole);
  });

  test.each([
    [
      "alter table users convert to character set latin1",
      /users .*latin1.*ALTER TABLE users CONVERT TO CHARACTER SET utf8mb4/,
    ],
    [
      "alter table challenges modify title varchar(200) character set utf8mb3",
      /challenges .*utf8mb3.* in title/,
    ],
    [
      "alter table sessions drop foreign key sessions_user_fk; alter table sessions engine=MyISAM",
      /sessions .*MyISAM.*ENGINE=InnoDB/,
    ],
    ["drop table room_updates", /room_updates is missing/],
  ])("what became of a table by %s is refused with the remedy", async (change, line) => {
    const url = await mariadb.createDatabase();
    await prepare(at(url));
    for (const statement of change.split("; ")) await mariadb.query(statement, nameOf(url));
    const problem = await problemOf(url);
    expect(problem).toMatch(line);
    expect(problem).not.toContain("\n");
  });

  test("an older program cannot start on this schema, and a newer one's is refused", async () => {
    const url = await mariadb.createDatabase();
    await prepare(at(url));
    const names = await mariadb.query("select name from migrations", nameOf(url));
    // It would make the columns of its own migration once more, and fail.
    expect(names).not.toContainEqual({ name: "CreateSharing1764200000001" });
    await mariadb.query(
      "insert into migrations (timestamp, name) values (1999, 'AddFuture1999')",
      nameOf(url),
    );
    const ended = await runToEnd({ PORT: "0", SHARDS: "1", DATABASE_URL: url });
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toMatch(/^this database belongs to a newer version .*AddFuture1999.*\n$/);
  });

  test("a server that only reads is named", async () => {
    const url = await mariadb.createDatabase();
    await mariadb.query("set global read_only = 1");
    try {
      expect(await problemOf(url)).toMatch(/only reads \(read_only is ON\); set DATABASE_URL/);
    } finally {
      await mariadb.query("set global read_only = 0");
    }
  });
});

describeWith("MariaDB", "a MariaDB with unusual settings", () => {
  describe("that another program would be misled by", () => {
    let mariadb: MariaDb;
    beforeAll(async () => {
      mariadb = await startMariaDb([
        ...FAST,
        "--character-set-server=latin1",
        "--collation-server=latin1_german1_ci",
        "--skip-character-set-client-handshake",
        "--sql-mode=NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT",
        "--default-time-zone=+09:00",
        "--default-storage-engine=MyISAM",
        "--innodb-default-row-format=compact",
        "--lower-case-table-names=1",
        "--autocommit=0",
        "--sql-safe-updates=1",
        "--completion-type=RELEASE",
        "--transaction-isolation=READ-UNCOMMITTED",
        "--transaction-read-only=1",
      ]);
    });
    afterAll(() => mariadb?.stop());

    test("stores what it is given, and nothing that stands in a text is carried out", async () => {
      const url = await mariadb.createDatabase({ characterSet: "" });
      await withDatabase(at(url), async (database) => {
        const { id } = value(await users(database).createUser(NEW_USER));
        const messages = chat(database);
        const texts = [
          "\\', 'x'), (1, 1, 'k', (select password_hash from users)) -- ",
          "' || (select password_hash from users limit 1) || '",
          '"quoted" \\" \\\\ \0 \x1a \n',
          "😀 ẞ ï",
        ];
        for (const [n, text] of texts.entries())
          value(await messages.addChatMessage({ challengeId: 1, userId: id, clientKey: `${n}`, text }));
        expect(value(await messages.chatMessages(1, undefined, 50)).map(({ text }) => text)).toEqual(texts);
        const now = Date.now();
        const [last] = value(await messages.chatMessages(1, undefined, 1));
        expect(Math.abs(Date.parse(last?.at ?? "") - now)).toBeLessThan(600_000);
      });
      // With connections of its own: what was acknowledged is committed.
      await withDatabase(at(url), async (database) => {
        const account = value(await users(database).userByEmail(EMAIL));
        expect(account).toMatchObject({
          first_name: NEW_USER.firstName,
          passwordHash: NEW_USER.passwordHash,
        });
        expect(value(await challenges(database).listChallenges(1)).challenges).toHaveLength(5);
      });
      expect(await problemOf(url)).toBeUndefined();
    });
  });

  test.each([
    [["--max-allowed-packet=1M"], /max_allowed_packet is 1048576, and the program needs 9437184 or more/],
    [["--innodb-read-only=1"], /innodb_read_only is ON/],
    [["--log-bin", "--binlog-format=STATEMENT"], /binlog_format is STATEMENT.*ROW or MIXED/],
  ])("that nothing can work with, %j, is refused in one line", async (settings, line) => {
    const mariadb = await startMariaDb(FAST);
    try {
      const url = await mariadb.createDatabase();
      await mariadb.end("SIGTERM");
      await mariadb.restart(settings);
      const problem = await problemOf(url);
      expect(problem).toMatch(line);
      expect(problem).not.toContain("\n");
    } finally {
      await mariadb.stop();
    }
  });
});
