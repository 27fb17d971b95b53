import { describe, expect, test } from "vitest";
import { decodePayload } from "../../../src/channels/protocol/frame-scanner.js";
import { v1Json } from "../../../src/channels/protocol/v1-json.js";

const bytes = new Uint8Array([1]);

describe("protocol 1.0.0", () => {
  test("what goes out has topic, event, payload and ref, and never a join_ref (C-015)", () => {
    const frames = [
      v1Json.encodePush("1", "room:1", "new", { a: 1 }),
      v1Json.encodeReply("1", "2", "room:1", "ok", undefined),
      v1Json.encodeBroadcast({ topic: "room:1", event: "new", payload: { a: 1 } }),
    ].map((frame) => JSON.parse(frame as string));
    expect(frames).toEqual([
      { topic: "room:1", event: "new", payload: { a: 1 }, ref: null },
      { topic: "room:1", event: "phx_reply", payload: { status: "ok", response: {} }, ref: "2" },
      { topic: "room:1", event: "new", payload: { a: 1 }, ref: null },
    ]);
  });

  test("a close carries the join_ref as its ref (C-045)", () => {
    expect(JSON.parse(v1Json.encodeControl("5", "t", "phx_close", {}) as string)).toEqual({
      topic: "t",
      event: "phx_close",
      payload: {},
      ref: "5",
    });
  });

  test("a frame needs topic, event, payload and ref (C-016)", () => {
    const good = { topic: "t", event: "e", payload: null, ref: null };
    const scanned = v1Json.scan(JSON.stringify({ ...good, extra: 1 }));
    expect(scanned).toMatchObject({ joinRef: null, ref: null, topic: "t", event: "e" });
    expect(decodePayload(scanned?.payload as string)).toBe(null);
    expect(v1Json.scan(JSON.stringify({ ...good, join_ref: "7" }))?.joinRef).toBe("7");
    for (const missing of Object.keys(good)) {
      expect(v1Json.scan(JSON.stringify({ ...good, [missing]: undefined }))).toBeUndefined();
    }
    for (const wrong of ["[]", '["1","1","t","e",{}]', "null", "5", "{"])
      expect(v1Json.scan(wrong)).toBeUndefined();
  });

  test("payloads of any JSON type may go out (C-017)", () => {
    expect(JSON.parse(v1Json.encodePush(null, "t", "e", "text") as string).payload).toBe("text");
  });

  test("binary frames are read as text, and a binary payload is an error in the sender (C-018)", () => {
    const frame = new TextEncoder().encode(JSON.stringify({ topic: "t", event: "e", payload: {}, ref: "1" }));
    expect(v1Json.scan(frame)?.topic).toBe("t");
    expect(v1Json.scan(new Uint8Array([0xff]))).toBeUndefined();
    expect(() => v1Json.encodePush(null, "t", "e", bytes)).toThrow("protocol 1.0.0 cannot carry");
    expect(() => v1Json.encodeReply(null, "1", "t", "ok", bytes)).toThrow("protocol 1.0.0 cannot carry");
    expect(() => v1Json.encodeBroadcast({ topic: "t", event: "e", payload: bytes })).toThrow(
      "protocol 1.0.0 cannot carry",
    );
  });
});
