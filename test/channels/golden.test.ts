/**
 * Golden frames: every kind of frame of every serializer, as text or hex, checked in. A change of
 * the wire shows as a change of these files; `npx vitest run test/channels/golden.test.ts --update`
 * writes them again.
 */
import { describe, expect, test } from "vitest";
import { decodePayload } from "../../src/channels/protocol/frame-scanner.js";
import { serializerFor } from "../../src/channels/protocol/serializers.js";

const shown = (frame: string | Uint8Array): string =>
  typeof frame === "string" ? `text ${frame}` : `hex  ${Buffer.from(frame).toString("hex")}`;
const attempt = (fn: () => string): string => {
  try {
    return fn();
  } catch (error) {
    return `error ${(error as Error).message}`;
  }
};

const PAYLOADS: readonly (readonly [string, unknown])[] = [
  ["empty", {}],
  ["nested", { a: [1, 'ü\n"', null, { b: true }], "": 0.5 }],
  ["bytes", new Uint8Array([0, 1, 254, 255])],
  ["no bytes", new Uint8Array()],
  ["a user broadcast", { type: "broadcast", event: "note", payload: { n: 1 } }],
  [
    "a user broadcast of bytes",
    { type: "broadcast", event: "note", payload: new Uint8Array([7, 8]), meta: { id: "m" } },
  ],
];

/** What clients send: frames as they stand on the wire. */
const INCOMING: readonly (string | Uint8Array)[] = [
  '["1","2","room:1","echo",{"a":1}]',
  '[null,"2","phoenix","heartbeat",{}]',
  '["1","2","room:1","echo",null,"more"]',
  ' [ "1" , 2 , "r\\u00fc" , "e\\"v" , [1, 2] ] ',
  '{"topic":"room:1","event":"echo","payload":{"a":1},"ref":"2"}',
  '{"topic":"room:1","event":"echo","payload":{"a":1},"ref":"2","join_ref":"1"}',
  '{"topic":"room:1"}',
  '["1","2","room:1"]',
  "no json",
  "",
  Buffer.from("0001010604313272 6f6f6d3a31 6563686f 0102".replaceAll(" ", ""), "hex"),
  Buffer.from("00010106043132726f6f6d3a316563686f0102", "hex"),
  Buffer.from("00000106043272", "hex"),
  Buffer.from("0301010604000131 32726f6f6d3a316e6f7465 7b226e223a317d".replaceAll(" ", ""), "hex"),
  Buffer.from("0301010604000031 32726f6f6d3a316e6f7465 0708".replaceAll(" ", ""), "hex"),
  Buffer.from("0900", "hex"),
];

describe.each(["v1_json", "v2_json", "supabase_json"])(
  "C-005 C-006 C-015 C-020 C-031 golden frames of %s",
  (name) => {
    const serializer = serializerFor(name);

    test("what goes out", async () => {
      const lines: string[] = [];
      for (const [what, payload] of PAYLOADS) {
        for (const event of ["shout", "broadcast"]) {
          lines.push(
            `push ${event}, ${what}: ${attempt(() => shown(serializer.encodePush("1", "room:1", event, payload)))}`,
          );
          lines.push(
            `broadcast ${event}, ${what}: ${attempt(() => shown(serializer.encodeBroadcast({ topic: "room:1", event, payload })))}`,
          );
        }
        lines.push(
          `reply ok, ${what}: ${attempt(() => shown(serializer.encodeReply("1", "2", "room:1", "ok", payload)))}`,
        );
        lines.push(
          `reply error without refs, ${what}: ${attempt(() => shown(serializer.encodeReply(null, null, "room:1", "error", payload)))}`,
        );
      }
      for (const response of [null, 5, "text", [1], undefined])
        lines.push(
          `reply ok, ${JSON.stringify(response)}: ${attempt(() => shown(serializer.encodeReply("1", "2", "t", "ok", response)))}`,
        );
      for (const event of ["phx_close", "phx_error"])
        lines.push(`${event}: ${shown(serializer.encodeControl("1", "room:1", event, {}))}`);
      await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(`golden/${name}-out.txt`);
    });

    test("what comes in", async () => {
      const lines = INCOMING.map((frame) => {
        const scanned = attempt(() => {
          const fields = serializer.scan(frame);
          if (fields === undefined) return "invalid";
          const payload = attempt(() => {
            const value = decodePayload(fields.payload);
            return JSON.stringify(value, (_key, item) =>
              item instanceof Uint8Array
                ? `bytes ${Buffer.from(item).toString("hex")}`
                : item?.type === "Buffer"
                  ? `bytes ${Buffer.from(item.data).toString("hex")}`
                  : item,
            );
          });
          return `${JSON.stringify([fields.joinRef, fields.ref, fields.topic, fields.event])} ${payload}`;
        });
        return `${shown(frame)}\n  ${scanned}`;
      });
      await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(`golden/${name}-in.txt`);
    });
  },
);
