/**
 * What the database does under load and under faults, asked of the storage alone. The whole server:
 * storage-faults.test.ts.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import * as Y from "yjs";
import type { DatabaseConfig } from "../../src/app/config.js";
import { createDataSource } from "../../src/app/storage/data-source.js";
import type { Quotas } from "../../src/app/storage/database.js";
import { type Outcome, type Repository, stateOf } from "../../src/app/storage/repository.js";
import { prepareSchema } from "../../src/app/storage/schema.js";
import { Transactions } from "../../src/app/storage/transactions.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { describeWith } from "../support/requirements.js";

function value<T>(outcome: Outcome<T>): T {
  if (outcome[0] === "error") throw new Error(outcome[1]);
  return outcome[1];
}

/** The storage of one node. */
class Storage {
  readonly #source: ReturnType<typeof createDataSource>;
  repository!: Repository;

  constructor(config: DatabaseConfig) {
    this.#source = createDataSource(config);
  }

  static async open(config: DatabaseConfig, prepared = false, quotas?: Quotas): Promise<Storage> {
    const storage = new Storage(config);
    await storage.#source.initialize();
    if (!prepared) await prepareSchema(storage.#source);
    const { operations } = stateOf(storage.#source, new Transactions(storage.#source), quotas);
    storage.repository = Object.fromEntries(operations) as unknown as Repository;
    return storage;
  }

  async challenge(response = ""): Promise<number> {
    const input = { title: "t", prompt: "p", language: "python", response, ownerId: 1 };
    return value(await this.repository.createChallenge(input)).id;
  }

  async rooms(count: number): Promise<{ id: number; epoch: string }[]> {
    const ids = await Promise.all(Array.from({ length: count }, () => this.challenge()));
    return Promise.all(
      ids.map(async (id) => ({ id, epoch: value(await this.repository.openRoom(id)).epoch })),
    );
  }

  close(): Promise<void> {
    return this.#source.destroy();
  }
}

const entry = (bytes: Uint8Array) => ({ userId: 1, bytes });

/** An update that writes random text of about so many bytes. */
function written(bytes: number): Uint8Array {
  const doc = new Y.Doc();
  doc.getText("response").insert(0, randomBytes(bytes / 2).toString("hex"));
  return Y.encodeStateAsUpdate(doc);
}

describeWith("MariaDB", "storage on MariaDB", () => {
  let mariadb: MariaDb;
  let config: DatabaseConfig;
  beforeAll(async () => {
    mariadb = await startMariaDb();
  });
  afterAll(() => mariadb?.stop());
  beforeEach(async () => {
    config = { kind: "mysql", location: await mariadb.createDatabase() };
  });

  const asRoot = async <T>(sql: string): Promise<T[]> => {
    const root = await mariadb.connectAsRoot();
    const [rows] = await root.query(sql);
    await root.end();
    return rows as T[];
  };

  test("new rooms that are opened by several nodes at once are opened once", async () => {
    const nodes = [await Storage.open(config), await Storage.open(config)] as const;
    const ids = await Promise.all(Array.from({ length: 60 }, () => nodes[0].challenge("text")));
    const opened = await Promise.all(
      ids.flatMap((id) => [0, 1, 0].map((n) => (nodes[n] as Storage).repository.openRoom(id))),
    );
    expect(opened.filter(([status]) => status === "error")).toEqual([]);
    const epochs = new Set(opened.map((found) => value(found).epoch));
    expect(epochs.size).toBe(ids.length);
    await Promise.all(nodes.map((node) => node.close()));
  });

  test("no session of a former password outlives its change", async () => {
    const nodes = [await Storage.open(config), await Storage.open(config)] as const;
    const [one, two] = [nodes[0].repository, nodes[1].repository];
    for (let round = 0; round < 30; round += 1) {
      const user = { firstName: "A", email: `${round}@example.com`, passwordHash: "former" };
      const { id: userId } = value(await one.createUser(user));
      const begin = (repository: Repository, id: string) =>
        repository.createSession({ id: `${round} ${id}`, userId, tokenHash: id, passwordHash: "former" });
      const session = { id: `${round}`, userId, tokenHash: "new", passwordHash: "present" };
      const [a, b] = [begin(one, "a"), begin(two, "b")];
      const changed = one.changePassword({ before: "former", session });
      const [c, d] = [begin(one, "c"), begin(two, "d")];
      value(await changed);
      for (const outcome of await Promise.all([a, b, c, d]))
        expect(outcome[1]).toBeOneOf([null, "forbidden"]);
      const left = await Promise.all(
        ["a", "b", "c", "d"].map((id) => two.sessionUser(`${round} ${id}`, userId)),
      );
      expect(left).toEqual(Array(4).fill(["error", "not_found"]));
      expect((await two.sessionUser(`${round}`, userId))[0]).toBe("ok");
    }
    await Promise.all(nodes.map((node) => node.close()));
  });

  test("what a person or a challenge may have is not exceeded by requests at once", async () => {
    const quotas = { challenges: 1000, bytes: 100_000, sessions: 10 };
    const storage = await Storage.open(config, false, quotas);
    const { repository } = storage;
    const { id: ownerId } = value(
      await repository.createUser({ firstName: "A", email: "a@example.com", passwordHash: "-" }),
    );
    const input = { title: "t", prompt: "p", language: "python", response: "", ownerId };
    const ids = await Promise.all(
      Array.from({ length: 30 }, async () => value(await repository.createChallenge(input)).id),
    );
    const changed = await Promise.all(
      ids.map((id) => repository.changeChallenge(id, { starter: "x".repeat(9000) })),
    );
    expect(changed.filter(([status]) => status === "ok")).toHaveLength(11);
    expect(changed.filter(([, failure]) => failure === "quota")).toHaveLength(19);
    const challengeId = ids[0] as number;
    const invited = await Promise.all(
      Array.from({ length: 80 }, (_, n) =>
        repository.invite({ challengeId, tokenHash: `${n}`, role: "edit", hours: 1 }),
      ),
    );
    expect(invited.filter(([status]) => status === "ok")).toHaveLength(50);
    expect(value(await repository.sharing(challengeId)).invitations).toHaveLength(50);
    await storage.close();
  });

  test("a room that another node writes to is whole whenever it is read", async () => {
    const nodes = [await Storage.open(config), await Storage.open(config)] as const;
    const [{ id, epoch }] = (await nodes[0].rooms(1)) as [{ id: number; epoch: string }];
    let over = false;
    const writing = (async () => {
      const doc = new Y.Doc();
      while (!over) {
        const before = Y.encodeStateVector(doc);
        doc.getText("response").insert(0, "x");
        const bytes = Y.encodeStateAsUpdate(doc, before);
        const append = { id, epoch, entries: [entry(bytes)], text: undefined };
        const { first: seq } = value(await nodes[0].repository.appendUpdates(append));
        if (seq % 3 !== 0) continue;
        const text = doc.getText("response").toString();
        const state = Y.encodeStateAsUpdateV2(doc);
        value(await nodes[0].repository.saveSnapshot({ id, epoch, seq, state, text, authors: [1] }));
      }
    })();
    for (let n = 0; n < 100; n += 1) {
      const opened = value(await nodes[1].repository.openRoom(id));
      expect(opened.snapshotSeq + (opened.stored[0]?.updates.length ?? 0)).toBe(opened.seq);
      const [status, tail] = await nodes[1].repository.updatesAfter(id, epoch, opened.seq);
      // Two snapshots may have come between.
      expect(status === "ok" ? "ok" : tail).toMatch(/^(ok|behind)$/);
    }
    over = true;
    await writing;
    await Promise.all(nodes.map((node) => node.close()));
  });

  test("rooms that several nodes write to at once are all stored, without gaps", async () => {
    const nodes = await Promise.all([Storage.open(config), Storage.open(config), Storage.open(config)]);
    const rooms = await (nodes[0] as Storage).rooms(20);
    const times = 5;
    await Promise.all(
      nodes.map(async ({ repository }) => {
        for (let n = 0; n < times; n += 1)
          await Promise.all(
            rooms.map(async (room) =>
              value(await repository.appendUpdates({ ...room, entries: [entry(written(20))], text: "t" })),
            ),
          );
      }),
    );
    for (const { id } of rooms)
      expect(value(await (nodes[0] as Storage).repository.openRoom(id)).seq).toBe(times * nodes.length);
    await Promise.all(nodes.map((node) => node.close()));
  });

  describe.each([
    [
      "an edit",
      (storage: Storage, room: { id: number; epoch: string }) =>
        storage.repository.appendUpdates({ ...room, entries: [entry(written(20))], text: undefined }),
    ],
    [
      "an account",
      (storage: Storage) =>
        storage.repository.createUser({
          firstName: "Ann",
          email: `${Math.random()}@example.com`,
          passwordHash: "-",
        }),
    ],
  ] as const)("once the server is read-only for %s", (_what, write) => {
    test("every connection to it is given up, and the next is used", async () => {
      const storage = await Storage.open(config);
      const [room] = (await storage.rooms(30)) as [{ id: number; epoch: string }];
      const connections = async () =>
        (
          await asRoot<{ id: number }>(
            `select id from information_schema.processlist where db = '${config.location.split("/").at(-1)}'`,
          )
        ).map(({ id }) => Number(id));
      const before = await connections();
      expect(before.length).toBeGreaterThan(3);
      await asRoot("set global read_only = 1");
      await expect(write(storage, room)).rejects.toThrow(/read-only/);
      await asRoot("set global read_only = 0");
      expect((await write(storage, room))[0]).toBe("ok");
      // Those that wait are given up when they are next taken.
      await Promise.all(Array.from({ length: 12 }, () => storage.repository.listChallenges(1)));
      await expect.poll(async () => (await connections()).filter((id) => before.includes(id))).toEqual([]);
      await storage.close();
    });
  });

  describe("where a packet has 1 MiB", () => {
    let storage: Storage;
    beforeEach(async () => {
      await (await Storage.open(config)).close();
      const [{ bytes }] = (await asRoot("select @@global.max_allowed_packet as bytes")) as [
        { bytes: number },
      ];
      await asRoot(`set global max_allowed_packet = ${1024 * 1024}`);
      storage = await Storage.open(config, true);
      // The connections that were opened now keep it.
      await storage.rooms(20);
      return async () => {
        await storage.close();
        await asRoot(`set global max_allowed_packet = ${bytes}`);
      };
    });

    test("a group of commits is cut to what the server takes", async () => {
      const rooms = await storage.rooms(12);
      const bytes = written(300_000);
      const stored = await Promise.all(
        rooms.map((room) =>
          storage.repository.appendUpdates({
            ...room,
            entries: [entry(bytes), entry(bytes)],
            text: "t".repeat(90_000),
          }),
        ),
      );
      expect(stored.map(([status]) => status)).toEqual(rooms.map(() => "ok"));
    });

    test("a value of nearly a packet is stored, whatever its bytes are", async () => {
      const [room] = (await storage.rooms(1)) as [{ id: number; epoch: string }];
      const edit = written(900_000);
      const doc = new Y.Doc();
      Y.applyUpdate(doc, edit);
      const state = Y.encodeStateAsUpdateV2(doc);
      const text = doc.getText("response").toString();
      value(await storage.repository.appendUpdates({ ...room, entries: [entry(edit)], text: undefined }));
      value(await storage.repository.saveSnapshot({ ...room, seq: 1, state, text, authors: [] }));
      expect(value(await storage.repository.openRoom(room.id)).snapshotSeq).toBe(1);
    });

    test("a value above it fails with what to do, and nothing else fails with it", async () => {
      const [one, two] = (await storage.rooms(2)) as [
        { id: number; epoch: string },
        { id: number; epoch: string },
      ];
      const results = await Promise.allSettled([
        storage.repository.appendUpdates({ ...one, entries: [entry(written(1_200_000))], text: undefined }),
        storage.repository.appendUpdates({ ...two, entries: [entry(written(20))], text: undefined }),
      ]);
      expect(results[0]).toMatchObject({
        status: "rejected",
        reason: { message: expect.stringMatching(/max_allowed_packet of 1048576; set it to 16M/) },
      });
      expect(results[1]).toMatchObject({ status: "fulfilled", value: ["ok", { first: 1 }] });
    });
  });
});
