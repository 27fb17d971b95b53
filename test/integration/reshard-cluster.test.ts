/**
 * Topics move between the threads of one of two nodes, joined by a real engine, while everyone
 * talks on both: no socket closes, no one of either node is shown to leave, and who stays receives
 * each message of both nodes once and in order.
 */
import { Endpoint } from "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { GenServer } from "simurgh/runtime";
import { afterEach, expect, test } from "vitest";
import {
  atEnd,
  endAll,
  everyoneIsThere,
  listener,
  Person,
  reshard,
  start,
  TOPICS,
  tell,
  within,
} from "../channels/fixtures/reshard-people.js";
import { startNats, startRedis } from "../support/engines.js";
import { describeWith } from "../support/requirements.js";

afterEach(endAll);

const HOW = { events: ["of here", "of there"], askMs: 50 };
const upTo = (last: number): number[] => Array.from({ length: last }, (_, n) => n + 1);

for (const [need, adapter, startEngine] of [
  ["NATS", "nats", startNats],
  ["Redis", "redis", startRedis],
] as const)
  describeWith(need, `two nodes on ${need}`, () => {
    test("a node reshards while clients of both nodes lose and reorder nothing (P-644)", async () => {
      const engine = await startEngine();
      atEnd(() => engine.stop());
      const on = (nodeName: string) => ({ cluster: { adapter, url: engine.url, nodeName } });
      const here = await start({ ...on("here"), shards: 1 });
      const there = await start({ ...on("there"), shards: 2 });
      for (const server of [here, there])
        await within("they know each other", () =>
          server.run(async () => (await Endpoint.health("endpoint")).nodes.length === 1),
        );
      const people = [
        new Person(here, "websocket", "ann", HOW),
        new Person(here, "longpoll", "bob", HOW),
        new Person(there, "websocket", "cid", HOW),
        new Person(there, "longpoll", "dan", HOW),
      ];
      const [ann, bob, cid, dan] = people as [Person, Person, Person, Person];
      // Someone who is no channel is in every room.
      const robot = here.node.spawn(() => new Promise(() => {}));
      await here.run(() =>
        Promise.all(
          TOPICS.map((topic) =>
            GenServer.call({ name: "ReshardPresence", node: PubSub.ownerOf("endpoint.pubsub", topic) }, [
              "track",
              robot,
              topic,
              "robot",
              { phx_ref: `robot of ${topic}` },
              "exit",
            ]),
          ),
        ),
      );
      const everyone = ["ann", "bob", "cid", "dan", "robot"];
      for (const server of [here, there]) await everyoneIsThere(server, everyone);
      // Processes of either node, which live in a thread that owns no topics.
      const [receivedHere, receivedThere] = [await listener(here), await listener(there)];
      const [ofHere, ofThere] = [tell(here, "of here", 10), tell(there, "of there", 10)];
      const allAreWell = async (): Promise<void> => {
        for (const person of people) await person.isWell(Math.max(ofHere.said(), ofThere.said()));
      };
      await allAreWell();
      for (const wanted of [3, 2, 3, 1, 2]) {
        expect(await reshard(here, wanted)).toBe("ok");
        await allAreWell();
      }
      for (const person of people) person.check(true);
      for (const [topic, { joins, errors, left }] of [...cid.rooms, ...dan.rooms])
        expect({ topic, joins, errors, left }).toEqual({ topic, joins: 1, errors: 0, left: [] });
      // As many channels have moved as topics have.
      expect([...ann.rooms.values()].some(({ joins }) => joins > 1)).toBe(true);
      expect([...ann.rooms.values()].map(({ joins }) => joins)).toEqual(
        [...bob.rooms.values()].map(({ joins }) => joins),
      );
      await Promise.all([ofHere.stop(), ofThere.stop()]);
      for (const [event, last] of [
        ["of here", ofHere.said()],
        ["of there", ofThere.said()],
      ] as const)
        for (const topic of TOPICS)
          for (const [where, received] of [
            ["here", receivedHere],
            ["there", receivedThere],
          ] as const) {
            await within(
              `the last ${event} is received ${where}`,
              () => received(event, topic).at(-1) === last,
            );
            expect(received(event, topic), `${event} in ${topic}, received ${where}`).toEqual(upTo(last));
          }
      for (const server of [here, there]) await everyoneIsThere(server, everyone);
    }, 300_000);
  });
