import type { Channel as PhoenixChannel } from "phoenix";
import { Endpoint } from "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { exit, type Pid } from "simurgh/runtime";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { threadName } from "#runtime";
import { outcome, phoenixSocket, RawClient, startServer, type TestServer } from "../support.js";

describe.each([0, 2])("an endpoint with %i shards", (shards) => {
  let server: TestServer;
  let topics = 0;
  beforeAll(async () => {
    server = await startServer({ shards });
  });
  afterAll(() => server.stop());

  /** A topic of its own for each test. */
  const fresh = (): string => {
    topics += 1;
    return `room:${topics}`;
  };
  const connect = (query = ""): Promise<RawClient> => RawClient.connect(server.url + query);

  async function joinedClient(topic: string, params: object = {}): Promise<RawClient> {
    const client = await connect();
    client.send("1", "1", topic, "phx_join", params);
    await client.until(2);
    return client;
  }

  test("a heartbeat is answered before any join, with the ref as it came (C-033, C-008)", async () => {
    const client = await connect();
    client.send(null, "7", "phoenix", "heartbeat", {});
    client.send("x", 8, "phoenix", "heartbeat", null);
    expect(await client.until(2)).toEqual([
      [null, "7", "phoenix", "phx_reply", { status: "ok", response: {} }],
      [null, 8, "phoenix", "phx_reply", { status: "ok", response: {} }],
    ]);
    client.close();
  });

  test("a join is answered first, then come the channel's pushes (C-100, C-012, C-106)", async () => {
    const topic = fresh();
    const client = await connect();
    client.send("3", "4", topic, "phx_join", { name: "ann", reply: { hello: 1 } });
    expect(await client.until(2)).toEqual([
      ["3", "4", topic, "phx_reply", { status: "ok", response: { hello: 1 } }],
      ["3", null, topic, "welcome", { name: "ann" }],
    ]);
    client.close();
  });

  test("a client without vsn speaks 1.0.0: objects in and out, no join_ref needed (C-001, C-015, C-019)", async () => {
    const topic = fresh();
    const client = await RawClient.connect(`ws://127.0.0.1:${server.port}/socket/websocket`);
    const other = await joinedClient(topic);
    client.sendRaw(JSON.stringify({ topic, event: "phx_join", payload: { name: "old" }, ref: "1" }));
    expect(await client.until(2)).toEqual([
      { topic, event: "phx_reply", payload: { status: "ok", response: {} }, ref: "1" },
      { topic, event: "welcome", payload: { name: "old" }, ref: null },
    ]);
    client.sendRaw(JSON.stringify({ topic, event: "echo", payload: [1], ref: "2" }));
    expect((await client.until(3))[2]).toEqual({
      topic,
      event: "phx_reply",
      payload: { status: "ok", response: [1] },
      ref: "2",
    });
    client.sendRaw(JSON.stringify({ topic, event: "shout", payload: { n: 1 }, ref: "3" }));
    expect((await client.until(4))[3]).toEqual({ topic, event: "shout", payload: { n: 1 }, ref: null });
    expect((await other.until(3))[2]).toEqual([null, null, topic, "shout", { n: 1 }]);
    client.sendRaw(JSON.stringify({ topic, event: "phx_leave", payload: {}, ref: "4" }));
    expect((await client.until(7)).slice(4)).toEqual([
      { topic, event: "phx_reply", payload: { status: "ok", response: {} }, ref: "4" },
      { topic, event: "phx_close", payload: {}, ref: null },
      { topic, event: "you left", payload: {}, ref: null },
    ]);
    client.sendRaw("[]");
    expect((await client.untilClosed()).code).toBe(1011);
    other.close();
  });

  test("a refused and a crashed join differ, and leave nothing behind (C-101, C-102)", async () => {
    const topic = fresh();
    const client = await connect();
    client.send("1", "1", topic, "phx_join", { refuse: true });
    await client.until(1);
    client.send("2", "2", topic, "phx_join", { crash: true });
    client.send("2", "3", topic, "echo", {});
    const frames = await client.until(3);
    expect(frames).toContainEqual([
      "1",
      "1",
      topic,
      "phx_reply",
      { status: "error", response: { reason: "unauthorized" } },
    ]);
    expect(frames).toContainEqual([
      "2",
      "2",
      topic,
      "phx_reply",
      { status: "error", response: { reason: "join crashed", code: "join_crashed" } },
    ]);
    expect(frames).toContainEqual([
      null,
      "3",
      topic,
      "phx_reply",
      { status: "error", response: { reason: "unmatched topic", code: "unmatched_topic" } },
    ]);
    client.close();
  });

  test("unjoined and unserved topics answer unmatched topic, and a leave ok (C-037, C-038, C-039)", async () => {
    const client = await connect();
    client.send("9", "1", "room:never", "echo", {});
    client.send("9", "2", "no one:1", "phx_join", {});
    client.send("9", "3", "room:never", "phx_leave", {});
    expect(await client.until(3)).toEqual([
      [
        null,
        "1",
        "room:never",
        "phx_reply",
        { status: "error", response: { reason: "unmatched topic", code: "unmatched_topic" } },
      ],
      [
        null,
        "2",
        "no one:1",
        "phx_reply",
        { status: "error", response: { reason: "unmatched topic", code: "unmatched_topic" } },
      ],
      ["9", "3", "room:never", "phx_reply", { status: "ok", response: {} }],
    ]);
    client.close();
  });

  test("events are answered with their ref: at once, with any status, later and often (C-111, C-113, C-121)", async () => {
    const topic = fresh();
    const client = await joinedClient(topic);
    client.send("1", "2", topic, "echo", ["any", { json: null }]);
    client.send("1", "3", topic, "status", { status: "custom" });
    client.send("1", "4", topic, "later", { n: 2 });
    expect((await client.until(6)).slice(2)).toEqual([
      ["1", "2", topic, "phx_reply", { status: "ok", response: ["any", { json: null }] }],
      ["1", "3", topic, "phx_reply", { status: "custom", response: {} }],
      ["1", "4", topic, "phx_reply", { status: "ok", response: { n: 0 } }],
      ["1", "4", topic, "phx_reply", { status: "ok", response: { n: 1 } }],
    ]);
    client.close();
  });

  test("a broadcast reaches all clients, broadcastFrom all but the sender (C-013, C-123)", async () => {
    const topic = fresh();
    const ann = await joinedClient(topic);
    const bob = await joinedClient(topic);
    const other = await joinedClient(fresh());
    ann.send("1", "2", topic, "shout", { n: 1 });
    ann.send("1", "3", topic, "shout_from", { n: 2 });
    const first = [null, null, topic, "shout", { n: 1 }];
    const second = [null, null, topic, "shout", { n: 2 }];
    expect((await bob.until(4)).slice(2)).toEqual([first, second]);
    expect((await ann.settle()).slice(2)).toEqual([first]);
    expect((await other.settle()).slice(2)).toEqual([]);
    for (const client of [ann, bob, other]) client.close();
  });

  test("push, broadcast and push of a channel arrive in that order (C-122, R-008)", async () => {
    const topic = fresh();
    const client = await joinedClient(topic);
    for (let n = 0; n < 50; n += 1) client.send("1", String(n), topic, "push_then_shout", { n });
    const events = (await client.until(152))
      .slice(2)
      .map((frame) => [(frame as unknown[])[3], (frame as [0, 0, 0, 0, { n: number }])[4].n]);
    expect(events).toEqual(
      Array.from({ length: 50 }, (_, n) => [
        ["first", n],
        ["second", n],
        ["third", n],
      ]).flat(),
    );
    client.close();
  });

  test("a channel busy in a handler gets broadcasts, and heartbeats are answered (C-126)", async () => {
    const topic = fresh();
    const busy = await joinedClient(topic);
    const other = await joinedClient(topic);
    busy.send("1", "2", topic, "slow", { ms: 400 });
    other.send("1", "2", topic, "shout", { n: 1 });
    const frames = (await busy.settle()).slice(2);
    await busy.frame((frame: unknown[]) => frame[3] === "shout", 300);
    expect(frames.some((frame) => (frame as unknown[])[3] === "phx_reply")).toBe(false);
    await busy.frame((frame: unknown[]) => frame[1] === "2");
    busy.close();
    other.close();
  });

  test("an intercepted event goes through handleOut of each channel (C-128)", async () => {
    const topic = fresh();
    const ann = await joinedClient(topic, { name: "ann" });
    const bob = await joinedClient(topic, { name: "bob" });
    ann.send("1", "2", topic, "icept", { n: 1 });
    expect((await ann.until(3))[2]).toEqual(["1", null, topic, "icept", { n: 1, via: "ann" }]);
    expect((await bob.until(3))[2]).toEqual(["1", null, topic, "icept", { n: 1, via: "bob" }]);
    ann.close();
    bob.close();
  });

  test("a join may choose interception for its client alone", async () => {
    const topic = fresh();
    const ann = await joinedClient(topic, { name: "ann", options: { intercept: [] } });
    const bob = await joinedClient(topic, { name: "bob" });
    bob.send("1", "2", topic, "icept", { n: 1 });
    expect((await ann.until(3))[2]).toEqual([null, null, topic, "icept", { n: 1 }]);
    expect((await bob.until(3))[2]).toEqual(["1", null, topic, "icept", { n: 1, via: "bob" }]);
    const eve = await connect();
    eve.send("1", "1", topic, "phx_join", { name: "eve", options: { intercept: ["shout"] } });
    expect((await eve.until(1))[0]).toEqual([
      "1",
      "1",
      topic,
      "phx_reply",
      { status: "error", response: { reason: "join crashed", code: "join_crashed" } },
    ]);
    for (const client of [ann, bob, eve]) client.close();
  });

  test("leave: ok, phx_close, then what terminate pushes (C-119, C-136)", async () => {
    const topic = fresh();
    const client = await joinedClient(topic);
    client.send("1", "2", topic, "phx_leave", {});
    client.send("1", "3", topic, "echo", {});
    const frames = (await client.until(6)).slice(2);
    expect(frames.filter((frame) => (frame as unknown[])[1] !== "3")).toEqual([
      ["1", "2", topic, "phx_reply", { status: "ok", response: {} }],
      ["1", "1", topic, "phx_close", {}],
      ["1", null, topic, "you left", {}],
    ]);
    expect(frames).toContainEqual([
      null,
      "3",
      topic,
      "phx_reply",
      { status: "error", response: { reason: "unmatched topic", code: "unmatched_topic" } },
    ]);
    client.close();
  });

  test("a second join replaces the first: its reply, then the old close, then its pushes (C-109)", async () => {
    const topic = fresh();
    const client = await joinedClient(topic);
    client.send("2", "2", topic, "phx_join", { name: "again" });
    expect((await client.until(5)).slice(2)).toEqual([
      ["2", "2", topic, "phx_reply", { status: "ok", response: {} }],
      ["1", "1", topic, "phx_close", {}],
      ["2", null, topic, "welcome", { name: "again" }],
    ]);
    client.send("2", "3", topic, "shout", {});
    client.send("2", "4", topic, "echo", {});
    await client.frame((frame: unknown[]) => frame[1] === "4");
    expect(client.frames.slice(5, -1)).toEqual([[null, null, topic, "shout", {}]]);
    client.close();
  });

  test("leave and join back to back: one close for the old join, one live channel (C-110, C-174)", async () => {
    const topic = fresh();
    const client = await joinedClient(topic);
    client.send("1", "2", topic, "phx_leave", {});
    client.send("3", "3", topic, "phx_join", {});
    await client.frame((frame: unknown[]) => frame[0] === "3" && frame[3] === "welcome");
    const frames = await client.settle();
    expect(frames.filter((frame) => (frame as unknown[])[3] === "phx_close")).toEqual([
      ["1", "1", topic, "phx_close", {}],
    ]);
    client.send("3", "4", topic, "shout", {});
    client.send("3", "5", topic, "echo", {});
    await client.frame((frame: unknown[]) => frame[1] === "5");
    expect(client.frames.filter((frame) => (frame as unknown[])[3] === "shout")).toHaveLength(1);
    client.close();
  });

  test("a message of a former join is dropped silently, one without join_ref is taken (C-041, C-042)", async () => {
    const topic = fresh();
    const client = await joinedClient(topic);
    client.send("old", "2", topic, "echo", {});
    client.send("old", "3", topic, "phx_leave", {});
    client.send(null, "4", topic, "echo", { still: "here" });
    expect((await client.until(3))[2]).toEqual([
      "1",
      "4",
      topic,
      "phx_reply",
      { status: "ok", response: { still: "here" } },
    ]);
    expect(await client.settle()).toHaveLength(3);
    client.close();
  });

  test("a slow join delays no other client, and queues its messages in order (C-104, C-105)", async () => {
    const [slow, quick] = [fresh(), fresh()];
    const client = await connect();
    client.send("1", "1", slow, "phx_join", { slow_ms: 200 });
    client.send("1", "2", slow, "echo", { n: 1 });
    client.send("1", "3", slow, "echo", { n: 2 });
    client.send("2", "4", quick, "phx_join", {});
    await client.frame((frame: unknown[]) => frame[1] === "4");
    expect(client.frames.some((frame) => (frame as unknown[])[2] === slow)).toBe(false);
    await client.frame((frame: unknown[]) => frame[1] === "3");
    expect(
      client.frames
        .filter((frame) => (frame as unknown[])[2] === slow)
        .map((frame) => (frame as unknown[])[1]),
    ).toEqual(["1", null, "2", "3"]);
    const given = fresh();
    client.send("5", "5", given, "phx_join", { slow_ms: 60_000 });
    client.send("5", "6", given, "phx_leave", {});
    await client.frame((frame: unknown[]) => frame[1] === "6");
    client.send("7", "7", given, "phx_join", {});
    await client.frame((frame: unknown[]) => frame[1] === "7");
    // A join that is quick is answered first, then left, as it came.
    const both = fresh();
    client.send("8", "8", both, "phx_join", {});
    client.send("8", "9", both, "phx_leave", {});
    client.send("8", "10", both, "echo", {});
    await client.frame((frame: unknown[]) => frame[1] === "10");
    await client.frame((frame: unknown[]) => frame[2] === both && frame[3] === "you left");
    const ofBoth = (client.frames as unknown[][]).filter((frame) => frame[2] === both && frame[1] !== "10");
    expect(ofBoth.map((frame) => [frame[0], frame[1], frame[3]])).toEqual([
      ["8", "8", "phx_reply"],
      ["8", null, "welcome"],
      ["8", "9", "phx_reply"],
      ["8", "8", "phx_close"],
      ["8", null, "you left"],
    ]);
    client.close();
  });

  test("a handler that throws ends its channel with phx_error, others continue (C-046, C-117, C-135)", async () => {
    const [bad, good] = [fresh(), fresh()];
    const client = await joinedClient(bad);
    client.send("2", "2", good, "phx_join", {});
    await client.until(4);
    client.send("1", "3", bad, "boom", {});
    await client.frame((frame: unknown[]) => frame[3] === "phx_error");
    expect(client.frames).toContainEqual([
      "1",
      "1",
      bad,
      "phx_error",
      { reason: "channel_crash", code: "channel_crash" },
    ]);
    client.send("2", "4", good, "echo", {});
    await client.frame((frame: unknown[]) => frame[1] === "4");
    client.send("5", "5", bad, "phx_join", {});
    expect(await client.frame((frame: unknown[]) => frame[1] === "5")).toEqual([
      "5",
      "5",
      bad,
      "phx_reply",
      { status: "ok", response: {} },
    ]);
    client.send("5", "6", bad, "constructor", {});
    await client.frame((frame: unknown[]) => frame[0] === "5" && frame[3] === "phx_error");
    client.close();
  });

  test("an unawaited promise that rejects ends only its channel (R-091)", async () => {
    const [bad, good] = [fresh(), fresh()];
    const client = await joinedClient(bad);
    client.send("2", "2", good, "phx_join", {});
    await client.until(4);
    client.send("1", "3", bad, "float", {});
    await client.frame((frame: unknown[]) => frame[3] === "phx_error");
    client.send("2", "4", good, "echo", { n: 1 });
    expect(await client.frame((frame: unknown[]) => frame[1] === "4")).toEqual([
      "2",
      "4",
      good,
      "phx_reply",
      { status: "ok", response: { n: 1 } },
    ]);
    client.close();
  });

  test("stop: close after a planned end, error after another, a reply first (C-134)", async () => {
    const topic = fresh();
    const client = await joinedClient(topic);
    client.send("1", "2", topic, "stop_reply", {});
    expect((await client.until(4)).slice(2)).toEqual([
      ["1", "2", topic, "phx_reply", { status: "ok", response: { bye: true } }],
      ["1", "1", topic, "phx_close", {}],
    ]);
    client.send("3", "3", topic, "phx_join", {});
    await client.until(6);
    client.send("3", "4", topic, "stop", {});
    expect((await client.until(7))[6]).toEqual(["3", "3", topic, "phx_close", {}]);
    client.send("5", "5", topic, "phx_join", {});
    await client.until(9);
    client.send("5", "6", topic, "stop_bad", {});
    expect((await client.until(10))[9]).toEqual([
      "5",
      "5",
      topic,
      "phx_error",
      { reason: "channel_crash", code: "channel_crash" },
    ]);
    expect(await client.settle()).toHaveLength(10);
    client.close();
  });

  test("binary pushes are answered in binary, mixed with text (C-021, C-022, C-023, C-026)", async () => {
    const topic = fresh();
    const client = await joinedClient(topic);
    const head = [0, 1, 1, topic.length, 3];
    client.sendRaw(Buffer.concat([Buffer.from(head), Buffer.from(`12${topic}bin`), Buffer.from([1, 2])]));
    const [pushFrame, replyFrame] = (await client.until(4)).slice(2) as [Buffer, Buffer];
    expect(pushFrame).toEqual(
      Buffer.concat([Buffer.from([0, 1, topic.length, 3]), Buffer.from(`1${topic}bin`), Buffer.from([0, 1])]),
    );
    expect(replyFrame).toEqual(
      Buffer.concat([
        Buffer.from([1, 1, 1, topic.length, 2]),
        Buffer.from(`12${topic}ok`),
        Buffer.from([1, 2, 3, 4]),
      ]),
    );
    client.close();
  });

  test.each([
    ["no JSON", "not json"],
    ["an object", "{}"],
    ["too few elements", '["1","1","room:1","echo"]'],
    ["a payload that is no JSON", '["1","1","room:1","echo",{]'],
    ["a payload that is no JSON, to a join", '["1","1","room:broken","phx_join",{]'],
  ])("C-036 an invalid frame, %s, closes that connection with 1011 and no other", async (_what, frame) => {
    const other = await joinedClient(fresh());
    const client = await connect();
    client.sendRaw(frame);
    expect((await client.untilClosed()).code).toBe(1011);
    expect(await other.settle()).toHaveLength(2);
    other.close();
  });

  test("a connection may join 100 topics, and the next join is refused (C-103)", async () => {
    const client = await connect();
    for (let n = 0; n < 101; n += 1) client.send(String(n), String(n), `room:many-${n}`, "phx_join", {});
    const refusal = await client.frame((frame: unknown[]) => frame[1] === "100");
    expect(refusal).toEqual([
      "100",
      "100",
      "room:many-100",
      "phx_reply",
      { status: "error", response: { reason: "too many channels joined", code: "too_many_channels" } },
    ]);
    client.send("x", "x", "room:many-5", "phx_join", {});
    expect((await client.frame((frame: unknown[]) => frame[1] === "x"))[4]).toMatchObject({ status: "ok" });
    client.close();
  });

  test("disconnect by id closes every connection of that id with 1001, and no other (C-138)", async () => {
    const [one, two, other] = await Promise.all([
      connect("&user_id=7"),
      connect("&user_id=7"),
      connect("&user_id=8"),
    ]);
    await server.run(() => Endpoint.disconnect("endpoint", "users:7"));
    expect((await one.untilClosed()).code).toBe(1001);
    expect((await two.untilClosed()).code).toBe(1001);
    await other.settle();
    other.close();
  });

  test("refusals come before the upgrade: version, connect, its reason, its crash (C-003, C-057, C-058, C-059)", async () => {
    const refused = async (query: string): Promise<string> => {
      const url = `ws://127.0.0.1:${server.port}/socket/websocket?${query}`;
      return RawClient.connect(url).then(
        () => "connected",
        (error: Error) => error.message,
      );
    };
    expect(await refused("vsn=3.0.0")).toContain("403");
    expect(await refused("vsn[]=2.0.0")).toContain("403");
    expect(await refused("vsn=2.0.0&reject=true")).toContain("403");
    expect(await refused("vsn=2.0.0&ratelimit=true")).toContain("429");
    expect(await refused("vsn=2.0.0&crash=true")).toContain("500");
  });

  test("a page of another origin is refused, one of this host is not (C-079, C-086)", async () => {
    const withOrigin = (origin: string): Promise<string> =>
      RawClient.connect(server.url, { origin }).then(
        (client) => {
          client.close();
          return "connected";
        },
        (error: Error) => error.message,
      );
    expect(await withOrigin("http://evil.example")).toContain("403");
    expect(await withOrigin("null")).toContain("403");
    expect(await withOrigin("http://localhost:8080")).toBe("connected");
  });

  test("nothing is left of a thousand joins, leaves and lost connections (C-136, C-137)", async () => {
    const before = {
      processes: server.node.processCount,
      info: await server.run(() => Endpoint.info("endpoint")),
    };
    for (let round = 0; round < 20; round += 1) {
      const client = await connect();
      for (let n = 0; n < 25; n += 1) client.send(String(n), String(n), `room:leak-${n}`, "phx_join", {});
      await client.until(50);
      for (let n = 0; n < 12; n += 1) client.send(String(n), `l${n}`, `room:leak-${n}`, "phx_leave", {});
      if (round % 2 === 0) await client.frame((frame: unknown[]) => frame[1] === "l11");
      client.ws.terminate();
    }
    await expect
      .poll(async () => (await server.run(() => Endpoint.info("endpoint"))).connections, { timeout: 5000 })
      .toBeLessThanOrEqual(before.info.connections);
    await expect
      .poll(() => server.run(() => Endpoint.info("endpoint").then((info) => info.lanes)), { timeout: 5000 })
      .toBeLessThanOrEqual(before.info.lanes);
    await expect
      .poll(() => server.node.processCount, { timeout: 5000 })
      .toBeLessThanOrEqual(before.processes + 2);
    if (shards === 0) {
      await expect
        .poll(() => server.run(() => PubSub.stats("endpoint.pubsub").topics), { timeout: 5000 })
        .toBeLessThanOrEqual(before.info.connections * 2);
    }
  });

  test("the official client joins, pushes, is pushed to and leaves (C-169, C-171)", async () => {
    const topic = fresh();
    const socket = phoenixSocket(server, { user_id: "5" });
    const channel: PhoenixChannel = socket.channel(topic, { name: "official" });
    const welcome = new Promise((resolve) => channel.on("welcome", resolve));
    expect(await outcome(channel.join())).toEqual({});
    expect(await welcome).toEqual({ name: "official" });
    expect(await outcome(channel.push("echo", { a: 1 }))).toEqual({ a: 1 });
    expect(await outcome(channel.push("info", {}))).toMatchObject({
      assigns: { user_id: "5", name: "official" },
      topic,
    });
    await outcome(channel.leave());
    socket.disconnect();
  });

  test("the official client re-joins by itself after its channel has crashed", async () => {
    const topic = fresh();
    const socket = phoenixSocket(server);
    const channel = socket.channel(topic, {});
    let joins = 0;
    const twice = new Promise<void>((resolve) => {
      channel.join().receive("ok", () => {
        joins += 1;
        if (joins === 2) resolve();
      });
    });
    await expect.poll(() => joins).toBe(1);
    channel.push("boom", {});
    await twice;
    expect(await outcome(channel.push("echo", { after: "crash" }))).toEqual({ after: "crash" });
    socket.disconnect();
  });

  if (shards > 0) {
    test.each(["killed from outside", "by process.exit in a channel"])(
      "R-456 C-135 a shard thread dies, %s: its topics get phx_error and are re-joined; the others and the socket continue",
      async (how) => {
        const ownerOf = (topic: string): Promise<number> =>
          server.run(() => PubSub.ownerOf("endpoint.pubsub", topic));
        const all = Array.from({ length: 20 }, fresh);
        const owners = await Promise.all(all.map(ownerOf));
        const dying = all[owners.indexOf(1)] as string;
        const living = all[owners.indexOf(2)] as string;
        const socket = phoenixSocket(server);
        let opens = 0;
        socket.onOpen(() => {
          opens += 1;
        });
        const [one, two] = [socket.channel(dying, {}), socket.channel(living, {})];
        let joins = 0;
        one.join().receive("ok", () => {
          joins += 1;
        });
        await outcome(two.join());
        await expect.poll(() => joins).toBe(1);
        if (how === "killed from outside")
          await server.run(() => exit(server.node.whereis(threadName(1)) as Pid, "kill"));
        else one.push("kill_thread", {});
        for (let n = 0; n < 20; n += 1) expect(await outcome(two.push("echo", { n }))).toEqual({ n });
        await expect.poll(() => joins, { timeout: 10_000 }).toBe(2);
        expect(await outcome(one.push("echo", { again: true }))).toEqual({ again: true });
        expect(opens).toBe(1);
        socket.disconnect();
      },
    );

    test("a client may connect while the shard of its id restarts (C-138)", async () => {
      const ids = Array.from({ length: 20 }, (_, n) => `reborn${n}`);
      const at = await server.run(() =>
        ids.findIndex((id) => PubSub.ownerOf("endpoint.pubsub", `users:${id}`) === 1),
      );
      const kill = () => server.run(() => exit(server.node.whereis(threadName(1)) as Pid, "kill"));
      const before = await RawClient.connect(`${server.url}&user_id=${ids[at]}`);
      await kill();
      const meanwhile = await RawClient.connect(`${server.url}&user_id=${ids[at]}`);
      for (const client of [before, meanwhile]) {
        expect(client.closed).toBeUndefined();
        await client.settle();
      }
      await expect
        .poll(
          async () => {
            await server.run(() => Endpoint.disconnect("endpoint", `users:${ids[at]}`));
            return [before.closed?.code, meanwhile.closed?.code];
          },
          { timeout: 10_000, interval: 100 },
        )
        .toEqual([1001, 1001]);
    });

    test("a shard thread that is stuck does not hold the other shard up", async () => {
      const ownerOf = (topic: string): Promise<number> =>
        server.run(() => PubSub.ownerOf("endpoint.pubsub", topic));
      const all = Array.from({ length: 20 }, fresh);
      const owners = await Promise.all(all.map(ownerOf));
      const stuck = await joinedClient(all[owners.indexOf(1)] as string);
      const free = await joinedClient(all[owners.indexOf(2)] as string);
      stuck.send("1", "2", all[owners.indexOf(1)], "spin", { ms: 700 });
      const started = performance.now();
      for (let n = 0; n < 10; n += 1) {
        free.send("1", `e${n}`, all[owners.indexOf(2)], "echo", {});
        await free.frame((frame: unknown[]) => frame[1] === `e${n}`);
      }
      expect(performance.now() - started).toBeLessThan(600);
      await stuck.frame((frame: unknown[]) => frame[1] === "2");
      stuck.close();
      free.close();
    });
  }

  test("drain: every connection is closed with 1012, new ones are refused (C-139, C-140)", async () => {
    const own = await startServer({ shards });
    const idle = await RawClient.connect(own.url);
    const busy = await RawClient.connect(own.url);
    busy.send("1", "1", "room:1", "phx_join", {});
    await busy.until(2);
    expect(await own.run(() => Endpoint.drain("endpoint"))).toBe(2);
    expect((await idle.untilClosed()).code).toBe(1012);
    expect((await busy.untilClosed()).code).toBe(1012);
    await expect(RawClient.connect(own.url)).rejects.toThrow("503");
    await own.stop();
  });
});

test("a silent client is closed with 1002 after the timeout (C-088)", async () => {
  const server = await startServer({
    sockets: {
      "/socket": { module: new URL("../fixtures/socket.ts", import.meta.url), websocket: { timeout: 200 } },
    },
  });
  const quiet = await RawClient.connect(server.url);
  const pinging = await RawClient.connect(server.url);
  const beat = setInterval(() => pinging.ws.ping(), 50);
  expect((await quiet.untilClosed()).code).toBe(1002);
  expect(pinging.closed).toBeUndefined();
  clearInterval(beat);
  expect((await pinging.untilClosed()).code).toBe(1002);
  await server.stop();
});

test("a message over the size limit closes with 1009, text that is not UTF-8 with 1007 (C-090)", async () => {
  const server = await startServer({
    sockets: {
      "/socket": {
        module: new URL("../fixtures/socket.ts", import.meta.url),
        websocket: { maxFrameSize: 1000 },
      },
    },
  });
  const large = await RawClient.connect(server.url);
  large.sendRaw("x".repeat(1001));
  expect((await large.untilClosed()).code).toBe(1009);
  const broken = await RawClient.connect(server.url);
  broken.ws.send(Buffer.from([0xff, 0xfe]), { binary: false });
  expect((await broken.untilClosed()).code).toBe(1007);
  await server.stop();
});

test("a client that does not read is closed with 1013 at its limit", async () => {
  const server = await startServer({
    sockets: {
      "/socket": {
        module: new URL("../fixtures/socket.ts", import.meta.url),
        websocket: { maxBufferedBytes: 256 * 1024 },
      },
    },
  });
  const slow = await RawClient.connect(server.url);
  const quick = await RawClient.connect(server.url);
  for (const client of [slow, quick]) {
    client.send("1", "1", "room:1", "phx_join", {});
    await client.until(2);
  }
  slow.ws.pause();
  const text = "x".repeat(100_000);
  for (let n = 0; n < 150; n += 1) {
    quick.send("1", String(n + 10), "room:1", "shout", { n, text });
    await quick.frame((frame: [0, 0, 0, string, { n: number }]) => frame[3] === "shout" && frame[4].n === n);
  }
  expect((await server.run(() => Endpoint.info("endpoint"))).connections).toBeLessThanOrEqual(2);
  await expect
    .poll(async () => (await server.run(() => Endpoint.info("endpoint"))).connections, { timeout: 6000 })
    .toBe(1);
  quick.close();
  await server.stop();
});

test("a client beyond the mount's rate gets the time to wait", async () => {
  const mount = {
    module: new URL("../fixtures/socket.ts", import.meta.url),
    messageRate: { perSecond: 10, burst: 3 },
    joinRate: { perSecond: 1, burst: 2 },
  };
  const server = await startServer({ sockets: { "/socket": mount } });
  const [fast, other] = [await RawClient.connect(server.url), await RawClient.connect(server.url)];
  for (const [client, topic] of [
    [fast, "room:1"],
    [other, "room:1"],
    [fast, "room:2"],
  ] as const)
    client.send("1", "1", topic, "phx_join", {});
  await fast.until(4);
  fast.send("9", "9", "room:3", "phx_join", {});
  expect(await fast.frame((frame: unknown[]) => frame[1] === "9")).toEqual([
    "9",
    "9",
    "room:3",
    "phx_reply",
    {
      status: "error",
      response: { reason: "rate_limited", code: "rate_limited", retry_after_ms: expect.any(Number) },
    },
  ]);
  for (let n = 0; n < 5; n += 1) fast.send("1", `m${n}`, "room:1", "echo", { n });
  const refused = await fast.frame((frame: unknown[]) => frame[1] === "m4");
  expect(refused[4]).toMatchObject({ status: "error", response: { reason: "rate_limited" } });
  for (let n = 0; n < 5; n += 1) fast.send(null, `h${n}`, "phoenix", "heartbeat", {});
  expect((await fast.frame((frame: unknown[]) => frame[1] === "h4"))[4]).toMatchObject({ status: "ok" });
  other.send("1", "2", "room:1", "echo", { fine: true });
  expect((await other.frame((frame: unknown[]) => frame[1] === "2"))[4]).toEqual({
    status: "ok",
    response: { fine: true },
  });
  const { retry_after_ms: wait } = (refused[4] as { response: { retry_after_ms: number } }).response;
  await new Promise((resolve) => setTimeout(resolve, wait + 20));
  fast.send("1", "again", "room:1", "echo", {});
  expect((await fast.frame((frame: unknown[]) => frame[1] === "again"))[4]).toMatchObject({ status: "ok" });
  expect(
    server.reports.filter(
      (report) => report.kind === "notice" && report.text.includes("exceeds the rate of its mount"),
    ),
  ).toHaveLength(1);
  fast.close();
  other.close();
  await server.stop();
});

test("disconnect by id finds a connection after its shard has restarted (C-138)", async () => {
  const server = await startServer({ shards: 1 });
  const client = await RawClient.connect(`${server.url}&user_id=9`);
  await server.run(() => void exit(server.node.whereis(threadName(1)) as Pid, "kill"));
  await vi.waitFor(async () => {
    await server.run(() => Endpoint.disconnect("endpoint", "users:9"));
    expect(client.closed?.code).toBe(1001);
  }, 15_000);
  await server.stop();
});
