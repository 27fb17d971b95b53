/**
 * Two servers that know nothing of each other share a database, as in a rolling deploy that went
 * wrong or a cluster that is cut in two: each has a Room of the same document. The log that both
 * write stays without gaps, nothing acknowledged is lost, and both come to the same text.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { readDatabase } from "../../src/app/config.js";
import { createDataSource } from "../../src/app/storage/data-source.js";
import { AppServer } from "../support/app-server.js";
import { DocumentClient } from "../support/document-client.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

const JWT_SECRET = "one secret for both of these servers, long enough";
const WORDS = 40;

for (const database of ["SQLite", "MariaDB"] as const) {
  describeWith(
    database === "MariaDB" ? "MariaDB" : undefined,
    `two rooms of one document, on ${database}`,
    () => {
      let mariadb: MariaDb | undefined;
      let servers: [AppServer, AppServer];
      let tokens: string[];
      let location: ReturnType<typeof readDatabase>;
      const everyone: DocumentClient[] = [];

      beforeAll(async () => {
        if (database === "MariaDB") mariadb = await startMariaDb();
        const url = await mariadb?.createDatabase();
        const env = { SHARDS: "1", JWT_SECRET, ...(url === undefined ? {} : { DATABASE_URL: url }) };
        const one = await AppServer.start(env);
        const two = await AppServer.start(url === undefined ? { ...env, DATA_DIR: one.dataDir } : env);
        servers = [one, two];
        location = readDatabase(url, one.dataDir);
        tokens = [(await one.signUp("Ann")).token, (await two.signUp("Bob")).token];
      });
      afterAll(async () => {
        for (const client of everyone) client.leave();
        for (const server of servers ?? []) await server.stop();
        await mariadb?.stop();
      });

      const enter = async (n: 0 | 1): Promise<DocumentClient> => {
        const client = new DocumentClient(servers[n], tokens[n] as string, 1);
        everyone.push(client);
        await client.join();
        await waitFor("it is in step", () => client.synced);
        return client;
      };

      /** Numbers of the rows there are, and what the last one should be. */
      const log = async (): Promise<{ readonly rows: readonly number[]; readonly last: number }> => {
        const source = createDataSource(location);
        await source.initialize();
        try {
          const rows = (await source.query(
            "SELECT seq FROM room_updates WHERE challenge_id = 1 ORDER BY seq",
          )) as { seq: number | string }[];
          const [room] = (await source.query("SELECT last_seq FROM rooms WHERE challenge_id = 1")) as {
            last_seq: number | string;
          }[];
          return { rows: rows.map(({ seq }) => Number(seq)), last: Number(room?.last_seq) };
        } finally {
          await source.destroy();
        }
      };

      test("both nodes write at once: the log has no gap and both rooms converge", async () => {
        const writers = [await enter(0), await enter(1), await enter(0), await enter(1)];
        const acknowledged: string[] = [];
        const all: string[] = [];
        for (let n = 0; n < WORDS; n += 1) {
          for (const [w, client] of writers.entries()) {
            const word = `‹${w}.${n}›`;
            all.push(word);
            client.edit(
              (text) => text.insert(text.toString().lastIndexOf("›") + 1, word),
              () => acknowledged.push(word),
            );
          }
          // Several stores of each, between each other.
          if (n % 8 === 0) await waitFor("something is stored", () => acknowledged.length > n * 2);
        }
        await waitFor(
          "all is stored",
          () => acknowledged.length === all.length && writers.every(({ saved }) => saved),
          30_000,
        );
        const { rows, last } = await log();
        expect(rows).toEqual(Array.from({ length: last }, (_, n) => n + 1));
        const same = () => new Set(writers.map((client) => client.text.toString())).size === 1;
        // A room looks for what others wrote when numbers skip, and every 15 s.
        await waitFor("all have the same text", same, 40_000);
        const text = (writers[0] as DocumentClient).text.toString();
        for (const word of all) expect(text.split(word).length - 1, word).toBe(1);
      });

      test("one node is killed while both write: its acknowledged edits are kept", async () => {
        const [here, there] = [await enter(0), await enter(1)];
        const acknowledged: string[] = [];
        for (let n = 0; n < WORDS; n += 1)
          for (const [name, client] of [
            ["here", here],
            ["there", there],
          ] as const) {
            const word = `«${name}.${n}»`;
            client.edit(
              (text) => text.insert(0, word),
              () => acknowledged.push(word),
            );
            if (n % 5 === 0) await waitFor("some are stored", () => acknowledged.length >= n);
          }
        await servers[1].end("SIGKILL");
        there.leave();
        await waitFor("the other's are stored", () => here.saved, 30_000);
        await waitFor(
          "all that was acknowledged is there",
          () => acknowledged.every((word) => here.text.toString().includes(word)),
          40_000,
        );
        const { rows, last } = await log();
        expect(rows).toEqual(Array.from({ length: rows.length }, (_, n) => last - rows.length + 1 + n));
      });
    },
  );
}
