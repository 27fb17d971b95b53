import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decode, encode, type Message, MessageError } from "../../../src/presence/tracker/message.js";

const text = fc.string({ maxLength: 8 });
const whole = fc.nat(1e9);
const ref = fc.record({ name: text, incarnation: text });
const meta = fc
  .tuple(text, fc.dictionary(text, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3, noNullPrototype: true }))
  .map(([phx_ref, rest]) => ({ ...rest, phx_ref }));
const change = (least: number, most: number) => {
  const removal = { topic: text, pid: text, key: text, version: fc.integer({ min: least, max: most }) };
  return fc.oneof(fc.record(removal), fc.record({ ...removal, joined: whole, first: text, meta }));
};
const delta = fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 1000 })).chain(([from, length]) =>
  fc.record({
    from: fc.constant(from),
    to: fc.constant(from + length),
    changes: fc.array(change(from + 1, from + length), { maxLength: 4 }),
  }),
);
const message = fc.oneof(
  fc.record({ kind: fc.constant("hello" as const), ref }),
  fc.record({ kind: fc.constant("name_taken" as const), ref, against: text, age: whole }),
  fc.record({
    kind: fc.constant("heartbeat" as const),
    ref,
    clock: whole,
    delta: fc.option(delta, { nil: undefined }),
    seen: fc.array(fc.tuple(ref, whole), { maxLength: 3 }),
    digest: fc.option(fc.array(fc.tuple(fc.nat(255), whole), { maxLength: 3 }), { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant("transfer_req" as const),
    ref,
    to: ref,
    id: whole,
    since: whole,
    full: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("transfer_ack" as const),
    ref,
    to: ref,
    id: whole,
    part: fc.constant(2),
    parts: fc.constant(3),
    since: fc.option(fc.nat(10), { nil: undefined }),
    version: fc.constant(1000),
    changes: fc.array(change(1, 1000), { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant("permdown" as const), ref, restores: fc.option(text, { nil: undefined }) }),
) as fc.Arbitrary<Message>;

const overTheWire = (wire: unknown): unknown => JSON.parse(JSON.stringify(wire));
const codeOf = (run: () => unknown): string => {
  try {
    run();
    return "none";
  } catch (error) {
    expect(error).toBeInstanceOf(MessageError);
    return (error as MessageError).code;
  }
};

/** What cannot be made a text, a number or a key of an object by what it says of itself. */
const UNPRINTABLE = [
  { toString: 0 },
  { toString: 0, valueOf: 0 },
  { toString: null, toJSON: 1 },
  [{ toString: 0 }],
  [[{ valueOf: 0, toString: 0 }]],
  Object.create(null) as object,
  2n ** 70n,
];

describe("messages between replicas", () => {
  test("decoding reverses encoding, and ignores fields of later versions (P-515)", () => {
    fc.assert(
      fc.property(message, fc.jsonValue(), (said, extra) => {
        const wire = encode("presence", said);
        expect(decode("presence", overTheWire(wire))).toEqual(overTheWire(said));
        expect(decode("presence", overTheWire([...wire, extra, extra]))).toEqual(overTheWire(said));
      }),
      { numRuns: 500 },
    );
  });

  test("what is cut short, changed or invented gives a MessageError and nothing else (P-515, P-639)", () => {
    const damage = fc.tuple(message, fc.array(fc.nat(12), { minLength: 1, maxLength: 4 }), fc.jsonValue());
    fc.assert(
      fc.property(damage, ([said, path, junk]) => {
        const wire = overTheWire(encode("presence", said)) as unknown[];
        let at = wire;
        for (const step of path) {
          const next = at[step % Math.max(1, at.length)];
          if (Array.isArray(next)) at = next;
          else at[step % Math.max(1, at.length)] = junk;
        }
        at.length = Math.min(at.length, path[0] as number);
        try {
          // Where the damage hit nothing that is read, what was read is still a message.
          expect(encode("presence", decode("presence", wire)).slice(0, 4)).toEqual(wire.slice(0, 4));
        } catch (error) {
          expect(error).toBeInstanceOf(MessageError);
        }
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(message, fc.nat(), (said, cut) => {
        const wire = overTheWire(encode("presence", said)) as unknown[];
        expect(codeOf(() => decode("presence", wire.slice(0, cut % wire.length)))).not.toBe("none");
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(message, fc.nat(), fc.constantFrom(...UNPRINTABLE), (said, at, hostile) => {
        const wire = overTheWire(encode("presence", said)) as unknown[];
        wire[at % wire.length] = hostile;
        expect(["none", "malformed", "protocol", "slots", "tracker"]).toContain(
          codeOf(() => decode("presence", wire)),
        );
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.anything(), (anything) => {
        expect(codeOf(() => decode("presence", anything))).not.toBe("none");
      }),
      { numRuns: 2000 },
    );
  });

  test("another protocol version is recognised, ignored and counted (P-112, P-646)", () => {
    const wire = encode("presence", { kind: "hello", ref: { name: "A", incarnation: "1" } });
    expect(codeOf(() => decode("presence", [2, ...wire.slice(1)]))).toBe("protocol");
  });

  test("each message names protocol, slots, hash and tracker (P-711, P-734)", () => {
    const wire = encode("presence", { kind: "hello", ref: { name: "A", incarnation: "1" } });
    expect(wire.slice(0, 4)).toEqual([1, 256, "fnv1a32", "presence"]);
    expect(codeOf(() => decode("presence", [1, 128, ...wire.slice(2)]))).toBe("slots");
    expect(codeOf(() => decode("presence", [1, 256, "md5", ...wire.slice(3)]))).toBe("slots");
    expect(codeOf(() => decode("other", wire))).toBe("tracker");
  });

  test("changes outside the span they claim are refused (P-071, P-639)", () => {
    const ref = { name: "A", incarnation: "1" };
    const changes = [{ topic: "t", pid: "p", key: "k", version: 9 }];
    const beat = { kind: "heartbeat", ref, clock: 5, seen: [], digest: undefined } as const;
    expect(codeOf(() => decode("x", encode("x", { ...beat, delta: { from: 1, to: 5, changes } })))).toBe(
      "malformed",
    );
    expect(codeOf(() => decode("x", encode("x", { ...beat, delta: { from: 7, to: 5, changes: [] } })))).toBe(
      "malformed",
    );
  });
});
