/**
 * Every limit is on by default, an option of the mount, counted each time, and logged once a
 * connection.
 */
import { request } from "node:http";
import { connect as netConnect } from "node:net";
import { BroadcastChannel } from "node:worker_threads";
import type { Mount } from "simurgh/channels";
import { telemetry } from "simurgh/runtime";
import { afterEach, describe, expect, test, vi } from "vitest";
import { RawClient, startServer, type TestServer } from "../support.js";

const module = new URL("../fixtures/limited-socket.ts", import.meta.url);
let server: TestServer;
let hits: string[];
let detach: () => void;
const start = async (mount: Partial<Mount>, shards = 0): Promise<void> => {
  hits = [];
  detach = telemetry.attach("phoenix.limit", ({ metadata }) => void hits.push(metadata.limit as string));
  server = await startServer({ checkOrigin: false, shards, sockets: { "/socket": { module, ...mount } } });
};
afterEach(async () => {
  detach();
  await server.stop();
});
const logged = (part: string): number =>
  server.reports.filter((report) => report.kind === "notice" && report.text.includes(part)).length;

describe("limits", () => {
  test("the size of a frame: closed with 1009", async () => {
    await start({ websocket: { maxFrameSize: 100 } });
    const client = await RawClient.connect(server.url);
    client.send("1", "1", "room:1", "phx_join", { long: "x".repeat(200) });
    expect((await client.untilClosed()).code).toBe(1009);
    expect(hits).toEqual(["frame_size"]);
    expect(logged("frame_size")).toBe(1);
  });

  test("topics, joins and messages of a connection are limited and logged once", async () => {
    await start({
      maxChannelsPerTransport: 2,
      joinRate: { perSecond: 1, burst: 6 },
      messageRate: { perSecond: 1, burst: 2 },
    });
    const client = await RawClient.connect(server.url);
    for (let n = 0; n < 8; n += 1) client.send(`${n}`, `${n}`, `room:${n}`, "phx_join", {});
    await client.until(8);
    for (let n = 0; n < 4; n += 1) client.send("0", `m${n}`, "room:0", "echo", {});
    await client.until(12);
    expect(hits).toEqual([...new Array(4).fill("topics"), "joins", "joins", "messages", "messages"]);
    expect(logged("may join 2 topics")).toBe(1);
    expect(logged("exceeds the rate of its mount")).toBe(1);
  });

  test("bytes that wait for a client who does not read: closed with 1013", async () => {
    await start({ websocket: { maxBufferedBytes: 100_000 } });
    const client = await RawClient.connect(server.url);
    client.send("1", "1", "room:1", "phx_join", {});
    await client.until(1);
    client.ws.pause();
    client.send("1", "2", "room:1", "flood", {});
    await vi.waitFor(() => expect(hits).toContain("outbound_bytes"), 5000);
    expect(logged("outbound_bytes")).toBe(1);
    client.ws.terminate();
  });

  test("a client that does not read is closed with 1013 without delaying others", async () => {
    await start({ messageRate: false }, 1);
    const [slow, ...others] = await Promise.all([1, 2, 3].map(() => RawClient.connect(server.url)));
    for (const client of [slow as RawClient, ...others]) {
      client.send("1", "1", "room:1", "phx_join", {});
      await client.until(1);
    }
    slow?.ws.pause();
    // As soon as it has been given up it may read, and see what became of it.
    const resume = telemetry.attach("phoenix.limit", () => slow?.ws.resume());
    const data = "x".repeat(50_000);
    // How long the others wait beside it, and without it.
    const waits: [beside: number[], without: number[]] = [[], []];
    // What waits for the slow one: 15 MB, of which the kernel takes some.
    for (let n = 0; n < 300; n += 1) {
      const from = performance.now();
      others[0]?.send("1", `${n}`, "room:1", "shout", { n, data });
      await Promise.all(others.map((client) => client.until(n + 2, 30_000)));
      waits[hits.length === 0 ? 0 : 1].push(performance.now() - from);
    }
    const [beside, without] = waits.map(
      (all) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)] as number,
    ) as [number, number];
    expect(waits[1].length).toBeGreaterThan(20);
    expect(beside).toBeLessThan(5 * without + 20);
    for (const client of others)
      expect(
        client.frames.slice(1).map((frame) => (frame as [null, null, string, string, { n: number }])[4].n),
      ).toEqual(Array.from({ length: 300 }, (_, n) => n));
    expect((await slow?.untilClosed(30_000))?.code).toBe(1013);
    resume();
    expect(hits).toEqual(["outbound_bytes"]);
    expect(others.map(({ closed }) => closed)).toEqual([undefined, undefined]);
    for (const client of others) client.ws.terminate();
  }, 120_000);

  test.each([
    [0, { maxWaiting: 50 }],
    [1, { maxWaiting: 50 }],
    [1, { maxWaitingBytes: 10_000 }],
  ])("a connection that is held back always continues, with %i shards and %o", async (shards, bounds) => {
    // The client shares its thread with the server, and may be late to read 18 MB of replies.
    await start({ messageRate: false, websocket: { maxBufferedBytes: 64 * 1024 * 1024 }, ...bounds }, shards);
    const client = await RawClient.connect(server.url);
    // Each channel keeps to itself how many it has handled, up to a point.
    const [topics, each] = [40, 90];
    const data = "x".repeat(5000);
    for (let topic = 0; topic < topics; topic += 1) {
      client.send("1", `j${topic}`, `room:${topic}`, "phx_join", {});
      for (let n = 0; n < each; n += 1)
        client.send("1", `${topic}-${n}`, `room:${topic}`, "echo", { n, data });
    }
    await client.until(topics * (each + 1), 60_000);
    for (let topic = 0; topic < topics; topic += 1) {
      const refs = (client.frames as unknown[][])
        .filter((frame) => frame[2] === `room:${topic}`)
        .map(([, ref]) => ref);
      expect(refs).toEqual([`j${topic}`, ...Array.from({ length: each }, (_, n) => `${topic}-${n}`)]);
    }
    client.ws.terminate();
  });

  test.each([0, 1.5, -1, "many"])("maxWaiting cannot be %o", async (maxWaiting) => {
    hits = [];
    detach = () => {};
    await expect(
      startServer({ sockets: { "/socket": { module, maxWaiting: maxWaiting as number } } }),
    ).rejects.toThrow("maxWaiting of the socket /socket must be a positive integer");
    await start({});
  });

  test.each([0, 1])(
    "a client faster than its channel is slowed down by TCP, with %i shards",
    async (shards) => {
      await start({ messageRate: false }, shards);
      const [eager, other] = await Promise.all([
        RawClient.connect(server.url),
        RawClient.connect(server.url),
      ]);
      for (const [n, client] of [eager, other].entries()) {
        client.send("1", "1", `room:${n}`, "phx_join", {});
        await client.until(1);
      }
      const data = "x".repeat(20_000);
      const count = 2000;
      // Sends the next one as soon as the kernel has taken the last.
      let sent = 0;
      const pump = (): void => {
        if (sent === count) return;
        eager.ws.send(JSON.stringify(["1", `${sent}`, "room:0", "gated", { n: sent, data }]), pump);
        sent += 1;
      };
      pump();
      // Until no more is taken off it while someone else is served.
      let [before, quiet] = [-1, 0];
      for (let n = 0; quiet < 50; n += 1) {
        other.send("1", `e${n}`, "room:1", "echo", { n });
        await other.until(n + 2);
        quiet = sent === before ? quiet + 1 : 0;
        before = sent;
      }
      // Of 40 MB the server takes about 5, and the kernel keeps some.
      expect(sent).toBeLessThan(count * 0.6);
      const gate = new BroadcastChannel(`limits ${process.pid}`);
      gate.postMessage("open");
      const replies = (await eager.until(count + 1, 60_000)).slice(1) as [
        string,
        string,
        string,
        string,
        { response: { n: number } },
      ][];
      expect(replies.map(([, , , , { response }]) => response.n)).toEqual(
        Array.from({ length: count }, (_, n) => n),
      );
      expect(hits).toEqual([]);
      gate.close();
      eager.ws.terminate();
      other.ws.terminate();
    },
    120_000,
  );

  test("a long-poll session is bounded by its channels' windows", async () => {
    await start({ messageRate: false, maxWaiting: 50, longpoll: { windowMs: 500 } }, 1);
    const base = `http://127.0.0.1:${server.port}/socket/longpoll?vsn=2.0.0`;
    const { token } = (await (await fetch(base)).json()) as { token: string };
    const url = `${base}&token=${token}`;
    const refs: unknown[] = [];
    const polled = (async () => {
      while (!refs.includes("last")) {
        const { messages = [] } = (await (await fetch(url)).json()) as { messages?: string[] };
        for (const text of messages) refs.push((JSON.parse(text) as unknown[])[1]);
      }
    })();
    const post = async (frames: readonly unknown[][]): Promise<number> => {
      const headers = { "content-type": "application/x-ndjson" };
      const body = frames.map((frame) => JSON.stringify(frame)).join("\n");
      return ((await (await fetch(url, { method: "POST", headers, body })).json()) as { status: number })
        .status;
    };
    const gated = (name: string, count: number): unknown[][] =>
      Array.from({ length: count }, (_, n) => ["1", `${name}${n}`, "room:1", "gated", { n }]);
    expect(await post([["1", "join", "room:1", "phx_join", {}]])).toBe(200);
    // A channel may have handled 64 without a word; of more than that 50 may wait.
    expect(await post(gated("a", 100))).toBe(200);
    expect(await post(gated("b", 100))).toBe(408);
    expect(await post(gated("c", 1))).toBe(408);
    expect(await Promise.all([post(gated("d", 1)), post(gated("e", 1))])).toEqual([408, 408]);
    const gate = new BroadcastChannel(`limits ${process.pid}`);
    gate.postMessage("open");
    await expect.poll(() => post([["1", "last", "room:1", "echo", {}]]), { timeout: 10_000 }).toBe(200);
    await polled;
    const [a, b] = [gated("a", 100), gated("b", 14)].map((frames) => frames.map(([, ref]) => ref));
    expect(refs).toEqual(["join", ...(a as string[]), ...(b as string[]), "last"]);
    gate.close();
  });

  test("the time of a handshake, connect included: 408", async () => {
    await start({ websocket: { handshakeMs: 50 } });
    await expect(RawClient.connect(`${server.url}&slow=1`)).rejects.toThrow("408");
    expect(hits).toEqual(["handshake_time"]);
  });

  test("the size and the time of a long-poll body: 400, or cut off", async () => {
    await start({ longpoll: { maxBodySize: 100, bodyMs: 60 } });
    const url = `http://127.0.0.1:${server.port}/socket/longpoll?vsn=2.0.0`;
    const { token } = (await (await fetch(url)).json()) as { token: string };
    const large = await fetch(`${url}&token=${token}`, { method: "POST", body: "x".repeat(200) });
    expect(large.status).toBe(400);
    const ended = new Promise<void>((resolve) => {
      const sent = request(`${url}&token=${token}`, { method: "POST", headers: { "content-length": 50 } });
      sent.on("error", () => resolve());
      sent.on("response", () => resolve());
      sent.write("half");
    });
    await ended;
    expect(hits).toEqual(["body_size", "body_time"]);
  });

  test("a silent connection is ended by the HTTP server, and delays no client", async () => {
    await start({});
    const silent = netConnect(server.port, "127.0.0.1");
    const client = await RawClient.connect(server.url);
    expect(await client.settle()).toEqual([]);
    silent.destroy();
  });
});
