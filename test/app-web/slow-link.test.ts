import { describe, expect, test } from "vitest";
import { wakeAt } from "../../src/app/web/sync/text-sync.js";
import { Room, type SimulatedClient } from "./room-simulation.js";

/** One way of a message, in milliseconds: to the server, being stored, and back; each way late by up to `jitter`. */
interface Link {
  readonly up: number;
  readonly store: number;
  readonly down: number;
  readonly jitter: number;
}

interface Typist {
  readonly name: string;
  readonly text: string;
  /** Where the caret stands in the text of now. */
  readonly caret: (text: string) => number;
}

/** A small generator with a seed, so that a failure can be played again. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}

/** Everybody types at about ten letters a second over the same kind of link; returns when all is at rest. */
function typeTogether(
  seed: number,
  start: string,
  typists: readonly Typist[],
  onlookers: number,
  link: Link,
): Room {
  const random = randomFrom(seed);
  const names = [
    ...typists.map(({ name }) => name),
    ...Array.from({ length: onlookers }, (_, i) => `onlooker ${i}`),
  ];
  const room = new Room(start, names);
  for (const client of room.clients) client.connect();
  room.deliver();

  const agenda: { readonly at: number; readonly act: () => void }[] = [];
  const plan = (at: number, act: () => void): void => {
    // Kept in order; of two at the same time, the one planned first is first.
    let i = agenda.length;
    while (i > 0 && agenda[i - 1]!.at > at) i -= 1;
    agenda.splice(i, 0, { at, act });
  };
  let storing = 0;
  const roads = new Map(
    room.clients.map((client) => [client, { up: 0, down: 0, lastUp: 0, lastDown: 0, tick: 0 }]),
  );

  /** Gives every message that is new on its road a time of arrival; a road keeps its order. */
  const dispatch = (client: SimulatedClient): void => {
    const road = roads.get(client)!;
    for (; road.up < client.up.length; road.up += 1) {
      road.lastUp = Math.max(road.lastUp, room.now + link.up + random() * link.jitter);
      storing = Math.max(storing, road.lastUp + link.store);
      plan(storing, () => {
        road.up -= 1;
        client.arrive();
      });
    }
    for (; road.down < client.down.length; road.down += 1) {
      road.lastDown = Math.max(road.lastDown, room.now + link.down + random() * link.jitter);
      plan(road.lastDown, () => {
        road.down -= 1;
        client.receive();
      });
    }
    const due = wakeAt(client.state);
    if (due !== undefined && due !== road.tick) {
      road.tick = due;
      plan(Math.max(due, room.now), () => client.tickIfDue());
    }
  };

  typists.forEach(({ text, caret }, i) => {
    const client = room.clients[i]!;
    let at = room.now + random() * 100;
    for (const letter of text) {
      at += 45 + random() * 90;
      plan(at, () => client.edit(caret(client.editor) / Math.max(1, client.editor.length) + 1e-9, 0, letter));
    }
  });

  for (let steps = 0; agenda.length > 0; steps += 1) {
    if (steps > 100_000) throw new Error("the clients never come to rest");
    const { at, act } = agenda.shift()!;
    room.now = Math.max(room.now, at);
    act();
    for (const client of room.clients) dispatch(client);
  }
  return room;
}

/** Letters that occur once, so that a lost or doubled one can be told. */
const letters = (from: number, count: number): string =>
  Array.from({ length: count }, (_, i) => String.fromCodePoint(from + i)).join("");

const endOfLine = (n: number) => (text: string) => text.split("\n").slice(0, n).join("\n").length;
const links: readonly [string, Link][] = [
  ["a local link", { up: 2, store: 2, down: 2, jitter: 2 }],
  ["a link within a continent", { up: 25, store: 5, down: 25, jitter: 10 }],
  ["a slow database", { up: 5, store: 60, down: 5, jitter: 5 }],
  ["a link around the world", { up: 100, store: 5, down: 100, jitter: 40 }],
  ["a bad mobile link", { up: 150, store: 5, down: 40, jitter: 250 }],
];

describe.each(links)("typing at the same time over %s", (_, link) => {
  test.each([
    ["two people in different lines", "one\ntwo\nthree", [endOfLine(1), endOfLine(3)], 0],
    ["two people at the same place", "", [endOfLine(1), endOfLine(1)], 0],
    ["three people in different lines", "one\ntwo\nthree", [endOfLine(1), endOfLine(2), endOfLine(3)], 0],
    ["two people before the eyes of a third", "one\ntwo\nthree", [endOfLine(1), endOfLine(3)], 1],
  ])("%s lose and double no letter, and all see the same", (_, start, carets, onlookers) => {
    for (let seed = 1; seed <= 12; seed += 1) {
      const typists = carets.map((caret, i) => ({
        name: `p${i}`,
        text: letters(0x4e00 + 0x1000 * i, 30),
        caret,
      }));
      const room = typeTogether(seed * 7919, start, typists, onlookers, link);
      expect(room.atRest()).toBe(true);
      const typed = typists.map(({ text }) => text).join("");
      expect([...room.text].sort().join("")).toBe([...(start + typed)].sort().join(""));
    }
  });
});

test("a room whose text is replaced while its author has only just typed shows the new text", () => {
  const room = new Room("", ["ann", "ben"]);
  for (const client of room.clients) client.connect();
  room.deliver();
  const [ann, ben] = room.clients as [SimulatedClient, SimulatedClient];
  for (const letter of "some thirty letters of ann's own") {
    ann.append(letter);
    room.deliver();
    room.advance(30);
  }
  ben.edit(0, ben.editor.length, "X");
  room.heal();
  expect(room.text).toBe("X");
  expect(ann.editor).toBe("X");
});
