import { LongPoll, Socket as PhoenixSocket } from "phoenix";
import { Endpoint, type Mount } from "simurgh/channels";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { outcome, RawClient, startServer, type TestServer } from "../../support.js";

const module = new URL("../../fixtures/socket.ts", import.meta.url);
const mount: Mount = { module, longpoll: { windowMs: 300 }, authToken: true };

describe.each([0, 2])("long-poll with %i shards", (shards) => {
  let server: TestServer;
  let base: string;
  let topics = 0;
  beforeAll(async () => {
    server = await startServer({ shards, sockets: { "/socket": mount } });
    base = `http://127.0.0.1:${server.port}/socket/longpoll`;
  });
  afterAll(() => server.stop());
  const fresh = (): string => {
    topics += 1;
    return `room:lp${topics}`;
  };

  interface Answer {
    readonly status: number;
    readonly token?: string;
    readonly messages?: string[];
  }

  /** One request; every answer must be HTTP 200 with the headers all answers have. */
  async function ask(
    method: string,
    query: string,
    body?: string,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await fetch(`${base}?${query}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect([
      response.headers.get("cache-control"),
      response.headers.get("access-control-allow-origin"),
    ]).toEqual(["no-store", "*"]);
    return (await response.json()) as Answer;
  }

  class Poller {
    readonly token: string;
    readonly frames: unknown[] = [];

    constructor(token: string) {
      this.token = token;
    }

    static async open(query = "vsn=2.0.0&"): Promise<Poller> {
      const answer = await ask("GET", query);
      expect(answer).toEqual({ status: 410, token: expect.any(String), messages: [] });
      return new Poller(answer.token as string);
    }

    get query(): string {
      return `vsn=2.0.0&token=${encodeURIComponent(this.token)}`;
    }

    send(...frame: unknown[]): Promise<Answer> {
      return ask("POST", this.query, JSON.stringify(frame), { "content-type": "application/json" });
    }

    async poll(): Promise<Answer> {
      const answer = await ask("GET", this.query);
      this.frames.push(...(answer.messages ?? []).map((text) => JSON.parse(text)));
      return answer;
    }

    /** Polls until `count` frames have come. */
    async until(count: number): Promise<unknown[]> {
      for (let polls = 0; this.frames.length < count; polls += 1) {
        if (polls > 20) throw new Error(`${count} frames did not come: ${JSON.stringify(this.frames)}`);
        await this.poll();
      }
      return this.frames.slice(0, count);
    }
  }

  test("a session: begin, join, poll, publish, poll (C-145, C-146, C-148, C-149)", async () => {
    const topic = fresh();
    const client = await Poller.open();
    expect(await client.send("1", "1", topic, "phx_join", { name: "poll" })).toEqual({ status: 200 });
    expect(await client.until(2)).toEqual([
      ["1", "1", topic, "phx_reply", { status: "ok", response: {} }],
      ["1", null, topic, "welcome", { name: "poll" }],
    ]);
    await client.send("1", "2", topic, "shout", { n: 1 });
    expect((await client.until(3))[2]).toEqual([null, null, topic, "shout", { n: 1 }]);
  });

  test("a poll ends with 204 at its window, and with the first frame before (C-149)", async () => {
    const client = await Poller.open();
    const begun = performance.now();
    expect(await client.poll()).toEqual({ status: 204, token: client.token, messages: [] });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(290);
    const waiting = client.poll();
    await client.send(null, "7", "phoenix", "heartbeat", {});
    expect(await waiting).toEqual({
      status: 200,
      token: client.token,
      messages: ['[null,"7","phoenix","phx_reply",{"status":"ok","response":{}}]'],
    });
  });

  test("whatever refuses a connection is status 403 without a token (C-146, C-003, C-057, C-165)", async () => {
    for (const query of ["vsn=3.0.0", "vsn[]=2.0.0", "vsn=2.0.0&reject=true", "vsn=2.0.0&ratelimit=true"])
      expect(await ask("GET", query)).toEqual({ status: 403 });
    expect(await ask("GET", "vsn=2.0.0", undefined, { origin: "http://evil.example" })).toEqual({
      status: 403,
    });
    const crash = await fetch(`${base}?vsn=2.0.0&crash=true`);
    expect(crash.status).toBe(500);
  });

  test("the token header wins over the query, and a false token begins again (C-147, C-150, C-156, C-168)", async () => {
    const client = await Poller.open();
    const tampered = `${client.token.slice(0, -2)}xx`;
    for (const token of ["", "null", "nonsense", tampered, "a.b.c"]) {
      const answer = await ask("GET", `vsn=2.0.0&token=${token}`);
      expect(answer.status).toBe(410);
      expect(answer.token).not.toBe(client.token);
      expect(await ask("POST", `vsn=2.0.0&token=${token}`, "[]")).toEqual({ status: 410 });
    }
    await client.send(null, "1", "phoenix", "heartbeat", {});
    const byHeader = await ask("GET", "vsn=2.0.0&token=other", undefined, {
      "x-phoenix-longpoll-token": client.token,
    });
    expect(byHeader).toMatchObject({ status: 200, token: client.token });
  });

  test("ndjson: frames and Base64 lines in order, the first hundred of them (C-151, C-152, C-153, C-163)", async () => {
    const topic = fresh();
    const client = await Poller.open();
    await client.send("1", "1", topic, "phx_join", {});
    await client.until(2);
    const binary = Buffer.concat([
      Buffer.from([0, 1, 1, topic.length, 4]),
      Buffer.from(`1b${topic}info`),
    ]).toString("base64");
    const lines = [
      JSON.stringify(["1", "a", topic, "echo", { n: 1 }]),
      binary,
      "",
      `${JSON.stringify(["stale", "s", topic, "echo", {}])}\r`,
      ...Array.from({ length: 120 }, (_, n) => JSON.stringify(["1", `n${n}`, topic, "echo", { n }])),
    ];
    expect(
      await ask("POST", client.query, lines.join("\n"), {
        "content-type": "application/x-ndjson; charset=utf-8",
      }),
    ).toEqual({ status: 200 });
    const replies = (await client.until(2 + 2 + 97)).slice(2).map((frame) => (frame as unknown[])[1]);
    expect(replies).toEqual(["a", "b", ...Array.from({ length: 97 }, (_, n) => `n${n}`)]);
    expect((await client.poll()).status).toBe(204);
  });

  test("a broken frame ends the session: its POST is not acknowledged, the next is 410 (C-036, C-155)", async () => {
    const client = await Poller.open();
    expect(await ask("POST", client.query, "no json")).toEqual({ status: 408 });
    expect(await ask("POST", client.query, "[]")).toEqual({ status: 410 });
    expect((await ask("GET", client.query)).token).not.toBe(client.token);
  });

  test("a session that is not polled ends, and POSTs do not keep it (C-157)", async () => {
    const client = await Poller.open();
    await expect
      .poll(() => client.send(null, "1", "phoenix", "heartbeat", {}), { timeout: 10_000, interval: 100 })
      .toEqual({ status: 410 });
  });

  test("disconnect by id tells the poll that waits, at once (C-138, C-158)", async () => {
    const client = await Poller.open("vsn=2.0.0&user_id=lp9&");
    const waiting = client.poll();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const begun = performance.now();
    await server.run(() => Endpoint.disconnect("endpoint", "users:lp9"));
    expect(await waiting).toEqual({ status: 410 });
    expect(performance.now() - begun).toBeLessThan(250);
  });

  test("only the newest poll gets frames, and the older one ends with 204 (C-159)", async () => {
    const client = await Poller.open();
    const [older, newer] = [
      client.poll(),
      new Promise((resolve) => setTimeout(resolve, 20)).then(() => client.poll()),
    ];
    await new Promise((resolve) => setTimeout(resolve, 60));
    await client.send(null, "1", "phoenix", "heartbeat", {});
    expect((await older).status).toBe(204);
    expect((await newer).messages).toHaveLength(1);
  });

  test("a binary frame to a long-poll client is dropped and logged (C-162)", async () => {
    const topic = fresh();
    const client = await Poller.open();
    await client.send("1", "1", topic, "phx_join", {});
    await client.send("1", "2", topic, "noreply", {});
    const binary = Buffer.concat([
      Buffer.from([0, 1, 1, topic.length, 3]),
      Buffer.from(`1b${topic}bin`),
    ]).toString("base64");
    await ask("POST", client.query, binary, { "content-type": "application/x-ndjson" });
    await client.send("1", "3", topic, "echo", {});
    expect(((await client.until(3))[2] as unknown[])[1]).toBe("3");
    // From another thread it comes a little later.
    await vi.waitFor(
      () =>
        expect(
          server.reports.some(
            (report) =>
              report.kind === "notice" && report.text.includes("binary frame cannot be sent over long-poll"),
          ),
        ).toBe(true),
      10_000,
    );
  });

  test("OPTIONS, other methods and oversize bodies have real statuses (C-164, C-145)", async () => {
    const options = await fetch(base, {
      method: "OPTIONS",
      headers: { "access-control-request-headers": "x-a, x-b" },
    });
    expect([
      options.status,
      options.headers.get("access-control-allow-headers"),
      options.headers.get("access-control-allow-methods"),
    ]).toEqual([200, "x-a, x-b", "get, post, options"]);
    expect((await fetch(base, { method: "PUT" })).status).toBe(400);
    const client = await Poller.open();
    const large = await fetch(`${base}?${client.query}`, {
      method: "POST",
      body: "x".repeat(8_000_001),
    }).catch(() => undefined);
    if (large !== undefined) expect(large.status).toBe(400);
  });

  test("both transports share a room, and a channel is the same on either (C-166, C-109)", async () => {
    const topic = fresh();
    const poller = await Poller.open();
    await poller.send("1", "1", topic, "phx_join", { name: "poll" });
    await poller.until(2);
    const raw = await RawClient.connect(server.url);
    raw.send("1", "1", topic, "phx_join", { name: "ws" });
    await raw.until(2);
    raw.send("1", "2", topic, "shout", { from: "ws" });
    expect((await poller.until(3))[2]).toEqual([null, null, topic, "shout", { from: "ws" }]);
    await poller.send("1", "2", topic, "shout_from", { from: "poll" });
    expect((await raw.until(4))[3]).toEqual([null, null, topic, "shout", { from: "poll" }]);
    await poller.send("1", "3", topic, "phx_leave", {});
    expect((await poller.until(6)).slice(3).map((frame) => (frame as unknown[])[3])).toEqual([
      "phx_reply",
      "phx_close",
      "you left",
    ]);
    raw.close();
  });

  test("the official client works over long-poll and reconnects (C-183, C-181)", async () => {
    const topic = fresh();
    const socket = new PhoenixSocket(`http://127.0.0.1:${server.port}/socket`, {
      transport: LongPoll as never,
      params: { user_id: `official${shards}` },
      reconnectAfterMs: () => 30,
      rejoinAfterMs: () => 30,
    } as never);
    socket.connect();
    const channel = socket.channel(topic, { name: "official" });
    let joins = 0;
    const push = channel.join();
    push.receive("ok", () => {
      joins += 1;
    });
    await outcome(push);
    expect(await outcome(channel.push("echo", { a: 1 }))).toEqual({ a: 1 });
    const shouted = new Promise((resolve) => channel.on("shout", resolve));
    channel.push("shout", { n: 1 });
    expect(await shouted).toEqual({ n: 1 });
    await server.run(() => Endpoint.disconnect("endpoint", `users:official${shards}`));
    await expect.poll(() => joins, { timeout: 5000 }).toBe(2);
    await outcome(channel.leave());
    socket.disconnect();
  });
});

test("requests to other paths go to the listeners before", async () => {
  const server = await startServer({ sockets: { "/socket": mount } });
  expect((await fetch(`http://127.0.0.1:${server.port}/elsewhere`)).status).toBe(404);
  await server.stop();
});

test("an abandoned session gives way to another of the same socket id", async () => {
  const server = await startServer({
    gateways: 1,
    sockets: { "/socket": { ...mount, longpoll: { maxSessionsPerId: 2, windowMs: 20_000 } } },
  });
  const url = `http://127.0.0.1:${server.port}/socket/longpoll?vsn=2.0.0&user_id=1`;
  const begin = async (): Promise<{ status: number; token: string }> => (await fetch(url)).json() as never;
  const [polled, left] = [await begin(), await begin()];
  const leaving = new AbortController();
  const poll = fetch(`${url}&token=${polled.token}`, { signal: leaving.signal }).catch(() => undefined);
  // As soon as it is plain that no one polls it.
  await expect.poll(async () => (await begin()).status, { interval: 50 }).toBe(410);
  const send = (token: string): Promise<Response> =>
    fetch(`${url}&token=${token}`, { method: "POST", body: '[null,"1","phoenix","heartbeat",{}]' });
  expect(await (await send(left.token)).json()).toEqual({ status: 410 });
  expect(await (await send(polled.token)).json()).toEqual({ status: 200 });
  await poll;
  leaving.abort();
  await server.stop();
});

test("a refused session gets the time to come back, by HTTP 429 or 503", async () => {
  const server = await startServer({
    gateways: 1,
    sockets: { "/socket": { ...mount, longpoll: { maxSessionsPerNetwork: 1 } } },
  });
  const url = `http://127.0.0.1:${server.port}/socket/longpoll?vsn=2.0.0`;
  expect(await (await fetch(url)).json()).toMatchObject({ status: 410 });
  const full = await fetch(url);
  expect([full.status, full.headers.get("retry-after"), await full.json()]).toEqual([
    429,
    "5",
    { status: 500, reason: "too_many_sessions", code: "too_many_sessions" },
  ]);
  await server.run(() => Endpoint.drain("endpoint"));
  const draining = await fetch(url);
  expect([draining.status, draining.headers.get("retry-after"), await draining.json()]).toEqual([
    503,
    "1",
    { status: 500, reason: "draining", code: "draining" },
  ]);
  await server.stop();
});
