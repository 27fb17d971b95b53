/**
 * Topics move between real threads under traffic, where something is different or goes wrong: over
 * long-poll, with other nodes, and with threads that die in the middle. What moves where is a
 * seed's.
 */
import { type Hub, startHub } from "simurgh/pubsub";
import { exit, sleep, whereis } from "simurgh/runtime";
import { Random } from "simurgh/testing";
import { afterEach, expect, test } from "vitest";
import { threadName } from "#runtime";
import {
  atEnd,
  endAll,
  everyoneIsThere,
  Person,
  reshard,
  start,
  tell,
  within,
} from "../fixtures/reshard-people.js";

const SEED = Number(process.env.SIMURGH_SEED ?? 1);

afterEach(endAll, 120_000);

/** Some count of threads, or a map of the topics over some of them; the first always stays. */
const change = (random: Random): number | number[] => {
  if (random.chance(0.4)) return 1 + random.below(3);
  const threads = [1, 2, 3].slice(0, 2 + random.below(2));
  return Array.from({ length: 256 }, (_, n) => (n === 0 ? 1 : random.pick(threads)));
};

test("over WebSocket and long-poll no session ends and no message is lost", async () => {
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
  await everyoneIsThere(server, ["ann", "bob"]);
}, 240_000);

test("a shard thread dies during a move, and all clients come back once", async () => {
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
      server.run(() => [1, 2, 3].every((index) => server.node.connection(index) !== undefined)),
    );
    for (const person of people) await person.isWell(said());
  }
  for (const person of people) person.check(false);
  await everyoneIsThere(server, ["ann", "bob"]);
  // And the next move works as ever.
  expect(await reshard(server, 2)).toBe("ok");
  for (const person of people) await person.isWell(said());
}, 240_000);

test("clients of both nodes on a hub receive each other during moves", async () => {
  const random = new Random(SEED);
  const hub: Hub = await startHub();
  atEnd(() => hub.close());
  const cluster = (nodeName: string) => ({ cluster: { adapter: "hub", path: hub.path, nodeName } as const });
  const here = await start(cluster("here"));
  const there = await start({ ...cluster("there"), shards: 1 });
  const people = [new Person(here, "websocket", "ann"), new Person(there, "websocket", "cid")];
  // One tells from where topics move, the other is notified.
  const { said } = tell(here);
  for (const person of people) await person.isWell(0);
  for (let moves = 0; moves < 3; moves += 1) {
    expect(await reshard(here, change(random))).toBe("ok");
    for (const person of people) await person.isWell(said());
  }
  for (const person of people) person.check(true);
  for (const server of [here, there]) await everyoneIsThere(server, ["ann", "cid"]);
  await expect(
    reshard(
      here,
      Array.from({ length: 256 }, () => 2),
    ),
  ).resolves.toEqual(["error", ["first_shard_must_stay", 1]]);
}, 240_000);
