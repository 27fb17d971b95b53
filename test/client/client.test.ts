import { type Client, connect, ReplyError } from "simurgh/client";
import { afterAll, afterEach, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import { WebSocket } from "ws";
import { startServer, type TestServer } from "../channels/support.js";
import type { shopChannel } from "./shop-socket.js";

describe("the typed client", () => {
  let server: TestServer;
  let client: Client;
  beforeAll(async () => {
    server = await startServer({
      sockets: { "/socket": { module: new URL("./shop-socket.ts", import.meta.url) } },
    });
  });
  afterAll(() => server.stop());
  const open = (): Client => {
    client = connect(`ws://127.0.0.1:${server.port}/socket`, { transport: WebSocket as never });
    return client;
  };
  afterEach(() => client.disconnect());

  test("params, replies, events and pushes have the types of the server", async () => {
    const shop = open().channel<typeof shopChannel>("shop:1", { name: "Ann" });
    const welcome = await shop.join();
    expectTypeOf(welcome).toExtend<{ readonly topic: string; readonly welcome: string }>();
    expect(welcome).toEqual({ topic: "shop:1", welcome: "hello Ann" });
    const added = new Promise<{ item: string; by: string }>((resolve) => shop.on("added", resolve));
    const { total } = await shop.push("add", { item: "tea", count: 3 });
    expectTypeOf(total).toEqualTypeOf<number>();
    expect(total).toBe(6);
    expect(await added).toEqual({ item: "tea", by: "someone" });
    // The default of the schema is the server's: the client may leave it out.
    expect(await shop.push("add", { item: "tea" })).toEqual({ total: 2 });
    const found = await shop.push("find", { text: "tea" });
    expectTypeOf(found).toEqualTypeOf<string[]>();
    expect(found).toEqual(["tea!"]);
    await shop.leave();
  });

  test("what does not fit does not compile", () => {
    const never = async (): Promise<void> => {
      // @ts-expect-error: another topic
      client.channel<typeof shopChannel>("room:1", { name: "Ann" });
      // @ts-expect-error: the params are missing
      client.channel<typeof shopChannel>("shop:1");
      // @ts-expect-error: the name is a text
      client.channel<typeof shopChannel>("shop:1", { name: 7 });
      const shop = client.channel<typeof shopChannel>("shop:1", { name: "Ann" });
      // @ts-expect-error: no such event
      await shop.push("remove", {});
      // @ts-expect-error: the count is a number
      await shop.push("add", { item: "tea", count: "three" });
      // @ts-expect-error: nothing of that name is pushed
      shop.on("removed", () => {});
      // @ts-expect-error: the total is a number
      const text: string = (await shop.push("add", { item: "tea" })).total;
      shop.on("hint", ({ text: hint }) => expectTypeOf(hint).toEqualTypeOf<string>());
      void text;
    };
    expect(never).toBeTypeOf("function");
  });

  const WRONG: readonly (readonly [string, "add" | "find" | "rate", unknown])[] = [
    ["zod", "add", { item: 5 }],
    ["valibot", "find", { text: "x" }],
    ["arktype", "rate", { stars: 9 }],
  ];
  for (const [library, event, payload] of WRONG) {
    test(`a payload that a schema of ${library} refuses is answered with the issues`, async () => {
      const shop = open().channel<typeof shopChannel>("shop:1", { name: "Ann" });
      await shop.join();
      const failure = (await shop
        .push(event, payload as never)
        .catch((error: unknown) => error)) as ReplyError;
      expect(failure).toBeInstanceOf(ReplyError);
      expect(failure.status).toBe("error");
      expect(failure.response).toEqual({
        reason: "invalid_payload",
        code: "invalid_payload",
        issues: [
          expect.objectContaining({ message: expect.any(String), path: [Object.keys(payload as object)[0]] }),
        ],
      });
    });
  }

  test("refused params and error replies reject with their response", async () => {
    const empty = open().channel<typeof shopChannel>("shop:1", { name: "" });
    await expect(empty.join()).rejects.toMatchObject({ response: { reason: "invalid_payload" } });
    await empty.leave();
    const noOne = client.channel<typeof shopChannel>("shop:2", { name: "noOne" });
    await expect(noOne.join()).rejects.toMatchObject({
      status: "error",
      response: { reason: "unauthorized" },
    });
    await noOne.leave();
    const shop = client.channel<typeof shopChannel>("shop:3", { name: "Ann" });
    await shop.join();
    await expect(shop.push("rate", { stars: 1 })).rejects.toMatchObject({ response: { why: "too few" } });
    const hint = new Promise((resolve) => shop.on("hint", resolve));
    await expect(shop.push("rate", { stars: 5 }, 50)).rejects.toMatchObject({ status: "timeout" });
    expect(await hint).toEqual({ text: "thanks" });
  });

  test("a removed listener gets nothing more", async () => {
    const shop = open().channel<typeof shopChannel>("shop:1", () => ({ name: "Ann" }));
    await shop.join();
    const received: unknown[] = [];
    const stop = shop.on("added", (each) => received.push(each));
    await shop.push("add", { item: "one" });
    stop();
    shop.send("add", { item: "two" });
    await shop.push("find", { text: "sync" });
    expect(received).toEqual([{ item: "one", by: "someone" }]);
  });
});
