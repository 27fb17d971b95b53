/**
 * Clients that do anything, in any order, and frames that are anything: under many seeds, several
 * clients of one server join, leave, push, crash, close and send garbage at once. Whatever they
 * did, the server lives, a client that behaves notices nothing, there is one channel per topic and
 * socket, and nothing is left when all are gone.
 *
 * A failure tells its seed; FUZZ_SEED=<seed> runs that one alone.
 */
import { Debug } from "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { type Pid, processes } from "simurgh/runtime";
import { Random } from "simurgh/testing";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { RawClient, startServer, type TestServer } from "../support.js";

const fixture = (name: string): URL => new URL(`../../fixture/${name}.ts`, import.meta.url);
const SEEDS = process.env.FUZZ_SEED
  ? [Number(process.env.FUZZ_SEED)]
  : Array.from({ length: 40 }, (_, n) => n + 1);
const STEPS = 120;
const TOPICS = ["room:a", "room:b", "exact", "priv:x", "no one", "phoenix", "", "room:", "presence:p"];
const EVENTS = [
  "phx_join",
  "phx_leave",
  "echo",
  "shout",
  "icept",
  "boom",
  "stop",
  "stop_bad",
  "later",
  "heartbeat",
  "bin",
  "info",
  "constructor",
  "__proto__",
];

describe.each([0, 1])("anything from anybody, with %i shards", (shards) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({
      shards,
      checkOrigin: false,
      shardTree: { module: fixture("presence") },
      sockets: { "/socket": { module: fixture("socket"), messageRate: false, joinRate: false } },
    });
  });
  afterAll(() => server.stop());

  const text = (random: Random): string =>
    Array.from({ length: random.below(12) }, () =>
      String.fromCharCode(random.below(random.chance(0.2) ? 0xffff : 128)),
    ).join("");

  function value(random: Random, depth = 0): unknown {
    switch (random.below(depth > 3 ? 5 : 7)) {
      case 0:
        return null;
      case 1:
        return random.below(1e9) * (random.chance(0.5) ? -1.5 : 1);
      case 2:
        return text(random);
      case 3:
        return random.chance(0.5);
      case 4:
        return {};
      case 5:
        return Array.from({ length: random.below(4) }, () => value(random, depth + 1));
      default:
        return Object.fromEntries(
          Array.from({ length: random.below(4) }, () => [text(random), value(random, depth + 1)]),
        );
    }
  }

  /** A frame as a client would send it. */
  const sound = (random: Random): string => {
    const ref = random.chance(0.1) ? null : String(random.below(5));
    const joinRef = random.chance(0.2) ? null : String(random.below(3));
    const payload = random.chance(0.7) ? { ms: random.below(3), n: random.below(3) } : value(random);
    return JSON.stringify([joinRef, ref, random.pick(TOPICS), random.pick(EVENTS), payload]);
  };

  /** And one that has been through something. */
  function broken(random: Random): string | Buffer {
    const frame = random.chance(0.7) ? sound(random) : JSON.stringify(value(random));
    const bytes = Buffer.from(frame);
    for (let n = random.below(4); n >= 0 && bytes.length > 0; n -= 1)
      bytes[random.below(bytes.length)] = random.below(256);
    const cut = random.chance(0.3) ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes;
    return random.chance(0.5) ? cut.toString("latin1") : cut;
  }

  const open = (): Promise<RawClient> => RawClient.connect(`${server.url}&user_id=${server.port}`);

  /** What the server has when no one is there. */
  const rest = (): Promise<{ processes: number; topics: number; timers: number }> =>
    server.run(() => ({
      processes: processes().length,
      topics: shards === 0 ? PubSub.stats("endpoint.pubsub").topics : 0,
      timers: server.node.timers.size,
    }));

  async function round(seed: number): Promise<void> {
    const random = new Random(seed);
    const clients = await Promise.all([open(), open(), open(), open()]);
    const good = await open();
    good.send("g", "g", "room:good", "phx_join", {});
    await good.until(1);
    for (let step = 0; step < STEPS; step += 1) {
      const at = random.below(clients.length);
      const client = clients[at] as RawClient;
      if (client.closed !== undefined || client.ws.readyState !== WebSocket.OPEN) clients[at] = await open();
      else {
        const luck = random.next();
        if (luck < 0.9) client.ws.send(sound(random));
        else if (luck < 0.95) client.ws.send(broken(random), { binary: random.chance(0.5) });
        else if (luck < 0.975) client.ws.close(1000);
        else client.ws.terminate();
      }
      if (random.chance(0.1)) await new Promise((resolve) => setTimeout(resolve, random.below(4)));
      if (step % 20 === 19) {
        good.send("g", `e${step}`, "room:good", "echo", { step });
        await good.frame((frame: unknown[]) => frame[1] === `e${step}`, 5000);
      }
    }
    // Those that are still there are answered, and have at most one channel for each topic.
    for (const client of clients) {
      if (client.closed !== undefined || client.ws.readyState !== WebSocket.OPEN) continue;
      client.send(null, "alive", "phoenix", "heartbeat", {});
      await vi.waitFor(
        () =>
          expect(
            client.closed !== undefined || client.frames.some((frame) => (frame as unknown[])[1] === "alive"),
          ).toBe(true),
        5000,
      );
    }
    await server.run(async () => {
      for (const { pid } of await Debug.listSockets("endpoint")) {
        const listed = await Debug.listChannels(pid);
        if (listed[0] !== "ok") continue;
        const topics = listed[1].map(({ topic }: { topic: string; pid: Pid }) => topic);
        expect(new Set(topics).size).toBe(topics.length);
      }
    });
    expect(good.closed).toBeUndefined();
    for (const client of [...clients, good]) client.ws.terminate();
  }

  test("the server lives, others notice nothing, and nothing is left behind (C-036, C-109, C-110, C-135, C-136)", async () => {
    const warm = await open();
    warm.send("1", "1", "presence:p", "phx_join", {});
    await warm.until(1);
    warm.ws.terminate();
    await vi.waitFor(
      async () => expect(await server.run(() => Debug.listSockets("endpoint"))).toEqual([]),
      5000,
    );
    const before = await rest();
    for (const seed of SEEDS) {
      await round(seed).catch((error: unknown) => {
        throw new Error(`FUZZ_SEED=${seed} fails: ${(error as Error).message}`, { cause: error });
      });
    }
    await vi.waitFor(async () => {
      const after = await rest();
      expect([after.processes, after.topics]).toEqual([before.processes, before.topics]);
      // Grace timers of joins that were given up run out within seconds.
      expect(after.timers).toBeLessThanOrEqual(before.timers + 2);
    }, 15_000);
    const crashes = server.reports.filter(({ kind }) => kind === "orphan_error" || kind === "runtime_bug");
    expect(crashes).toEqual([]);
  }, 120_000);
});
