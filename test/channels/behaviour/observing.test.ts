/**
 * What can be seen of an endpoint from outside: log lines, telemetry, introspection; and
 * connections that are ended.
 */

import fc from "fast-check";
import {
  assign,
  type ChannelSocket,
  Debug,
  defineChannel,
  Endpoint,
  filterParams,
  joined,
  noreply,
  reply,
} from "simurgh/channels";
import { isAlive, type NodeOptions, type Pid, type Report, sys, telemetry } from "simurgh/runtime";
import { afterEach, describe, expect, test, vi } from "vitest";
import { channelTest } from "../../support/patient-channel-test.js";
import { RawClient, startServer, type TestServer } from "../support.js";

const module = new URL("../fixtures/observed-socket.ts", import.meta.url);
let server: TestServer;
const detach: (() => void)[] = [];
afterEach(async () => {
  for (const stop of detach.splice(0)) stop();
  await server?.stop();
});

const start = async (
  mount: object = {},
  options: object = {},
  node: NodeOptions = {},
): Promise<TestServer> => {
  server = await startServer({ sockets: { "/socket": { module, ...mount } }, ...options }, node);
  return server;
};
const connect = (query = ""): Promise<RawClient> => RawClient.connect(`${server.url}${query}`);
const texts = (level?: string): string[] =>
  server.reports
    .filter((report): report is Extract<Report, { kind: "notice" }> => report.kind === "notice")
    .filter((report) => level === undefined || report.level === level)
    .map(({ text }) => text);
/** Every event of that name in this thread. */
function events(name: string): telemetry.TelemetryEvent[] {
  const seen: telemetry.TelemetryEvent[] = [];
  detach.push(telemetry.attach(name, (event) => void seen.push(event)));
  return seen;
}

describe("log lines", () => {
  test("a connect reports transport, serializer and filtered params (C-210)", async () => {
    await start();
    await connect("&user=7&password=hunter2&nested[api_token]=x");
    await expect(connect("&refuse=1")).rejects.toThrow("403");
    const [let_in, refused] = texts("info");
    expect(let_in).toMatch(
      /^CONNECTED TO \/socket in \d+(µs|ms)\n {2}Transport: websocket\n {2}Serializer: v2_json\n {2}Parameters: \{/,
    );
    expect(let_in).toContain('"user":"7","password":"[FILTERED]","nested":{"api_token":"[FILTERED]"}');
    expect(refused).toMatch(/^REFUSED CONNECTION TO \/socket in /);
    expect(JSON.stringify(server.reports)).not.toContain("hunter2");
  });

  test("its level is an option of the socket and of the transport, and may be off (C-210)", async () => {
    await start({ log: "warning" });
    await connect();
    expect(texts("warning")[0]).toContain("CONNECTED TO");
    await server.stop();
    await start({ log: "warning", websocket: { log: false } });
    await connect();
    expect(texts()).toEqual([]);
  });

  test("joins log at info, events at debug, topics of phoenix never (C-211, C-133)", async () => {
    await start({ log: false }, {}, { logLevel: "debug" });
    const client = await connect();
    client.send("1", "1", "room:1", "phx_join", { token: "secret" });
    client.send("1", "2", "room:1", "echo", { a: 1, password: "p" });
    client.send("2", "3", "refuse:1", "phx_join", {});
    client.send("3", "4", "loud:1", "phx_join", {});
    client.send("3", "5", "loud:1", "echo", {});
    client.send("4", "6", "phoenix:1", "phx_join", {});
    client.send("4", "7", "phoenix:1", "echo", {});
    await client.until(7);
    const lines = texts().map((text) => text.replace(/in \d+(µs|ms)/, "in T"));
    expect(lines).toEqual([
      'JOINED room:1 in T\n  Parameters: {"token":"[FILTERED]"}',
      'HANDLED echo INCOMING ON room:1 (room:*) in T\n  Parameters: {"a":1,"password":"[FILTERED]"}',
      "REFUSED JOIN refuse:1 in T\n  Parameters: {}",
      "HANDLED echo INCOMING ON loud:1 (loud:*) in T\n  Parameters: {}",
    ]);
    expect(texts("info").filter((text) => text.includes("JOIN"))).toHaveLength(2);
    expect(texts("warning").filter((text) => text.includes("loud:1"))).toHaveLength(1);
  });

  test("what is filtered is an option: other words, or all but some keys (C-213)", async () => {
    await start({}, { filterParameters: { keep: ["user", "vsn"] } });
    await connect("&user=7&other=x&list[]=1");
    expect(texts("info")[0]).toContain(
      '{"vsn":"2.0.0","user":"7","other":"[FILTERED]","list":["[FILTERED]"]}',
    );
  });

  test("the filter covers keys and texts that contain a word, at any depth (C-213)", () => {
    const when = new Date(0);
    const value = {
      password: 1,
      "user[password]": 2,
      Password: 3,
      deep: [{ my_token_x: [1] }],
      form: "a=1&token=2",
      when,
    };
    expect(filterParams(value)).toEqual({
      password: "[FILTERED]",
      "user[password]": "[FILTERED]",
      Password: 3,
      deep: [{ my_token_x: "[FILTERED]" }],
      form: "[FILTERED]",
      when,
    });
    expect(filterParams(value, [])).toEqual(value);
    expect(filterParams({ a: { b: 1 }, c: { a: 2, d: 3 }, e: [4, { a: [5] }] }, { keep: ["a"] })).toEqual({
      a: { b: 1 },
      c: { a: 2, d: "[FILTERED]" },
      e: ["[FILTERED]", { a: [5] }],
    });
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(JSON.stringify(filterParams({ token: json }))).toBe('{"token":"[FILTERED]"}');
      }),
    );
  });

  test("the raw request, without query, cookies and authorization (C-215)", async () => {
    await start({ log: false, transportLog: "warning" });
    await RawClient.connect(`${server.url}&token=t`, { cookie: "c=1", authorization: "a", "x-mine": "1" });
    expect(texts("warning")).toEqual(["GET /socket/websocket HTTP/1.1"]);
    const report = server.reports.find((each) => "text" in each && each.text.startsWith("GET"));
    expect(JSON.stringify(report)).toContain('"x-mine":"1"');
    expect(JSON.stringify(report)).not.toMatch(/c=1|"authorization"|token=t/);
  });

  test("a channel's process info has topic and ref, not what its client sent (C-214)", async () => {
    await start();
    const client = await connect();
    client.send("1", "1", "room:1", "phx_join", { password: "hunter2" });
    await client.until(1);
    await server.run(async () => {
      const [socket] = await Debug.listSockets("endpoint");
      const channels = await Debug.listChannels(socket?.pid as Pid);
      const [, [channel]] = channels as readonly ["ok", readonly { pid: Pid }[]];
      const shown = JSON.stringify(await sys.getStatus((channel as { pid: Pid }).pid));
      expect(shown).toContain("room:1");
      expect(shown).not.toContain("hunter2");
    });
  });
});

describe("telemetry", () => {
  test("a connect that passed negotiation, let in or refused (C-204)", async () => {
    await start({ connectInfo: ["userAgent"] });
    const seen = events("phoenix.socket_connected");
    await RawClient.connect(`${server.url}&user=7`, { "user-agent": "me" });
    await expect(connect("&refuse=1")).rejects.toThrow("403");
    await expect(RawClient.connect(server.url.replace("2.0.0", "9.0.0"))).rejects.toThrow("403");
    expect(seen).toHaveLength(2);
    expect(seen[0]?.measurements.duration).toBeGreaterThan(0);
    expect(seen[0]?.metadata).toMatchObject({
      endpoint: "endpoint",
      path: "/socket",
      transport: "websocket",
      params: { user: "7", vsn: "2.0.0" },
      connectInfo: { userAgent: "me" },
      vsn: "2.0.0",
      serializer: "v2_json",
      result: "ok",
      log: "info",
    });
    expect(seen[1]?.metadata.result).toBe("error");
  });

  test("joins and handled events are measured, crashes and runtime events not (C-205, C-206)", async () => {
    await start();
    const joins = events("phoenix.channel_joined");
    const handled = events("phoenix.channel_handled_in");
    const client = await connect();
    client.send("1", "1", "room:1", "phx_join", { p: 1 });
    client.send("1", "2", "room:1", "echo", { a: 1 });
    client.send("2", "3", "refuse:1", "phx_join", {});
    client.send("3", "4", "crash:1", "phx_join", {});
    client.send("5", "5", "no one:1", "phx_join", {});
    client.send(null, "6", "phoenix", "heartbeat", {});
    client.send("1", "7", "room:1", "boom", {});
    await client.until(7);
    client.send("6", "8", "room:1", "phx_join", {});
    client.send("6", "9", "room:1", "phx_leave", {});
    await client.until(10);
    expect(
      joins.map(({ metadata }) => [
        (metadata.socket as ChannelSocket).topic,
        metadata.params,
        metadata.result,
      ]),
    ).toEqual([
      ["room:1", { p: 1 }, "ok"],
      ["refuse:1", {}, "error"],
      ["room:1", {}, "ok"],
    ]);
    expect(handled.map(({ metadata }) => [metadata.event, metadata.params, metadata.ref])).toEqual([
      ["echo", { a: 1 }, "2"],
    ]);
    expect(handled[0]?.measurements.duration).toBeGreaterThanOrEqual(0);
  });

  test("the start of an endpoint, and each round of its draining (C-207, C-208, C-212)", async () => {
    const init = events("phoenix.endpoint_init");
    const drains = events("phoenix.socket_drain");
    await start({}, { drainer: { batchSize: 2, batchIntervalMs: 30, shutdownMs: 5000 } });
    expect(init[0]?.measurements.systemTime).toBeGreaterThan(0);
    expect(init[0]?.metadata).toMatchObject({ endpoint: "endpoint", config: { sockets: ["/socket"] } });
    const clients = await Promise.all([connect(), connect(), connect(), connect(), connect()]);
    const count = await server.run(() => Endpoint.drain("endpoint"));
    expect(count).toBe(5);
    expect(drains.map(({ measurements }) => measurements)).toEqual([
      { count: 2, total: 5, index: 1, rounds: 3 },
      { count: 2, total: 5, index: 2, rounds: 3 },
      { count: 1, total: 5, index: 3, rounds: 3 },
    ]);
    for (const client of clients) expect((await client.untilClosed()).code).toBe(1012);
    expect(texts("info")).toContain(
      "DRAINING 2 of 5 total connection(s) for endpoint every 30ms - round 1 of 3",
    );
    await expect(connect()).rejects.toThrow("503");
  });

  test("the end of a channel and of a connection, with the reason (C-209)", async () => {
    await start();
    const channels = events("phoenix.channel_ended");
    const transports = events("phoenix.transport_closed");
    const client = await connect("&user=7");
    for (const topic of ["room:1", "room:2"]) client.send("1", "1", topic, "phx_join", {});
    client.send("1", "2", "room:1", "phx_leave", {});
    await client.until(4);
    client.close();
    await vi.waitFor(() => expect(channels).toHaveLength(2));
    await vi.waitFor(() => expect(transports).toHaveLength(1));
    expect(
      channels.map(({ metadata }) => [(metadata.socket as ChannelSocket).topic, metadata.reason]),
    ).toEqual([
      ["room:1", ["shutdown", "left"]],
      ["room:2", ["shutdown", "closed"]],
    ]);
    expect(transports[0]?.metadata).toEqual({
      endpoint: "endpoint",
      transport: "websocket",
      id: "users:7",
      reason: "normal",
    });
  });
});

describe.each([0, 1])("looking inside, with %i shards (C-143)", (shards) => {
  test("sockets and their channels are listed while they are alive (C-143)", async () => {
    await start({}, { shards });
    const client = await connect("&user=7");
    for (const topic of ["room:1", "room:2"]) client.send("1", "1", topic, "phx_join", {});
    await client.until(2);
    const seen = await server.run(async () => {
      const sockets = await Debug.listSockets("endpoint");
      const pid = sockets[0]?.pid as Pid;
      const [status, channels] = (await Debug.listChannels(pid)) as readonly [
        "ok",
        readonly { pid: Pid; topic: string; status: string }[],
      ];
      const channel = channels[0]?.pid as Pid;
      expect([await Debug.isSocket(pid), await Debug.isChannel(pid), await Debug.isSocket("x")]).toEqual([
        true,
        false,
        false,
      ]);
      expect([await Debug.isSocket(channel), await Debug.isChannel(channel)]).toEqual([false, true]);
      const socket = await Debug.socket(channel);
      expect(socket).toMatchObject([
        "ok",
        { topic: "room:1", assigns: { user: "7" }, joinRef: "1", id: "users:7" },
      ]);
      expect(await Debug.socket(pid)).toEqual(["error", "not_alive"]);
      return { sockets, status, channels, pid };
    });
    expect(seen.sockets).toEqual([
      { pid: seen.pid, module: "/socket", id: "users:7", transport: "websocket" },
    ]);
    expect(seen.channels.map(({ topic, status }) => [topic, status])).toEqual([
      ["room:1", "joined"],
      ["room:2", "joined"],
    ]);
    client.close();
    await vi.waitFor(() => server.run(() => expect(isAlive(seen.pid)).toBe(false)));
    expect(await server.run(() => Debug.listChannels(seen.pid))).toEqual(["error", "not_alive"]);
    expect(await server.run(() => Debug.listSockets("endpoint"))).toEqual([]);
  });
});

describe("a client's right to be here", () => {
  test("ends when it was said to: the connection is closed with 4401", async () => {
    await start();
    const client = await connect("&for=60");
    client.send("1", "1", "room:1", "phx_join", {});
    await client.until(1);
    expect(await client.untilClosed()).toEqual({ code: 4401, reason: "session expired" });
  });

  test("over before the handshake is done: 4401, and no long-poll session is left", async () => {
    await start({ longpoll: { windowMs: 60_000 } }, { shards: 2, drainer: { shutdownMs: 100 } });
    const numbers = Array.from({ length: 40 }, (_, n) => n);
    const clients = await Promise.all(numbers.map((n) => connect(`&for=-1000&user=${n}`)));
    const codes = await Promise.all(clients.map(async (client) => (await client.untilClosed()).code));
    expect(new Set(codes)).toEqual(new Set([4401]));
    const url = `http://127.0.0.1:${server.port}/socket/longpoll?vsn=2.0.0`;
    expect(await (await fetch(`${url}&for=-1000`)).json()).toEqual({ status: 403 });
    for (const n of numbers) await (await fetch(`${url}&for=1&user=${n}`)).json();
    await expect
      .poll(async () => (await server.run(() => Endpoint.info("endpoint"))).connections, { timeout: 10_000 })
      .toBe(0);
  });

  test("is extended by a channel that was shown a fresh token, and may be made to last", async () => {
    await start();
    const client = await connect("&for=150");
    client.send("1", "1", "room:1", "phx_join", {});
    client.send("1", "2", "room:1", "extend", { ms: 10_000 });
    await client.until(2);
    const short = await connect("&for=100");
    expect((await short.untilClosed()).code).toBe(4401);
    expect(client.closed).toBeUndefined();
    client.send("1", "3", "room:1", "extend", { ms: 20 });
    expect((await client.untilClosed()).code).toBe(4401);
  });

  test("is revoked by the user's id, now", async () => {
    await start();
    const [one, two] = [await connect("&user=7"), await connect("&user=8")];
    await server.run(() => Endpoint.disconnect("endpoint", "users:7"));
    expect((await one.untilClosed()).code).toBe(1001);
    await two.settle();
    expect(two.closed).toBeUndefined();
  });
});

test(
  "a channel's helpers are the same objects in tests: assigns stay plain",
  channelTest(
    {
      connect: (_params, socket) => ({ type: "ok", socket }),
      channels: [
        defineChannel("room:*", {
          join: (_topic: string, _params: unknown, socket: ChannelSocket) => joined(assign(socket, "a", 1)),
          handleIn: {
            get: (_payload: unknown, socket: ChannelSocket) => reply("ok", socket.assigns, socket),
            none: (_payload: unknown, socket: ChannelSocket) => noreply(socket),
          },
        }),
      ],
    },
    async (t) => {
      const { socket } = await t.subscribeAndJoin(t.socket(), "room:1");
      await t.assertReply(t.push(socket, "get"), "ok", { a: 1 });
    },
  ),
);
