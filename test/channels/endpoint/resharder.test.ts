/**
 * Topics move between real threads while everyone talks: no one's socket closes, and topics that
 * stay notice nothing.
 */
import { Endpoint } from "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { DynamicSupervisor, GenServer, receive, Supervisor, sleep } from "simurgh/runtime";
import { afterEach, beforeEach, expect, test } from "vitest";
import { threadName } from "#runtime";
import { waitFor } from "../../support/wait.js";
import { RawClient, startServer, type TestServer } from "../support.js";

const socketModule = new URL("../fixtures/reshard-socket.ts", import.meta.url);
const PUBSUB = "endpoint.pubsub";
const TOPICS = Array.from({ length: 24 }, (_, n) => `room:${n}`);

let server: TestServer;
beforeEach(async () => {
  server = await startServer({
    sockets: { "/socket": { module: socketModule, messageRate: false } },
    shards: 2,
    shardTree: { module: socketModule },
  });
}, 120_000);
afterEach(() => server.stop(), 120_000);

const within: typeof waitFor = (what, read) => waitFor(what, read, 60_000);
const ownersOf = (): Promise<readonly number[]> =>
  server.run(() => TOPICS.map((topic) => PubSub.ownerOf(PUBSUB, topic)));

/** One topic as its client and a server's process see it. */
class Watched {
  readonly topic: string;
  joins = 0;
  tries = 0;
  errors = 0;
  thread: number | undefined;
  /** Numbers of the broadcasts the client got, for each time it joined. */
  ticks: number[][] = [];
  echoes: number[] = [];
  echoed = 0;
  constructor(topic: string) {
    this.topic = topic;
  }
}

type Frame = readonly [join: string | null, ref: string | null, topic: string, event: string, payload: never];

/**
 * Joins every topic, joins again when notified to, and asks for an echo as soon as it has the last
 * one.
 */
function follow(client: RawClient): Map<string, Watched> {
  const all = new Map(TOPICS.map((topic) => [topic, new Watched(topic)]));
  const join = (watched: Watched): void => {
    watched.tries += 1;
    client.send(`j${watched.tries}`, `j${watched.tries}`, watched.topic, "phx_join", {});
  };
  const echo = (watched: Watched): void => {
    watched.echoed += 1;
    client.send(`j${watched.tries}`, `e${watched.echoed}`, watched.topic, "echo", {
      n: watched.echoed,
    });
  };
  client.ws.on("message", (data: Buffer) => {
    const [, ref, topic, event, payload] = JSON.parse(data.toString()) as Frame;
    const watched = all.get(topic);
    if (watched === undefined) return;
    const { status, response, n } = payload as {
      status?: string;
      response?: { thread: number; n: number };
      n?: number;
    };
    if (event === "phx_reply" && ref?.startsWith("j")) {
      if (status !== "ok") {
        join(watched);
        return;
      }
      watched.joins += 1;
      watched.ticks.push([]);
      watched.thread = response?.thread;
      echo(watched);
    } else if (event === "phx_reply" && status === "ok") {
      watched.echoes.push(response?.n as number);
      echo(watched);
    } else if (event === "phx_error") {
      watched.errors += 1;
      join(watched);
    } else if (event === "tick" && watched.errors < watched.joins) watched.ticks.at(-1)?.push(n as number);
  });
  for (const watched of all.values()) join(watched);
  return all;
}

/**
 * In the main thread: a process that broadcasts, and one that subscribes to everything. Both end
 * with the server.
 */
async function traffic(): Promise<{ received: Map<string, number[]>; sent: () => number; stop: () => void }> {
  const received = new Map(TOPICS.map((topic) => [topic, [] as number[]]));
  let sent = 0;
  let going = true;
  await new Promise<void>((ready) => {
    server.node.spawn(async () => {
      await Promise.all(TOPICS.map((topic) => Endpoint.subscribe("endpoint", topic)));
      ready();
      for (;;) {
        const { topic, event, payload } = await receive(
          (message) => message as { topic: string; event: string; payload: { n: number } },
        );
        if (event === "tick") received.get(topic)?.push(payload.n);
      }
    });
  });
  server.node.spawn(async () => {
    while (going) {
      sent += 1;
      for (const topic of TOPICS) Endpoint.broadcast("endpoint", topic, "tick", { n: sent });
      await sleep(2);
    }
  });
  return {
    received,
    sent: () => sent,
    stop: () => {
      going = false;
    },
  };
}

const isConsecutive = (numbers: readonly number[]): boolean =>
  numbers.every((n, at) => at === 0 || n === (numbers[at - 1] as number) + 1);

test("resharding loses, doubles or reorders nothing, and closes no socket", async () => {
  const client = await RawClient.connect(server.url);
  const rooms = follow(client);
  await within("all are joined", () => [...rooms.values()].every(({ joins }) => joins === 1));
  // Someone who is no channel is in every room, and lives in a thread that owns none.
  const bot = server.node.spawn(() => new Promise(() => {}));
  await server.run(() =>
    Promise.all(
      TOPICS.map((topic) =>
        GenServer.call({ name: "ReshardPresence", node: PubSub.ownerOf(PUBSUB, topic) }, [
          "track",
          bot,
          topic,
          "bot",
          { phx_ref: `bot of ${topic}` },
          "exit",
        ]),
      ),
    ),
  );
  const { received, sent, stop } = await traffic();
  let expected = new Map(TOPICS.map((topic) => [topic, 1]));
  const changes: (readonly [what: string, wanted: number | readonly number[]])[] = [
    ["to three threads", 3],
    ["to one", 1],
    ["to two, by a map", Array.from({ length: 256 }, (_, n) => (n < 100 ? 1 : 7))],
  ];
  for (const [what, wanted] of changes) {
    const before = await ownersOf();
    const echoes = new Map([...rooms.values()].map(({ topic, echoes }) => [topic, echoes.length]));
    expect(await server.run(() => Endpoint.reshard("endpoint", wanted)), what).toBe("ok");
    const after = await ownersOf();
    expected = new Map(
      TOPICS.map((topic, n) => [topic, (expected.get(topic) as number) + (before[n] === after[n] ? 0 : 1)]),
    );
    await within(`${what}: who moved is back`, () =>
      TOPICS.every((topic) => rooms.get(topic)?.joins === expected.get(topic)),
    );
    const at = sent();
    await within(`${what}: all hear and are answered`, () =>
      TOPICS.every((topic) => {
        const { ticks, echoes: now } = rooms.get(topic) as Watched;
        return (ticks.at(-1)?.at(-1) ?? 0) > at + 20 && now.length > (echoes.get(topic) as number) + 20;
      }),
    );
    expect(
      TOPICS.map((topic) => rooms.get(topic)?.thread),
      `${what}: each is where it belongs`,
    ).toEqual(after);
  }
  stop();
  const last = sent();
  await within("the last has been received", () =>
    TOPICS.every((topic) => received.get(topic)?.at(-1) === last),
  );
  for (const topic of TOPICS) {
    const { joins, errors, ticks, echoes } = rooms.get(topic) as Watched;
    expect(received.get(topic), `a process received all of ${topic}, once and in order`).toEqual(
      Array.from({ length: last }, (_, n) => n + 1),
    );
    expect(errors, topic).toBe(joins - 1);
    expect(ticks.every(isConsecutive), `no broadcast of ${topic} was lost or doubled while it stayed`).toBe(
      true,
    );
    // What was asked of a channel that moved meanwhile may be lost with it, as when it crashes.
    expect(echoes.every((n, at) => at === 0 || n > (echoes[at - 1] as number))).toBe(true);
    if (joins === 1) expect(isConsecutive(echoes), `every echo of ${topic} came`).toBe(true);
  }
  expect(client.closed).toBeUndefined();
  await server.run(async () => {
    const threads = PubSub.threads(PUBSUB);
    expect([...threads].sort()).toEqual([1, 7]);
    expect([server.node.connection(2), server.node.connection(3)]).toEqual([undefined, undefined]);
    expect((await Supervisor.whichChildren("endpoint.shards")).map(({ id }) => id).sort()).toEqual(
      [1, 7].map(threadName),
    );
    // Every topic has one channel, and everyone is there once.
    const owners = TOPICS.map((topic) => PubSub.ownerOf(PUBSUB, topic));
    let channels = 0;
    for (const node of threads)
      channels += (await DynamicSupervisor.countChildren({ name: "endpoint.channels", node })).active;
    expect(channels).toBe(TOPICS.length);
    for (const [n, topic] of TOPICS.entries()) {
      const node = owners[n] as number;
      await within(`everyone is in ${topic}, once`, async () => {
        const rows = await GenServer.call<readonly (readonly [string])[]>({ name: "ReshardPresence", node }, [
          "list",
          topic,
        ]);
        const keys = rows
          .map(([key]) => key)
          .sort()
          .join();
        return keys === "bot,client" || Promise.reject(new Error(keys));
      });
    }
  });
  client.ws.terminate();
}, 240_000);

test("what cannot be is refused, and nothing moves", async () => {
  const before = await ownersOf();
  for (const wrong of [0, 65, 1.5, [1, 2], "3"])
    await expect(server.run(() => Endpoint.reshard("endpoint", wrong as number))).rejects.toThrow(
      "badarg: reshard takes",
    );
  expect(await ownersOf()).toEqual(before);
}, 60_000);
