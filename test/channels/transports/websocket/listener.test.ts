/** What leaves a WebSocket connection, as its clients see it. */
import { Endpoint } from "simurgh/channels";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { RawClient, startServer, type TestServer } from "../../support.js";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    sockets: {
      "/socket": { module: new URL("../../fixtures/socket.ts", import.meta.url), messageRate: false },
    },
  });
});
afterAll(() => server.stop());

test("broadcasts in shared writes reach each client in order, once", async () => {
  const clients = await Promise.all(Array.from({ length: 40 }, () => RawClient.connect(server.url)));
  await Promise.all(
    clients.map(async (client) => {
      client.send("1", "1", "room:many", "phx_join", {});
      // Its join reply, and what the channel pushes after it.
      await client.until(2);
    }),
  );
  const [sender] = clients as [RawClient];
  for (let n = 1; n <= 100; n += 1) {
    sender.send("1", null, "room:many", "shout", { n });
    // Some come together and some alone.
    if (n % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  sender.send("1", "last", "room:many", "echo", {});
  const said = (frames: readonly unknown[]): unknown[] =>
    (frames as [unknown, unknown, unknown, string, { n: number }][])
      .filter(([, , , event]) => event === "shout")
      .map(([, , , , { n }]) => n);
  const all = Array.from({ length: 100 }, (_, index) => index + 1);
  await Promise.all(
    clients.map(async (client) => {
      await client.until(client === sender ? 103 : 102, 60_000);
      expect(said(client.frames)).toEqual(all);
    }),
  );
  expect(sender.frames[102]).toMatchObject(["1", "last", "room:many", "phx_reply", {}]);
  for (const client of clients) client.ws.close();
});

describe("a silent client", () => {
  const times = { pingMs: 40, pongMs: 200 };
  const module = new URL("../../fixtures/socket.ts", import.meta.url);
  const serve = (websocket: object, mount: object = {}): Promise<TestServer> =>
    startServer({ sockets: { "/socket": { module, ...mount, websocket } } });

  test("is pinged, and closed with 1002 unless it answers", async () => {
    const own = await serve({ timeout: 60_000, ...times });
    const answering = await RawClient.connect(own.url);
    const half = new RawClient(new WebSocket(own.url, { autoPong: false }));
    let pings = 0;
    answering.ws.on("ping", () => {
      pings += 1;
    });
    expect(await half.untilClosed()).toEqual({ code: 1002, reason: "no answer to a ping" });
    // Several times as long as a client without answers is kept.
    await expect.poll(() => pings).toBeGreaterThan(15);
    expect(answering.closed).toBeUndefined();
    answering.close();
    await own.stop();
  });

  test("answers to pings do not count as messages for the timeout", async () => {
    const own = await serve({ timeout: 600, ...times });
    const client = await RawClient.connect(own.url);
    const talking = await RawClient.connect(own.url);
    const beat = setInterval(() => talking.send(null, "1", "phoenix", "heartbeat", {}), 60);
    let pings = 0;
    client.ws.on("ping", () => {
      pings += 1;
    });
    expect(await client.untilClosed()).toEqual({ code: 1002, reason: "idle timeout" });
    expect(pings).toBeGreaterThan(1);
    expect(talking.closed).toBeUndefined();
    clearInterval(beat);
    await own.stop();
  });

  test("is not pinged where the mount has it so, nor while it speaks", async () => {
    const own = await serve({ timeout: 600, pingMs: false });
    const client = await RawClient.connect(own.url);
    let pings = 0;
    client.ws.on("ping", () => {
      pings += 1;
    });
    expect((await client.untilClosed()).reason).toBe("idle timeout");
    expect(pings).toBe(0);
    await own.stop();
  });

  test("whom the server itself does not read is not given up for saying nothing", async () => {
    const own = await serve({ timeout: 60_000, pingMs: 20, pongMs: 20, inboundHighWater: 2 });
    const client = await RawClient.connect(own.url);
    client.send("1", "1", "room:1", "phx_join", {});
    await client.until(2);
    // Its frames wait while the channel is busy; so would its answers.
    for (let n = 0; n < 200; n += 1) client.send("1", `${n}`, "room:1", "slow", { ms: 2 });
    await client.until(202);
    expect(client.closed).toBeUndefined();
    client.close();
    await own.stop();
  });

  test("whom the server does not read is noticed to have gone", async () => {
    const own = await serve({ pingMs: 20 }, { maxWaiting: 8 });
    const client = await RawClient.connect(own.url);
    client.send("1", "1", "room:1", "phx_join", {});
    await client.until(2);
    // More than may wait behind an event that takes longer than the test: what follows is not read,
    // the end neither.
    const data = "x".repeat(1000);
    const sent = Array.from({ length: 300 }, (_, n) => {
      const frame = JSON.stringify(["1", `${n}`, "room:1", "slow", { ms: 600_000, data }]);
      return new Promise((resolve) => client.ws.send(frame, resolve));
    });
    await Promise.all(sent);
    client.ws.terminate();
    await expect
      .poll(async () => (await own.run(() => Endpoint.info("endpoint"))).connections, { timeout: 10_000 })
      .toBe(0);
    await own.stop();
  });
});
