/**
 * A shard thread is killed again and again under many clients: no socket closes, and afterwards all
 * is as it was.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Endpoint } from "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { DynamicSupervisor, nodeStatistics } from "simurgh/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type FragileServer, startFragileServer } from "../support/fragile-server.js";
import { RejoiningClient } from "../support/rejoining-client.js";
import { waitFor } from "../support/wait.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const CLIENTS = 500;
const ROOMS = 10;
const KILLED = 1;
const SPARED = 2;
const EVERY_MS = 500;
const FOR_MS = 20_000;

let server: FragileServer;
beforeAll(async () => {
  server = await startFragileServer(2);
});
afterAll(() => server.stop());

async function topicsOf(shard: number): Promise<string[]> {
  const found: string[] = [];
  for (let n = 0; found.length < ROOMS; n += 1)
    if ((await server.ownerOf(`fragile:storm ${n}`)) === shard) found.push(`fragile:storm ${n}`);
  return found;
}

/** Bytes in use in the main thread and outside of heaps, after a collection. */
function memoryInUse(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** What there is of everything, in the main thread and in the shards. */
const inventory = (): Promise<unknown> =>
  server.run(async () => {
    const { processes, timers } = nodeStatistics();
    const { connections, lanes } = await Endpoint.info("fragile");
    const channels = await Promise.all(
      [KILLED, SPARED].map(
        async (node) => (await DynamicSupervisor.countChildren({ name: "fragile.channels", node })).active,
      ),
    );
    return {
      processes,
      timers,
      connections,
      lanes,
      channels,
      here: PubSub.stats("fragile.pubsub"),
    };
  });

test("killed every half second under 500 clients: no socket closes", async () => {
  const [lost, kept] = [await topicsOf(KILLED), await topicsOf(SPARED)];
  const clients: RejoiningClient[] = [];
  for (let n = 0; n < CLIENTS; n += 1) {
    clients.push(new RejoiningClient(server.port, [lost[n % ROOMS] as string, kept[n % ROOMS] as string]));
    if (n % 50 === 49)
      await waitFor("they are connected", () => clients.every(({ opened }) => opened), 60_000);
  }
  const allHome = (): boolean => clients.every(({ isHome }) => isHome);
  await waitFor("all are joined", allHome, 60_000);
  const before = await inventory();
  expect(before).toMatchObject({ connections: CLIENTS, channels: [CLIENTS, CLIENTS] });
  let kills = 0;
  /** For half of the time; resolves once all is as it was, with the memory there is then. */
  const storm = async (): Promise<number> => {
    await new Promise<void>((resolve) => {
      const started = performance.now();
      const timer = setInterval(() => {
        if (performance.now() - started > FOR_MS / 2) {
          clearInterval(timer);
          resolve();
          return;
        }
        // In the moment between two of them there is none.
        server.killShard(KILLED).then(
          () => {
            kills += 1;
          },
          () => {},
        );
      }, EVERY_MS);
    });
    await waitFor("all have joined again", allHome, 60_000);
    await waitFor(
      "everything is there once, and nothing else",
      async () => {
        const after = JSON.stringify(await inventory());
        return after === JSON.stringify(before) || Promise.reject(new Error(after));
      },
      60_000,
    );
    return memoryInUse();
  };
  const [first, second] = [await storm(), await storm()];
  expect(kills).toBeGreaterThan(10);
  expect(clients.reduce((sum, { closes }) => sum + closes, 0)).toBe(0);
  // Who was in the other shard's rooms has seen nothing of it.
  expect(clients.filter(({ rooms }) => rooms[1]?.joins !== 1 || rooms[1].errors !== 0)).toEqual([]);
  // The first storm warms up; a leak grows with each.
  expect(second - first).toBeLessThan(16 * 1024 * 1024);
  for (const client of clients) client.end();
});
