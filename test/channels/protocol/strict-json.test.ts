/**
 * Whatever one client sends, the others of its room can read what they get with the strictest of
 * JSON readers.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  hasExactNumbers,
  MAX_DEPTH,
  parseStrict,
  stringifyStrict,
} from "../../../src/channels/protocol/strict-json.js";
import { RawClient, startServer, type TestServer } from "../support.js";

const nested = (depth: number, inner = "1"): string => `${"[".repeat(depth)}${inner}${"]".repeat(depth)}`;
const HALF = /\\u[dD][89a-fA-F]/;

describe("strict JSON", () => {
  test.each([
    ["half of a pair", String.raw`{"a":"\ud800"}`],
    ["the other half", String.raw`["\uDFFF"]`],
    ["a half behind an escaped backslash", String.raw`["\\\ud83d"]`],
    ["halves in the wrong order", String.raw`["\ude00\ud83d"]`],
    ["a half beside a whole one", String.raw`["\ud83d\ude00\ud83d"]`],
    ["a half in a key", String.raw`{"a":{"\ud800":1}}`],
    ["a half in a long text", `["${"x".repeat(1000)}\\udc00"]`],
    ["a number beyond a double", "[1e999]"],
    ["a negative one", '{"n":-1E+400}'],
    ["one without an exponent", `[${"9".repeat(400)}]`],
    ["one that is a payload", "1e309"],
    ["too many levels", nested(MAX_DEPTH + 1)],
    ["very many levels", nested(200_000)],
    ["too many levels of objects", `${'{"a":'.repeat(MAX_DEPTH + 1)}1${"}".repeat(MAX_DEPTH + 1)}`],
  ])("%s is refused", (_what, text) => {
    expect(() => parseStrict(text)).toThrow(SyntaxError);
  });

  test.each([
    [String.raw`"\ud83d\ude00 \\ud800"`],
    ['"\ud83d\ude00"'],
    ["[1e308,-0,1.5,9007199254740993]"],
    ['{"__proto__":{"a":1},"constructor":"c","a":1,"a":2}'],
    [nested(MAX_DEPTH)],
  ])("%s is read as ever", (text) => {
    expect(parseStrict(text)).toEqual(JSON.parse(text));
  });

  test("what is written has no halves of pairs, and is else as JSON.stringify has it", () => {
    const text = fc.string({
      unit: fc.constantFrom("a", "\\", '"', "u", "d8", "\ud83d", "\ude00", "\udfff", "\n"),
    });
    const value = fc.letrec((tie) => ({
      any: fc.oneof(text, fc.integer(), fc.array(tie("any")), fc.dictionary(text, tie("any"))),
    })).any;
    const mended = (item: unknown): unknown => {
      if (typeof item === "string") return item.toWellFormed();
      if (Array.isArray(item)) return item.map(mended);
      if (typeof item !== "object" || item === null) return item;
      return Object.fromEntries(
        Object.entries(item).map(([key, inner]) => [key.toWellFormed(), mended(inner)]),
      );
    };
    fc.assert(
      fc.property(value, (given) => {
        const json = stringifyStrict(given);
        expect(parseStrict(json)).toEqual(mended(given));
        if (JSON.stringify(given) === JSON.stringify(mended(given))) expect(json).toBe(JSON.stringify(given));
      }),
      { numRuns: 2000 },
    );
  });

  test("refs that are numbers keep their digits, or are none", () => {
    for (const fine of ["1", null, true, 0, -1.5, 2 ** 53 - 1, [1, { a: 2 }]])
      expect(hasExactNumbers(fine)).toBe(true);
    for (const not of [2 ** 53, -(2 ** 53), 1e300, [1, { a: 2 ** 60 }]])
      expect(hasExactNumbers(not)).toBe(false);
  });
});

const v2 = (joinRef: string, ref: string, topic: string, event: string, payload: string): string =>
  `[${joinRef},${ref},${topic},${event},${payload}]`;
const v1 = (joinRef: string, ref: string, topic: string, event: string, payload: string): string =>
  `{"join_ref":${joinRef},"ref":${ref},"topic":${topic},"event":${event},"payload":${payload}}`;
const HALF_TEXT = String.raw`"\ud800"`;

describe.each([0, 1])("a room with %i shards", (shards) => {
  let server: TestServer;
  beforeAll(async () => {
    const module = new URL("../fixtures/socket.ts", import.meta.url);
    server = await startServer({
      shards,
      checkOrigin: false,
      sockets: {
        "/socket": { module },
        "/patient": { module, invalidFrames: "reply" },
        "/supabase": { module, serializers: [["supabase_json", "~> 2.0.0"]] },
      },
    });
  });
  afterAll(() => server.stop());
  const at = (mount: string, vsn: string): string =>
    `ws://127.0.0.1:${server.port}/${mount}/websocket?vsn=${vsn}`;

  /** A client of another who reads what it gets as it came. */
  async function observe(topic: string): Promise<{ client: RawClient; texts: string[] }> {
    const client = await RawClient.connect(server.url);
    const texts: string[] = [];
    client.ws.on("message", (data: Buffer) => void texts.push(data.toString()));
    client.send("o", "o", topic, "phx_join", {});
    await client.until(1);
    return { client, texts };
  }

  const BAD: readonly (readonly [string, (topic: string, frame: typeof v2) => string])[] = [
    [
      "half of a pair in a payload",
      (topic, frame) => frame('"1"', '"2"', topic, '"shout"', `{"a":${HALF_TEXT}}`),
    ],
    ["half of a pair in an event", (topic, frame) => frame('"1"', '"2"', topic, HALF_TEXT, "{}")],
    ["half of a pair in a topic", (_topic, frame) => frame('"1"', '"2"', HALF_TEXT, '"shout"', "{}")],
    ["half of a pair in a ref", (topic, frame) => frame('"1"', HALF_TEXT, topic, '"shout"', "{}")],
    ["a number beyond a double", (topic, frame) => frame('"1"', '"2"', topic, '"shout"', '{"n":1e999}')],
    ["a ref beyond 2^53", (topic, frame) => frame('"1"', "9007199254740993", topic, '"shout"', "{}")],
    ["a join_ref beyond 2^53", (topic, frame) => frame("9007199254740993", '"2"', topic, '"shout"', "{}")],
    ["deep nesting", (topic, frame) => frame('"1"', '"2"', topic, '"shout"', `{"a":${nested(100_000)}}`)],
    ["a deeply nested ref", (topic, frame) => frame('"1"', nested(100_000), topic, '"shout"', "{}")],
    [
      "half of a pair in an unjoined topic's payload",
      (_t, frame) => frame("null", '"2"', '"room:no"', '"x"', HALF_TEXT),
    ],
    [
      "half of a pair in a heartbeat",
      (_t, frame) => frame("null", '"2"', '"phoenix"', '"heartbeat"', `[${HALF_TEXT}]`),
    ],
    [
      "half of a pair in a join",
      (_t, frame) => frame('"3"', '"3"', '"room:other"', '"phx_join"', `[${HALF_TEXT}]`),
    ],
  ];

  describe.each([
    ["2.0.0", "socket", v2],
    ["1.0.0", "socket", v1],
    ["2.0.0", "supabase", v2],
  ] as const)("protocol %s at /%s", (vsn, mount, frame) => {
    test.each(BAD)("%s is the sender's trouble alone", async (_what, bad) => {
      const topic = `room:strict ${shards} ${vsn} ${mount}`;
      const { client: other, texts } = await observe(topic);
      const sender = await RawClient.connect(at(mount, vsn));
      sender.sendRaw(frame('"1"', '"1"', `"${topic}"`, '"phx_join"', "{}"));
      await sender.until(1);
      sender.sendRaw(bad(`"${topic}"`, frame));
      expect(await sender.untilClosed()).toEqual({ code: 1011, reason: "invalid frame" });
      other.send("o", "e", topic, "echo", {});
      await other.frame((seen: unknown[]) => seen[1] === "e");
      expect(texts.filter((text) => text.includes("shout"))).toEqual([]);
      other.ws.terminate();
    });
  });

  test("a patient mount answers a frame that is not strict, and the connection stays", async () => {
    const topic = `room:patient ${shards}`;
    const client = await RawClient.connect(at("patient", "2.0.0"));
    client.send("1", "1", topic, "phx_join", {});
    await client.frame((frame: unknown[]) => frame[1] === "1");
    for (const [, bad] of BAD) client.sendRaw(bad(`"${topic}"`, v2));
    client.send("1", "end", topic, "echo", {});
    await client.frame((frame: unknown[]) => frame[1] === "end");
    const errors = (client.frames as unknown[][]).filter(
      ([, , , , payload]) =>
        (payload as { response?: { reason?: string } }).response?.reason === "invalid frame",
    );
    expect(errors).toHaveLength(BAD.length);
    client.ws.terminate();
  });

  test("Supabase's binary frame with half of a pair is refused", async () => {
    const client = await RawClient.connect(at("supabase", "2.0.0"));
    const texts = ["1", "2", "room:b", "e", ""].map((text) => Buffer.from(text));
    const bad = Buffer.from(`{"a":${HALF_TEXT}}`);
    client.sendRaw(Buffer.concat([Buffer.from([3, ...texts.map(({ length }) => length), 1]), ...texts, bad]));
    expect((await client.untilClosed()).code).toBe(1011);
  });

  test.each(["2.0.0", "1.0.0"])(
    "halves of pairs that a handler sends arrive as U+FFFD, protocol %s",
    async (vsn) => {
      const topic = `room:halves ${shards} ${vsn}`;
      const client = await RawClient.connect(at("socket", vsn));
      const texts: string[] = [];
      client.ws.on("message", (data: Buffer) => void texts.push(data.toString()));
      const frame = vsn === "1.0.0" ? v1 : v2;
      client.sendRaw(frame('"1"', '"1"', `"${topic}"`, '"phx_join"', "{}"));
      client.sendRaw(frame('"1"', '"2"', `"${topic}"`, '"half"', "{}"));
      await expect.poll(() => texts.filter((text) => text.includes("whole"))).toHaveLength(3);
      for (const text of texts) {
        expect(text.replaceAll("\\\\", "")).not.toMatch(HALF);
        if (text.includes("whole"))
          expect(text).toContain(
            '"key \ufffd":"half \ufffd of \\\\udfff","whole":"\ud83d\ude00"'.replaceAll("\ufffd", "\\ufffd"),
          );
      }
      client.ws.terminate();
    },
  );

  test("keys such as __proto__ come back as they were sent, and change nothing else", async () => {
    const topic = `room:proto ${shards}`;
    const client = await RawClient.connect(server.url);
    const texts: string[] = [];
    client.ws.on("message", (data: Buffer) => void texts.push(data.toString()));
    const payload = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"a":2}';
    client.send("1", "1", topic, "phx_join", {});
    client.sendRaw(`["1","2","${topic}","echo",${payload}]`);
    client.sendRaw(`["1","3","${topic}","shout",${payload.replace('"a":2', '"a":1,"a":2')}]`);
    await client.frame((frame: unknown[]) => frame[3] === "shout");
    expect(texts).toContain(`["1","2","${topic}","phx_reply",{"status":"ok","response":${payload}}]`);
    expect(texts).toContain(`[null,null,"${topic}","shout",${payload}]`);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    client.ws.terminate();
  });
});
