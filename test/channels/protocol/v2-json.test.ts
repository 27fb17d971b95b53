import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_SERIALIZERS, negotiate } from "../../../src/channels/protocol/serializers.js";
import { v1Json } from "../../../src/channels/protocol/v1-json.js";
import { v2Json } from "../../../src/channels/protocol/v2-json.js";

const payload = Buffer.from("efg");
/** Bytes and texts in a row. */
const frame = (...parts: (number | string)[]): Uint8Array =>
  new Uint8Array(
    Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.from([part]) : Buffer.from(part)))),
  );

describe("protocol 2.0.0", () => {
  test("text frames are arrays of join_ref, ref, topic, event, payload (C-006, C-011, C-012, C-013)", () => {
    expect(v2Json.encodePush("3", "t", "e", { a: 1 })).toBe('["3",null,"t","e",{"a":1}]');
    expect(v2Json.encodeReply("3", "4", "t", "ok", undefined)).toBe(
      '["3","4","t","phx_reply",{"status":"ok","response":{}}]',
    );
    expect(v2Json.encodeReply(null, 5, "t", "ok", [1])).toBe(
      '[null,5,"t","phx_reply",{"status":"ok","response":[1]}]',
    );
    expect(v2Json.encodeBroadcast({ topic: "t", event: "e", payload: {} })).toBe('[null,null,"t","e",{}]');
  });

  test("a reply is the same JSON whatever its fields are made of (C-008, C-012)", () => {
    const ref = fc.oneof(fc.string({ unit: "binary" }), fc.integer(), fc.constant(null), fc.boolean());
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("room:1", '"', "\\", "\n", "\u007f", "é"),
    );
    fc.assert(
      fc.property(ref, ref, text, text, fc.jsonValue(), (joinRef, own, topic, status, response) => {
        expect(v2Json.encodeReply(joinRef, own, topic, status, response)).toBe(
          JSON.stringify([joinRef, own, topic, "phx_reply", { status, response }]),
        );
      }),
    );
    expect(v2Json.encodeReply("1", "2", "t", "ok", { toJSON: () => undefined })).toBe(
      '["1","2","t","phx_reply",{"status":"ok"}]',
    );
  });

  test.each([["a text"], [5], [null], [[1]], [undefined], [true]])(
    "C-010 a push or broadcast of %j is an error in the sender",
    (wrong) => {
      expect(() => v2Json.encodePush("1", "t", "e", wrong)).toThrow(
        "the payload of e must be an object or bytes",
      );
      expect(() => v2Json.encodeBroadcast({ topic: "t", event: "e", payload: wrong })).toThrow(
        "the payload of e must be an object or bytes",
      );
    },
  );

  test("what JSON cannot say is an error in the sender (C-014)", () => {
    expect(() => v2Json.encodePush("1", "t", "e", { big: 1n })).toThrow(TypeError);
    const loop: Record<string, unknown> = {};
    loop.loop = loop;
    expect(() => v2Json.encodePush("1", "t", "e", loop)).toThrow(TypeError);
  });

  test("a client's binary push is read by its lengths (C-021, C-029)", () => {
    const scanned = v2Json.scan(frame(0, 2, 3, 5, 5, "12", "123", "topic", "event", "efg"));
    expect(scanned).toEqual({
      joinRef: "12",
      ref: "123",
      topic: "topic",
      event: "event",
      payload: new Uint8Array(payload),
    });
    expect(v2Json.scan(frame(0, 0, 0, 1, 1, "t", "e"))).toEqual({
      joinRef: null,
      ref: "",
      topic: "t",
      event: "e",
      payload: new Uint8Array(),
    });
  });

  test("binary pushes, replies and broadcasts, byte by byte (C-022, C-023, C-024)", () => {
    expect(v2Json.encodePush("12", "topic", "event", payload)).toEqual(
      frame(0, 2, 5, 5, "12", "topic", "event", "efg"),
    );
    expect(v2Json.encodePush(null, "topic", "event", payload)).toEqual(
      frame(0, 0, 5, 5, "topic", "event", "efg"),
    );
    expect(v2Json.encodeReply("12", "123", "topic", "ok", payload)).toEqual(
      frame(1, 2, 3, 5, 2, "12", "123", "topic", "ok", "efg"),
    );
    expect(v2Json.encodeReply(null, 7, "topic", "ok", payload)).toEqual(
      frame(1, 0, 1, 5, 2, "7", "topic", "ok", "efg"),
    );
    expect(v2Json.encodeBroadcast({ topic: "topic", event: "event", payload })).toEqual(
      frame(2, 5, 5, "topic", "event", "efg"),
    );
  });

  test("a header over 255 bytes is an error that names the field (C-025)", () => {
    const long = "ü".repeat(128);
    expect(() => v2Json.encodePush("1", long, "e", payload)).toThrow(
      "unable to convert topic to binary: it must be less than or equal to 255 bytes, but is 256 bytes",
    );
    expect(() => v2Json.encodePush("1", "t", long, payload)).toThrow("event");
    expect(() => v2Json.encodePush(long, "t", "e", payload)).toThrow("join_ref");
    expect(() => v2Json.encodeReply("1", long, "t", "ok", payload)).toThrow("unable to convert ref");
    expect(() => v2Json.encodeReply("1", "1", "t", long, payload)).toThrow("status");
    expect(() => v2Json.encodePush("1", "ü".repeat(127), "e", payload)).not.toThrow();
    expect(() => v2Json.encodePush("1", long, long, {})).not.toThrow();
  });

  test("a binary frame of another kind, or a truncated one, is invalid (C-028)", () => {
    for (const wrong of [
      frame(),
      frame(0, 0),
      frame(1, 0, 0, 1, 1, "t", "e"),
      frame(4, 0, 0, 1, 1, "t", "e"),
      frame(0, 0, 0, 9, 1, "t", "e"),
      frame(0, 0, 0, 1, 1, 0xff, "e"),
    ]) {
      expect(v2Json.scan(wrong)).toBeUndefined();
    }
  });
});

test("which version a client gets (C-001, C-002, C-003)", () => {
  const versions = [
    "1.0.0",
    "1.0.9",
    "2.0.0",
    "2.0.7",
    "1.1.0",
    "2.1.0",
    "3.0.0",
    "123.1.1",
    "2.0.0-rc.1",
    "2",
    "2.0",
    "",
    "abc",
    ["1"],
    { a: 1 },
    undefined,
    2,
  ];
  expect(versions.map((vsn) => negotiate(DEFAULT_SERIALIZERS, vsn)?.name)).toEqual([
    "v1_json",
    "v1_json",
    "v2_json",
    "v2_json",
    ...new Array(13).fill(undefined),
  ]);
  expect([negotiate(DEFAULT_SERIALIZERS, "1.0.0"), negotiate(DEFAULT_SERIALIZERS, "2.0.0")]).toEqual([
    v1Json,
    v2Json,
  ]);
});
