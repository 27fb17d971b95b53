/** Nodes that start at once on one empty database, and nodes that are killed while they start. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createDataSource } from "../../src/app/storage/data-source.js";
import { AppServer, MAIN } from "../support/app-server.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

type Config = Parameters<typeof createDataSource>[0];

interface Place {
  readonly env: Record<string, string>;
  readonly config: Config;
}

const SEEDED = [1, 2, 3, 4, 5].map((id) => ({ id, owner_id: null }));

async function ask<T>(config: Config, sql: string): Promise<T[]> {
  const source = createDataSource(config);
  await source.initialize();
  try {
    return await source.query(sql);
  } finally {
    await source.destroy();
  }
}

for (const [need, name] of [
  [undefined, "SQLite"],
  ["MariaDB", "MariaDB"],
] as const)
  describeWith(need, `nodes that start on one database of ${name}`, () => {
    let mariadb: MariaDb | undefined;
    let folder: string;
    let places = 0;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "together-"));
      if (need !== undefined) mariadb = await startMariaDb();
    });
    afterAll(async () => {
      await mariadb?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    /** An empty database. */
    const place = async (): Promise<Place> => {
      const DATA_DIR = join(folder, `${places++}`);
      const env = { DATA_DIR, SHARDS: "0", JWT_SECRET: "x".repeat(32) };
      if (mariadb === undefined)
        return { env, config: { kind: "sqlite", location: join(DATA_DIR, "phoenixpair.sqlite") } };
      const DATABASE_URL = await mariadb.createDatabase();
      return { env: { ...env, DATABASE_URL }, config: { kind: "mysql", location: DATABASE_URL } };
    };

    test("one prepares it, and all serve the same five challenges", async () => {
      const { env, config } = await place();
      const nodes = await Promise.all([1, 2, 3].map(() => AppServer.start(env)));
      try {
        expect(await ask(config, "select id, owner_id from challenges order by id")).toEqual(SEEDED);
        const { token } = await (nodes[0] as AppServer).signUp("Ann");
        for (const node of nodes)
          expect((await node.request("GET", "/api/challenges/5", undefined, token)).status).toBe(200);
      } finally {
        await Promise.all(nodes.map((node) => node.stop()));
      }
    });

    test("one that is killed while it prepares it leaves that to the next", async () => {
      const { env, config } = await place();
      const first = spawn(process.execPath, [MAIN], {
        env: { PATH: process.env.PATH, PORT: "0", ...env },
        stdio: "ignore",
      });
      const ended = once(first, "exit");
      await waitFor("it has begun", async () => {
        if (config.kind === "sqlite") return existsSync(`${config.location}-wal`);
        const tables = await ask(config, "show tables");
        return tables.length > 0;
      });
      first.kill("SIGKILL");
      await ended;
      const node = await AppServer.start(env);
      try {
        expect(await ask(config, "select id, owner_id from challenges order by id")).toEqual(SEEDED);
      } finally {
        await node.stop();
      }
    });
  });
