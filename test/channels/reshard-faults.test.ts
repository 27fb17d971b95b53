/**
 * Topics move between real threads under traffic, where something is different or goes wrong: over long-poll, with other nodes, and
 * with threads that die in the middle. What moves where is a seed's.
 */
import { LongPoll, Socket as PhoenixSocket } from "phoenix";
import { Endpoint } from "simurgh/channels";
import { type Hub, PubSub, startHub } from "simurgh/pubsub";
import { exit, GenServer, sleep, threadName, whereis } from "simurgh/runtime";
import { Random } from "simurgh/testing";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { waitFor } from "../support/wait.js";
import { startServer, type TestServer } from "./support.js";

const module = new URL("./reshard-socket.ts", import.meta.url);
const PUBSUB = "endpoint.pubsub";
const TOPICS = Array.from({ length: 12 }, (_, n) => `room:${n}`);
const SEED = Number(process.env.SIMURGH_SEED ?? 1);

const within: typeof waitFor = (what, read) => waitFor(what, read, 60_000);

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
}, 120_000);

async function start(options: Parameters<typeof startServer>[0] = {}): Promise<TestServer> {
  const server = await startServer({
    sockets: { "/socket": { module, messageRate: false, joinRate: false, longpoll: { windowMs: 1000 } } },
    shards: 2,
    shardTree: { module },
    ...options,
  });
  stops.push(() => server.stop());
  return server;
}

interface Room {
  joins: number;
  errors: number;
  /** Numbers of the broadcasts that came, for each time it was joined. */
  readonly lives: number[][];
  readonly echoes: number[];
}

/** The official client in every room: asks for an echo as soon as it has the last one, and hears broadcasts. */
class Person {
  readonly rooms = new Map<string, Room>();
  opens = 0;
  closes = 0;
  readonly #socket: PhoenixSocket;

  constructor(server: TestServer, transport: "websocket" | "longpoll", name: string) {
    const isSocket = transport === "websocket";
    this.#socket = new PhoenixSocket(`${isSocket ? "ws" : "http"}://127.0.0.1:${server.port}/socket`, {
      transport: (isSocket ? WebSocket : LongPoll) as never,
      reconnectAfterMs: () => 50,
      rejoinAfterMs: () => 50,
    } as never);
    this.#socket.onOpen(() => {
      this.opens += 1;
    });
    this.#socket.onClose(() => {
      this.closes += 1;
    });
    this.#socket.connect();
    for (const topic of TOPICS) this.#enter(topic, name);
    stops.push(async () => this.#socket.disconnect());
  }

  #enter(topic: string, name: string): void {
    const room: Room = { joins: 0, errors: 0, lives: [], echoes: [] };
    this.rooms.set(topic, room);
    const channel = this.#socket.channel(topic, { name });
    let asked = 0;
    const ask = (): void => {
      const life = room.joins;
      asked += 1;
      channel.push("echo", { n: asked }).receive("ok", ({ n }: { n: number }) => {
        room.echoes.push(n);
        if (life === room.joins) ask();
      });
    };
    channel.onError(() => {
      room.errors += 1;
    });
    channel.on("tick", ({ n }: { n: number }) => {
      if (room.errors < room.joins) room.lives.at(-1)?.push(n);
    });
    channel.join().receive("ok", () => {
      room.joins += 1;
      room.errors = room.joins - 1;
      room.lives.push([]);
      ask();
    });
  }

  /** Hears and is answered everywhere, after `n` was said. */
  async isWell(n: number): Promise<void> {
    const echoes = new Map([...this.rooms].map(([topic, room]) => [topic, room.echoes.length]));
    await within("all rooms hear and are answered", () => {
      const ill = [...this.rooms].filter(
        ([topic, room]) =>
          (room.lives.at(-1)?.at(-1) ?? 0) <= n || room.echoes.length <= (echoes.get(topic) as number) + 1,
      );
      return ill.length === 0 || Promise.reject(new Error(JSON.stringify(ill.map(([topic]) => topic))));
    });
  }

  /** Nothing came twice or in another order; with `all`, nothing was lost while a channel was joined. */
  check(all: boolean): void {
    expect({ opens: this.opens, closes: this.closes }).toEqual({ opens: 1, closes: 0 });
    for (const [topic, { lives, echoes }] of this.rooms) {
      for (const ticks of lives)
        expect(
          ticks.every((n, at) => at === 0 || (all ? n === prior(ticks, at) + 1 : n > prior(ticks, at))),
          `${topic}: ${ticks}`,
        ).toBe(true);
      expect(
        echoes.every((n, at) => at === 0 || n > prior(echoes, at)),
        topic,
      ).toBe(true);
    }
  }
}

const prior = (numbers: readonly number[], at: number): number => numbers[at - 1] as number;

/** Somebody in the main thread tells every room, until told to stop. */
function tell({ node }: TestServer): { readonly said: () => number } {
  let n = 0;
  let going = true;
  const told = new Promise<void>((resolve) => {
    node.spawn(async () => {
      for (; going; await sleep(3)) {
        n += 1;
        for (const topic of TOPICS) Endpoint.broadcast("endpoint", topic, "tick", { n });
      }
      resolve();
    });
  });
  stops.push(() => {
    going = false;
    return told;
  });
  return { said: () => n };
}

/** Some count of threads, or a map of the topics over some of them; the first always stays. */
const change = (random: Random): number | number[] => {
  if (random.chance(0.4)) return 1 + random.below(3);
  const threads = [1, 2, 3].slice(0, 2 + random.below(2));
  return Array.from({ length: 256 }, (_, n) => (n === 0 ? 1 : random.pick(threads)));
};

const reshard = (server: TestServer, wanted: number | number[]) =>
  server.run(() => Endpoint.reshard("endpoint", wanted));

/** Asks the tracker of each room who is there. */
async function everybodyIsThere(server: TestServer, names: readonly string[]): Promise<void> {
  await server.run(async () => {
    for (const topic of TOPICS) {
      await within(`everybody is in ${topic}, once`, async () => {
        const tracker = { name: "ReshardPresence", node: PubSub.ownerOf(PUBSUB, topic) };
        const rows = await GenServer.call<readonly (readonly [string])[]>(tracker, ["list", topic]);
        const there = rows.map(([key]) => key).sort();
        return `${there}` === `${names}` || Promise.reject(new Error(`${there}`));
      });
    }
  });
}

test("over WebSocket and long-poll: no session ends, no joined channel misses or doubles anything, everybody is there", async () => {
  const random = new Random(SEED);
  const server = await start();
  const people = [new Person(server, "websocket", "ann"), new Person(server, "longpoll", "bob")];
  const { said } = tell(server);
  for (const person of people) await person.isWell(0);
  for (let moves = 0; moves < 4; moves += 1) {
    expect(await reshard(server, change(random))).toBe("ok");
    for (const person of people) await person.isWell(said());
  }
  for (const person of people) person.check(true);
  await everybodyIsThere(server, ["ann", "bob"]);
}, 240_000);

test("a shard thread dies in the middle of a move: done or not, all come back, and everybody is there once", async () => {
  const random = new Random(SEED);
  const server = await start({ shards: 3 });
  const people = [new Person(server, "websocket", "ann"), new Person(server, "longpoll", "bob")];
  const { said } = tell(server);
  for (const person of people) await person.isWell(0);
  for (let moves = 0; moves < 6; moves += 1) {
    const wanted = Array.from({ length: 256 }, () => 1 + random.below(3));
    const moved = reshard(server, wanted);
    await server.run(async () => {
      await sleep(random.below(40));
      const thread = whereis(threadName(1 + random.below(3)));
      if (thread !== undefined) exit(thread, "kill");
    });
    await moved;
    await within("all three threads are there", () =>
      server.run(() => [1, 2, 3].every((index) => server.node.road(index) !== undefined)),
    );
    for (const person of people) await person.isWell(said());
  }
  for (const person of people) person.check(false);
  await everybodyIsThere(server, ["ann", "bob"]);
  // And the next move works as ever.
  expect(await reshard(server, 2)).toBe("ok");
  for (const person of people) await person.isWell(said());
}, 240_000);

test("with another node on a hub: both nodes' clients go on hearing each other, and each sees all of them", async () => {
  const random = new Random(SEED);
  const hub: Hub = await startHub();
  stops.push(() => hub.close());
  const cluster = (nodeName: string) => ({ cluster: { adapter: "hub", path: hub.path, nodeName } as const });
  const here = await start(cluster("here"));
  const there = await start({ ...cluster("there"), shards: 1 });
  const people = [new Person(here, "websocket", "ann"), new Person(there, "websocket", "cid")];
  // One tells from where topics move, the other is told.
  const { said } = tell(here);
  for (const person of people) await person.isWell(0);
  for (let moves = 0; moves < 3; moves += 1) {
    expect(await reshard(here, change(random))).toBe("ok");
    for (const person of people) await person.isWell(said());
  }
  people[0]?.check(true);
  people[1]?.check(false);
  for (const server of [here, there]) await everybodyIsThere(server, ["ann", "cid"]);
  await expect(
    reshard(
      here,
      Array.from({ length: 256 }, () => 2),
    ),
  ).resolves.toEqual(["error", ["first_shard_must_stay", 1]]);
}, 240_000);
