/**
 * `npm run bench:server` as outside checks use it: the official client against two shard threads,
 * without authentication. A load of its own kind, written by hand, so that it shares no
 * misunderstanding with the benchmarks'.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type Channel, Presence, type Socket } from "phoenix";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { slot } from "#pubsub";
import { freePort } from "../support/free-port.js";
import { answer, openSocket } from "../support/phoenix-client.js";
import { waitFor } from "../support/wait.js";

const SHARDS = 2;

let server: ChildProcess;
let port: number;
let output = "";
beforeAll(async () => {
  port = await freePort();
  const script = fileURLToPath(new URL("../../scripts/bench-server.mjs", import.meta.url));
  server = spawn(process.execPath, [script, "--port", String(port), "--shards", String(SHARDS)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  server.stdout?.on("data", (data) => (output += data));
  await waitFor("it listens", () => output.includes("is listening"), 60_000);
});
afterAll(async () => {
  server.kill("SIGTERM");
  const [code] = (await once(server, "exit")) as [number | null];
  expect(code).toBe(0);
});

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect();
});

async function enter(topic: string, params: object = {}): Promise<Channel> {
  const socket = openSocket(port);
  sockets.push(socket);
  const channel = socket.channel(topic, params);
  await answer(channel.join());
  return channel;
}

/** Rooms of either thread. */
const ROOMS = [0, 1].map(
  (shard) => `room:${[...Array(100).keys()].find((n) => slot(`room:${n}`) % SHARDS === shard)}`,
);

test("it tells its process id, which is not that of npm", () => {
  expect(output).toMatch(
    new RegExp(`^the bench server is listening on http://127.0.0.1:${port}, process \\d+\n$`),
  );
  expect(Number(/process (\d+)/.exec(output)?.[1])).not.toBe(server.pid);
});

test.each(ROOMS)("%s: a join is answered ok, an echo with its payload", async (topic) => {
  const socket = openSocket(port);
  sockets.push(socket);
  const channel = socket.channel(topic, {});
  expect(await answer(channel.join())).toEqual({});
  for (const payload of [
    {},
    { text: "ü\u2028", list: [1, null, { deep: true }] },
    { long: "x".repeat(50_000) },
  ])
    expect(await answer(channel.push("echo", payload))).toEqual(payload);
});

test.each(ROOMS)("%s: a shout reaches all, a shout_from all but the sender, in order", async (topic) => {
  const members = await Promise.all([1, 2, 3].map(() => enter(topic)));
  const received = members.map((member) => {
    const numbers: number[] = [];
    member.on("shout", ({ n }: { n: number }) => void numbers.push(n));
    return numbers;
  });
  const [first] = members as [Channel];
  const answers: unknown[] = [];
  for (let n = 0; n < 100; n += 1)
    first
      .push(n % 2 === 0 ? "shout" : "shout_from", { n })
      .receive("ok", (response) => void answers.push(response));
  const all = [...Array(100).keys()];
  await waitFor("the last is received", () =>
    received.every((numbers, of) => numbers.at(-1) === (of === 0 ? 98 : 99)),
  );
  expect(received).toEqual([all.filter((n) => n % 2 === 0), all, all]);
  // What could still come would have come before this.
  for (const member of members) await answer(member.push("echo", {}));
  expect([received.map(({ length }) => length), answers]).toEqual([[50, 100, 100], []]);
});

test("a room receives nothing of another", async () => {
  const [one, two] = (await Promise.all(ROOMS.map((topic) => enter(topic)))) as [Channel, Channel];
  const received: unknown[] = [];
  two.on("shout", (payload) => void received.push(payload));
  one.push("shout", { n: 1 });
  await answer(one.push("echo", {}));
  await answer(two.push("echo", {}));
  expect(received).toEqual([]);
});

test("presence:* tracks each joiner under user_id", async () => {
  const watch = async (user: string) => {
    const socket = openSocket(port);
    sockets.push(socket);
    const channel = socket.channel("presence:lobby", { user_id: user });
    const presence = new Presence(channel);
    const events: string[] = [];
    presence.onJoin((id, before) => {
      if (before === undefined) events.push(`+${id}`);
    });
    presence.onLeave((id, left) => {
      if (left.metas.length === 0) events.push(`-${id}`);
    });
    let states = 0;
    channel.on("presence_state", () => {
      states += 1;
    });
    await answer(channel.join());
    await waitFor(`${user} has the state`, () => states === 1);
    const keys = (): string =>
      presence
        .list((id) => id)
        .sort()
        .join();
    const metas = (id: string): number | undefined =>
      presence.list((key, { metas: all }) => [key, all.length] as const).find(([key]) => key === id)?.[1];
    return { socket, keys, metas, events, states: () => states };
  };
  const ann = await watch("ann");
  const bob = await watch("bob");
  const twice = await watch("bob");
  for (const one of [ann, bob, twice])
    await waitFor("all see both, bob twice", () => one.keys() === "ann,bob" && one.metas("bob") === 2);
  twice.socket.disconnect();
  await waitFor("bob is there once", () => ann.metas("bob") === 1);
  bob.socket.disconnect();
  await waitFor("bob is gone", () => ann.keys() === "ann");
  expect(ann.events).toEqual(["+ann", "+bob", "-bob"]);
  expect(ann.states()).toBe(1);
});

test("a load of 50 clients in 10 rooms gets each frame once, in order", async () => {
  const [CLIENTS, ROOMS_OF_LOAD, TIMES] = [50, 10, 40];
  const members = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, id) => {
      const channel = await enter(`room:load ${id % ROOMS_OF_LOAD}`);
      const received = new Map<number, number[]>();
      channel.on("shout", ({ from, n }: { from: number; n: number }) => {
        received.set(from, [...(received.get(from) ?? []), n]);
      });
      return { id, channel, received };
    }),
  );
  await Promise.all(
    members.map(async ({ id, channel }) => {
      for (let n = 0; n < TIMES; n += 1) {
        channel.push("shout", { from: id, n });
        expect(await answer(channel.push("echo", { id, n }))).toEqual({ id, n });
      }
    }),
  );
  const all = [...Array(TIMES).keys()];
  for (const { id, received } of members) {
    const mates = members.filter((other) => other.id % ROOMS_OF_LOAD === id % ROOMS_OF_LOAD);
    await waitFor("all is received", () => mates.every((mate) => received.get(mate.id)?.length === TIMES));
    expect([...received.keys()].sort()).toEqual(mates.map((mate) => mate.id).sort());
    for (const numbers of received.values()) expect(numbers).toEqual(all);
  }
});
