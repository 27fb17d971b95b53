/**
 * Nothing that was acknowledged is lost: people type at once into one room, and at a random moment
 * the server, the database or both are killed. What comes back must have every acknowledged edit,
 * once.
 *
 * In most rounds the clients are gone for good at that moment, so that no one can bring back what
 * the server has lost; in the others they come back, and bring what was not acknowledged. A failure
 * prints the seed; DURABILITY_SEED=… replays the choices, DURABILITY_ROUNDS=… makes more of them.
 */

import { Random } from "simurgh/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { DocumentClient } from "../support/document-client.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { missing, type Word, Writer } from "../support/recording-writer.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

const SEED = Number(process.env.DURABILITY_SEED ?? Math.floor(Math.random() * 2 ** 31));
const WRITERS = 3;
const PATIENCE_MS = 60_000;

for (const { database, shards, rounds } of [
  { database: "SQLite", shards: 0, rounds: 20 },
  { database: "SQLite", shards: 1, rounds: 10 },
  { database: "MariaDB", shards: 1, rounds: 20 },
] as const) {
  describeWith(
    database === "MariaDB" ? "MariaDB" : undefined,
    `killed at random, on ${database}, with ${shards} shards`,
    () => {
      let mariadb: MariaDb | undefined;
      let server: AppServer;
      let tokens: string[];
      beforeAll(async () => {
        if (database === "MariaDB") mariadb = await startMariaDb();
        server = await AppServer.start({
          SHARDS: String(shards),
          ...(mariadb === undefined ? {} : { DATABASE_URL: await mariadb.createDatabase() }),
        });
        tokens = [];
        for (let n = 0; n < WRITERS; n += 1) tokens.push((await server.signUp(`Writer ${n}`)).token);
      });
      afterAll(async () => {
        await server?.stop();
        await mariadb?.stop();
      });

      const many = Number(process.env.DURABILITY_ROUNDS ?? rounds);
      test(`every acknowledged edit is there after each of ${many} rounds`, {
        timeout: many * 120_000,
      }, async () => {
        const kept: Word[] = [];
        let acknowledged = 0;
        const read = async (): Promise<string> => {
          const reader = new DocumentClient(server, tokens[0] as string, 1);
          await waitFor(
            "the reader is in step",
            async () => {
              if (reader.reply === undefined) await reader.join().catch(() => {});
              return reader.synced;
            },
            PATIENCE_MS,
          );
          const text = reader.text.toString();
          reader.leave();
          return text;
        };
        for (let round = 0; round < many; round += 1) {
          const where = `seed ${SEED}, round ${round}`;
          const random = new Random(SEED + 1000 * shards + round);
          const writers = tokens.map(
            (token, n) => new Writer(server, token, 1, `${round}.${n}`, new Random(SEED + n)),
          );
          await Promise.all(writers.map(({ client }) => client.join()));
          for (const writer of writers) writer.start();
          await waitFor(
            "something is stored",
            () => writers.some(({ words }) => words.some(({ stored }) => stored)),
            PATIENCE_MS,
          );
          await new Promise((resolve) => setTimeout(resolve, random.below(150)));

          const stay = random.chance(0.3);
          const fate = random.pick(
            mariadb === undefined
              ? (["server", "server", "server", "order"] as const)
              : (["server", "database", "both", "frost", "order"] as const),
          );
          if (fate === "database" || fate === "both") await mariadb?.end("SIGKILL");
          if (fate === "frost") mariadb?.signal("SIGSTOP");
          // With the database away they continue typing, and nothing more is acknowledged.
          if (mariadb !== undefined && random.chance(0.5))
            await new Promise((resolve) => setTimeout(resolve, random.below(200)));
          const serverDies = fate !== "database" && fate !== "frost";
          if (serverDies) await server.end(fate === "order" ? "SIGTERM" : "SIGKILL");
          for (const writer of writers) writer.stop();
          if (!stay) for (const { client } of writers) client.leave();
          if (fate === "database" || fate === "both") await mariadb?.restart();
          if (fate === "frost") mariadb?.signal("SIGCONT");
          if (serverDies) await server.start();

          const words = writers.flatMap((writer) => writer.words);
          if (stay) {
            for (const { client } of writers)
              await waitFor(`${where}: everything typed is stored`, () => client.saved, PATIENCE_MS);
            for (const word of words) {
              word.stored = true;
              if (word.deleted === "asked") word.deleted = "stored";
            }
          }
          kept.push(...words);
          acknowledged += words.filter(({ stored }) => stored).length;
          expect(missing(await read(), kept), `${where}, ${fate}, clients ${stay ? "stay" : "go"}`).toEqual(
            [],
          );
          if (stay) {
            const texts = new Set(writers.map(({ client }) => client.text.toString()));
            texts.add(await read());
            expect(texts.size, `${where}: all have the same text`).toBe(1);
            for (const { client } of writers) client.leave();
          }
        }
        expect(acknowledged).toBeGreaterThan(many);
        console.log(
          `durability: seed ${SEED}, ${many} rounds on ${database}, ${acknowledged} acknowledged edits`,
        );
      });
    },
  );
}
