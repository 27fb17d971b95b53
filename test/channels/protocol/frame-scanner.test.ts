import fc from "fast-check";
import { expect, test } from "vitest";
import {
  decodePayload,
  InvalidFrame,
  scanBinary,
  scanText,
} from "../../../src/channels/protocol/frame-scanner.js";
import { checked, hasExactNumbers } from "../../../src/channels/protocol/strict-json.js";

const ref = fc.oneof(fc.string({ unit: "binary" }), fc.integer(), fc.constant(null), fc.boolean());
const name = fc.string({ unit: "binary" });

test("scanning and decoding a frame equals JSON.parse, whatever the spacing (C-008, C-009)", () => {
  fc.assert(
    fc.property(
      ref,
      ref,
      name,
      name,
      fc.jsonValue(),
      fc.nat(3),
      (joinRef, own, topic, event, payload, indent) => {
        const text = JSON.stringify([joinRef, own, topic, event, payload], null, indent);
        const scanned = scanText(text);
        const parsed = JSON.parse(text);
        expect([scanned?.joinRef, scanned?.ref, scanned?.topic, scanned?.event]).toEqual(parsed.slice(0, 4));
        expect(decodePayload(scanned?.payload as string)).toEqual(parsed[4]);
      },
    ),
    { numRuns: 2000 },
  );
});

test("the texts of a binary frame are what was sent, a byte order mark included (C-021)", () => {
  const fields = ["\ufeff1", "2", "\ufeffroom:1", "\ufeff"].map((text) => Buffer.from(text));
  const frame = Buffer.concat([Buffer.from([0, ...fields.map(({ length }) => length)]), ...fields]);
  expect(scanBinary(frame)).toMatchObject({
    joinRef: "\ufeff1",
    ref: "2",
    topic: "\ufeffroom:1",
    event: "\ufeff",
  });
});

test("elements after the fifth are ignored (C-007)", () => {
  const scanned = scanText('["1","2","t","e",{"a":1},{"more":[2]},3]');
  expect(decodePayload(scanned?.payload as string)).toEqual({ a: 1 });
});

test("a text is a frame when it is an array of five or more that can be passed on (C-007, C-036)", () => {
  const asClientsWrite = fc.tuple(
    fc.constantFrom("1", null),
    fc.constantFrom("22", null),
    fc.constantFrom("room:1", "phoenix", ""),
    fc.constantFrom("say", "phx_join"),
    fc.jsonValue(),
  );
  const mutated = fc
    .tuple(
      fc.oneof(fc.array(fc.jsonValue(), { maxLength: 7 }), asClientsWrite),
      fc.nat(60),
      fc.constantFrom("", "[", "]", '"', ",", "\\", "\n", "}", "1", "null", " "),
    )
    .map(([frame, at, junk]) => {
      const text = JSON.stringify(frame);
      return text.slice(0, at % (text.length + 1)) + junk + text.slice(at % (text.length + 1));
    });
  const accepted = (text: string): boolean => {
    const scanned = scanText(text);
    if (scanned === undefined) return false;
    try {
      decodePayload(scanned.payload);
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidFrame);
      return false;
    }
  };
  const valid = (text: string): boolean => {
    try {
      const frame = JSON.parse(text);
      if (!Array.isArray(frame) || frame.length < 5) return false;
      checked(frame.slice(0, 5), text);
      return hasExactNumbers(frame.slice(0, 3));
    } catch {
      return false;
    }
  };
  fc.assert(
    fc.property(mutated, (text) => {
      expect(accepted(text)).toBe(valid(text));
    }),
    { numRuns: 5000 },
  );
});
