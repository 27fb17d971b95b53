/** Who is in the rooms while their topics move, and what is said there. For the tests of `Endpoint.reshard` in which something is different. */
import { LongPoll, Socket as PhoenixSocket, Presence } from "phoenix";
import { Endpoint } from "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { GenServer, receive, sleep } from "simurgh/runtime";
import { expect } from "vitest";
import { WebSocket } from "ws";
import { waitFor } from "../support/wait.js";
import { startServer, type TestServer } from "./support.js";

const module = new URL("./reshard-socket.ts", import.meta.url);
const PUBSUB = "endpoint.pubsub";
export const TOPICS = Array.from({ length: 12 }, (_, n) => `room:${n}`);

export const within: typeof waitFor = (what, read) => waitFor(what, read, 60_000);

/** What has been begun, and ends with the test. */
const stops: (() => Promise<unknown>)[] = [];
export const atEnd = (stop: () => Promise<unknown>): void => void stops.push(stop);
export async function endAll(): Promise<void> {
  for (const stop of stops.splice(0).reverse()) await stop();
}

export async function start(options: Parameters<typeof startServer>[0] = {}): Promise<TestServer> {
  const server = await startServer({
    sockets: { "/socket": { module, messageRate: false, joinRate: false, longpoll: { windowMs: 1000 } } },
    shards: 2,
    shardTree: { module },
    ...options,
  });
  atEnd(() => server.stop());
  return server;
}

export const reshard = (server: TestServer, wanted: number | number[]) =>
  server.run(() => Endpoint.reshard("endpoint", wanted));

interface Room {
  joins: number;
  errors: number;
  /** For each time it was joined: numbers of the broadcasts that came, by event. */
  readonly lives: Map<string, number[]>[];
  readonly echoes: number[];
  /** Who was shown to be there no more. */
  readonly left: string[];
}

/** The official client in every room: asks for an echo as soon as it has the last one, and hears broadcasts. */
export class Person {
  readonly rooms = new Map<string, Room>();
  opens = 0;
  closes = 0;
  readonly #events: readonly string[];
  /** Between an answer and the next question. */
  readonly #askMs: number;
  readonly #socket: PhoenixSocket;

  constructor(
    server: TestServer,
    transport: "websocket" | "longpoll",
    name: string,
    { events = ["tick"], askMs = 0 }: { readonly events?: readonly string[]; readonly askMs?: number } = {},
  ) {
    this.#events = events;
    this.#askMs = askMs;
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
    atEnd(async () => this.#socket.disconnect());
  }

  #enter(topic: string, name: string): void {
    const room: Room = { joins: 0, errors: 0, lives: [], echoes: [], left: [] };
    this.rooms.set(topic, room);
    const channel = this.#socket.channel(topic, { name });
    let asked = 0;
    const ask = (): void => {
      const life = room.joins;
      asked += 1;
      channel.push("echo", { n: asked }).receive("ok", ({ n }: { n: number }) => {
        room.echoes.push(n);
        if (life === room.joins) setTimeout(ask, this.#askMs);
      });
    };
    channel.onError(() => {
      room.errors += 1;
    });
    for (const event of this.#events)
      channel.on(event, ({ n }: { n: number }) => {
        if (room.errors < room.joins) room.lives.at(-1)?.get(event)?.push(n);
      });
    new Presence(channel).onLeave((key = "", { metas }: { metas: unknown[] }) => {
      if (metas.length === 0) room.left.push(key);
    });
    channel.join().receive("ok", () => {
      room.joins += 1;
      room.errors = room.joins - 1;
      room.lives.push(new Map(this.#events.map((event) => [event, []])));
      ask();
    });
  }

  /** Hears and is answered everywhere, after `n` was said. */
  async isWell(n: number): Promise<void> {
    const echoes = new Map([...this.rooms].map(([topic, room]) => [topic, room.echoes.length]));
    await within("all rooms hear and are answered", () => {
      const ill = [...this.rooms].filter(
        ([topic, { lives, echoes: now }]) =>
          this.#events.some((event) => (lives.at(-1)?.get(event)?.at(-1) ?? 0) <= n) ||
          now.length <= (echoes.get(topic) as number) + 1,
      );
      return ill.length === 0 || Promise.reject(new Error(JSON.stringify(ill.map(([topic]) => topic))));
    });
  }

  /** Nothing came twice or in another order; with `all`, nothing was lost while a channel was joined. */
  check(all: boolean): void {
    expect({ opens: this.opens, closes: this.closes }).toEqual({ opens: 1, closes: 0 });
    for (const [topic, { lives, echoes }] of this.rooms) {
      for (const life of lives)
        for (const [event, numbers] of life)
          expect(
            numbers.every(
              (n, at) => at === 0 || (all ? n === prior(numbers, at) + 1 : n > prior(numbers, at)),
            ),
            `${event} of ${topic}: ${numbers}`,
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
export function tell(
  { node }: TestServer,
  event = "tick",
  everyMs = 3,
): { readonly said: () => number; stop(): Promise<void> } {
  let n = 0;
  let going = true;
  const told = new Promise<void>((resolve) => {
    node.spawn(async () => {
      for (; going; await sleep(everyMs)) {
        n += 1;
        for (const topic of TOPICS) Endpoint.broadcast("endpoint", topic, event, { n });
      }
      resolve();
    });
  });
  const stop = (): Promise<void> => {
    going = false;
    return told;
  };
  atEnd(stop);
  return { said: () => n, stop };
}

/** A process in the main thread that is subscribed to every room: what it heard, by event and topic. */
export async function listener({ node }: TestServer): Promise<(event: string, topic: string) => number[]> {
  const heard = new Map<string, number[]>();
  const of = (event: string, topic: string): number[] => {
    const key = `${event} ${topic}`;
    let numbers = heard.get(key);
    if (numbers === undefined) {
      numbers = [];
      heard.set(key, numbers);
    }
    return numbers;
  };
  await new Promise<void>((ready) => {
    node.spawn(async () => {
      await Promise.all(TOPICS.map((topic) => Endpoint.subscribe("endpoint", topic)));
      ready();
      for (;;) {
        const { topic, event, payload } = await receive(
          (message) => message as { topic: string; event: string; payload: { n?: number } },
        );
        if (payload.n !== undefined) of(event, topic).push(payload.n);
      }
    });
  });
  return of;
}

/** Asks the tracker of each room who is there. */
export async function everybodyIsThere(server: TestServer, names: readonly string[]): Promise<void> {
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
