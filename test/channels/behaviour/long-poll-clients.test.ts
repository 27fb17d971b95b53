/**
 * Four generations of Phoenix's own client over long-poll, with the param `token` that so many
 * applications take, let in and refused in every way. A client waits longer from one failure to the
 * next, and begins to count again whenever a session has begun: as long as it is refused its count
 * must only rise.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import * as current from "phoenix";
import { Endpoint, type LongPollOptions } from "simurgh/channels";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { FetchXhr } from "../../support/fetch-xhr.js";
import { revoke } from "../fixtures/token-param-socket.js";
import { outcome, startServer, type TestServer } from "../support.js";

type Phoenix = typeof current;
const CLIENTS: readonly (readonly [string, () => Promise<Phoenix>])[] = [
  // @ts-expect-error: old releases have no types
  ["1.6", () => import("phoenix-1.6")],
  // @ts-expect-error: as above
  ["1.7", () => import("phoenix-1.7")],
  // @ts-expect-error: as above
  ["1.8.12", () => import("phoenix-1.8.12")],
  ["1.8.16", async () => current],
];
const module = new URL("../fixtures/token-param-socket.ts", import.meta.url);
const start = (longpoll: LongPollOptions = {}, secret = "s".repeat(64)): Promise<TestServer> =>
  startServer({
    checkOrigin: false,
    gateways: 1,
    secret,
    sockets: { "/socket": { module, longpoll: { windowMs: 5000, ...longpoll } } },
  });

beforeAll(() => {
  // What a browser has and the older clients use.
  vi.stubGlobal("self", globalThis);
  vi.stubGlobal("XMLHttpRequest", FetchXhr);
});
afterAll(() => vi.unstubAllGlobals());

describe.each(CLIENTS)("phoenix %s over long-poll", (version, load) => {
  let undo: (() => unknown)[] = [];
  afterEach(async () => {
    for (const one of undo.splice(0).reverse()) await one();
    undo = [];
  });
  const serve = async (...how: Parameters<typeof start>): Promise<TestServer> => {
    const server = await start(...how);
    undo.push(() => server.stop());
    return server;
  };

  /** A client, and how often in a row it has failed each time it was about to wait. */
  async function connect(port: number, token: string): Promise<{ socket: current.Socket; tries: number[] }> {
    const { Socket, LongPoll } = await load();
    const tries: number[] = [];
    const socket = new Socket(`http://127.0.0.1:${port}/socket`, {
      transport: LongPoll as never,
      params: { token },
      reconnectAfterMs(count: number) {
        tries.push(count);
        return 5;
      },
      rejoinAfterMs: () => 5,
    } as never);
    undo.push(() => socket.disconnect());
    socket.connect();
    return { socket, tries };
  }
  /** It waits longer each time; some generations say so twice for one failure. */
  const backsOff = async (tries: readonly number[]): Promise<void> => {
    await expect.poll(() => tries.at(-1), { timeout: 10_000, interval: 5 }).toBeGreaterThan(5);
    expect(tries).toEqual(tries.toSorted((a, b) => a - b));
  };

  test("the application's param `token` next to the session's is kept over polls", async () => {
    const { port } = await serve({ windowMs: 5000 });
    const { socket, tries } = await connect(port, "good-ann");
    const channel = socket.channel("room:1");
    await outcome(channel.join());
    for (let n = 0; n < 5; n += 1) expect(await outcome(channel.push("who", {}))).toEqual({ user: "ann" });
    expect(tries).toEqual([]);
  });

  test("a token that is refused backs off", async () => {
    const { port } = await serve();
    await backsOff((await connect(port, "bad")).tries);
  });

  test("a session that was ended, its token revoked, backs off", async () => {
    const server = await serve();
    const token = `good-${version.replaceAll(".", "")}`;
    const { socket, tries } = await connect(server.port, token);
    const channel = socket.channel("room:1");
    await outcome(channel.join());
    revoke(token);
    await server.run(() => Endpoint.disconnect("endpoint", `users:${token.slice(5)}`));
    await backsOff(tries);
  });

  test("too many sessions of a network or user back off and are let in later", async () => {
    for (const options of [
      { maxSessionsPerNetwork: 1 },
      { maxSessionsPerId: 1 },
      { sessionRate: { perSecond: 0.001, burst: 1 } },
    ]) {
      const server = await serve(options);
      const first = await connect(server.port, "good-ann");
      await outcome(first.socket.channel("room:1").join());
      const second = await connect(server.port, "good-ann");
      await backsOff(second.tries);
      expect(first.tries).toEqual([]);
      first.socket.disconnect();
      if (!("sessionRate" in options)) await outcome(second.socket.channel("room:1").join());
      second.socket.disconnect();
    }
  });

  test("a server that stops sends it away, and it backs off", async () => {
    const server = await serve();
    const { socket, tries } = await connect(server.port, "good-ann");
    await outcome(socket.channel("room:1").join());
    await server.run(() => Endpoint.drain("endpoint", {}));
    await backsOff(tries);
  });

  test("a session of another server begins again once, by its token", async () => {
    const servers = [
      await serve({ windowMs: 1000 }, "a".repeat(64)),
      await serve({ windowMs: 1000 }, "b".repeat(64)),
    ] as const;
    let at = 0;
    let requests = 0;
    const { port } = await forwarding(() => {
      requests += 1;
      return servers[at]?.port as number;
    });
    const { socket, tries } = await connect(port, "good-ann");
    const channel = socket.channel("room:1");
    await outcome(channel.join());
    at = 1;
    const before = requests;
    // Before 1.8 a client that is given a new session does not join its channels again, whichever
    // server gives it.
    if (version >= "1.8")
      await expect
        .poll(
          () =>
            outcome(channel.push("who", {}, 100)).then(
              () => true,
              () => false,
            ),
          { timeout: 10_000 },
        )
        .toBe(true);
    else await expect.poll(() => requests - before, { timeout: 10_000 }).toBeGreaterThan(2);
    expect(tries.length).toBeLessThanOrEqual(1);
  });

  /** Sends each request on to a port that is asked for each time. */
  async function forwarding(target: () => number): Promise<{ port: number }> {
    const proxy = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", async () => {
        try {
          const { method = "GET" } = request;
          const answer = await fetch(`http://127.0.0.1:${target()}${request.url}`, {
            method,
            headers: { "content-type": request.headers["content-type"] ?? "text/plain" },
            ...(method === "POST" ? { body: Buffer.concat(chunks) } : {}),
          });
          response.writeHead(answer.status).end(await answer.text());
        } catch {
          response.destroy();
        }
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    undo.push(() => {
      proxy.closeAllConnections();
      proxy.close();
    });
    return { port: (proxy.address() as AddressInfo).port };
  }
});
