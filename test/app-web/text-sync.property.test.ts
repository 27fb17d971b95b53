import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { apply } from "../../src/app/rooms/text-diff.js";
import { Room, type SimulatedClient } from "./room-simulation.js";

type Op =
  | { readonly op: "type"; readonly who: number; readonly place: number }
  | { readonly op: "remove"; readonly who: number; readonly place: number; readonly length: number }
  | { readonly op: "arrive"; readonly who: number }
  | { readonly op: "receive"; readonly who: number }
  | { readonly op: "cut"; readonly who: number; readonly stored: number }
  | { readonly op: "connect"; readonly who: number }
  | { readonly op: "fail"; readonly on: boolean }
  | { readonly op: "wait"; readonly ms: number };

const who = fc.nat({ max: 2 });
const place = fc.constantFrom(0, 0.3, 0.5, 0.8, 1);
const ops: Record<string, fc.WeightedArbitrary<Op>> = {
  type: { weight: 6, arbitrary: fc.record({ op: fc.constant("type" as const), who, place }) },
  remove: {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("remove" as const),
      who,
      place,
      length: fc.integer({ min: 1, max: 4 }),
    }),
  },
  arrive: { weight: 5, arbitrary: fc.record({ op: fc.constant("arrive" as const), who }) },
  receive: { weight: 6, arbitrary: fc.record({ op: fc.constant("receive" as const), who }) },
  cut: {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("cut" as const), who, stored: fc.nat({ max: 1 }) }),
  },
  connect: { weight: 2, arbitrary: fc.record({ op: fc.constant("connect" as const), who }) },
  fail: { weight: 1, arbitrary: fc.record({ op: fc.constant("fail" as const), on: fc.boolean() }) },
  wait: {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("wait" as const),
      ms: fc.constantFrom(5, 100, 600, 2_500, 11_000),
    }),
  },
};
ops.moment = {
  weight: 2,
  arbitrary: fc.record({ op: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 60 }) }),
};
const scripts = (...names: string[]): fc.Arbitrary<Op[]> =>
  fc.array(fc.oneof(...names.map((name) => ops[name]!)), { minLength: 1, maxLength: 60 });

/** Characters that nobody types twice: whatever is missing or doubled in the end can be named. */
const letter = (n: number): string => String.fromCodePoint(0x4e00 + n);

interface Watch {
  typed?(client: SimulatedClient, text: string): void;
  before?(client: SimulatedClient): void;
  after?(client: SimulatedClient): void;
}

function play(room: Room, script: readonly Op[], watch: Watch = {}): void {
  let n = 0;
  for (const op of script) {
    const client = "who" in op ? room.clients[op.who % room.clients.length]! : undefined;
    if (op.op === "type" && client && client.state.seen.length > 0) {
      const text = letter(n++);
      client.edit(op.place, 0, text);
      watch.typed?.(client, text);
    } else if (op.op === "remove") client!.edit(op.place, op.length, "");
    else if (op.op === "arrive") client!.arrive();
    else if (op.op === "receive") {
      watch.before?.(client!);
      client!.receive();
      watch.after?.(client!);
    } else if (op.op === "cut") client!.cut(op.stored);
    else if (op.op === "connect") client!.connect();
    else if (op.op === "fail") room.failing = op.on;
    else if (op.op === "wait") room.advance(op.ms);
  }
}

const everything = ["type", "remove", "arrive", "receive", "cut", "connect", "fail", "wait"];
const start = "def add(a, b):\n    return a + b\n";

function roomOf(...names: string[]): Room {
  const room = new Room(start, names);
  for (const client of room.clients) client.connect();
  room.deliver();
  return room;
}

describe("whole-text editing, whatever crosses whatever", () => {
  test.each([
    ["two", ["ann", "ben"]],
    ["three", ["ann", "ben", "cem"]],
  ])(
    "%s clients come to rest on the server's text after any interleaving, cut, failure and pause",
    (_, names) => {
      fc.assert(
        fc.property(scripts(...everything), (script) => {
          const room = roomOf(...names);
          play(room, script);
          room.heal();
          expect(room.atRest()).toBe(true);
        }),
        { numRuns: 1_500 },
      );
    },
  );

  test("who has the room alone loses and doubles nothing, whatever happens to link and server", () => {
    fc.assert(
      fc.property(scripts(...everything), (script) => {
        const room = roomOf("ann");
        const ann = room.clients[0]!;
        let typed = ann.editor;
        const mirror = ann.handle.bind(ann);
        ann.handle = (event) => {
          if (event.type === "edited") typed = apply(typed, event.changes);
          mirror(event);
          expect(ann.editor).toBe(typed);
        };
        play(room, script);
        room.heal();
        expect(room.text).toBe(typed);
      }),
      { numRuns: 1_500 },
    );
  });

  test("a message from the server never takes away what was typed here and is not confirmed", () => {
    fc.assert(
      fc.property(scripts(...everything), (script) => {
        const room = roomOf("ann", "ben", "cem");
        let standing: string[] = [];
        const unconfirmed = (client: SimulatedClient): string[] => {
          const { flight, unsent } = client.state;
          const local = flight ? flight.changes.compose(unsent) : unsent;
          const inserted: string[] = [];
          local.iterChanges((_a, _b, _c, _d, insert) => inserted.push(...insert.toString()));
          return inserted;
        };
        play(room, script, {
          before: (client) => {
            standing = unconfirmed(client);
          },
          after: (client) => {
            for (const letter of standing) expect(client.editor).toContain(letter);
          },
        });
      }),
      { numRuns: 1_500 },
    );
  });

  test("people who only add text lose and double nothing of each other's, however their updates cross", () => {
    fc.assert(
      fc.property(scripts("type", "arrive", "receive", "moment"), (script) => {
        const room = roomOf("ann", "ben", "cem");
        const typed: string[] = [];
        play(room, script, { typed: (_, text) => typed.push(text) });
        room.heal();
        const counts = typed.map((text) => room.text.split(text).length - 1);
        expect(counts).toEqual(typed.map(() => 1));
      }),
      { numRuns: 1_500 },
    );
  });
});
