/**
 * What a client sends for one topic is handled in order, and answered, whatever becomes of its
 * channels meanwhile.
 */
import * as current from "phoenix";
import { PubSub } from "simurgh/pubsub";
import { Random } from "simurgh/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { RawClient, startServer, type TestServer } from "../support.js";

type Wire = readonly [joinRef: unknown, ref: unknown, topic: string, event: string, payload: never];
/** Frames without pushes and broadcasts: what a client is answered, and the ends of channels. */
const answers = (frames: readonly unknown[], topic: string): unknown[] =>
  (frames as Wire[])
    .filter(([, ref, of]) => of === topic && ref !== null)
    .map(([joinRef, ref, , event, payload]) => {
      const { status, response } = payload as { status?: string; response?: { reason?: string } };
      return [joinRef, ref, event, ...(status === undefined ? [] : [status]), response?.reason].filter(
        (part) => part !== undefined,
      );
    });
const replies = (client: RawClient): unknown[] =>
  (client.frames as Wire[]).filter(([, , , event]) => event === "phx_reply");
const statusOf = (frame: unknown): string => (frame as [0, 0, 0, 0, { status: string }])[4].status;

let topics = 0;
const fresh = (): string => {
  topics += 1;
  return `room:order ${topics}`;
};

const started = (shards: number): Promise<TestServer> =>
  startServer({
    shards,
    checkOrigin: false,
    sockets: {
      "/socket": {
        module: new URL("../fixtures/socket.ts", import.meta.url),
        messageRate: false,
        longpoll: { windowMs: 5000 },
      },
    },
  });

test("a further join ends a join or a channel that is stuck (C-105, C-109)", async () => {
  const server = await started(1);
  const [joining, joined] = [fresh(), fresh()];
  const client = await RawClient.connect(server.url);
  client.send("1", "11", joining, "phx_join", { slow_ms: 600_000 });
  client.send("1", "12", joining, "echo", {});
  client.send("2", "13", joining, "phx_join", {});
  client.send("1", "14", joined, "phx_join", {});
  client.send("1", "15", joined, "slow", { ms: 600_000 });
  client.send("2", "16", joined, "phx_join", {});
  await client.frame((frame: Wire) => frame[1] === "13", 15_000);
  await client.frame((frame: Wire) => frame[1] === "16", 15_000);
  const frames = await client.settle();
  expect(answers(frames, joining)).toEqual([
    ["1", "11", "phx_reply", "error", "join timeout"],
    [null, "12", "phx_reply", "error", "unmatched topic"],
    ["2", "13", "phx_reply", "ok"],
  ]);
  expect(answers(frames, joined)).toEqual([
    ["1", "14", "phx_reply", "ok"],
    ["2", "16", "phx_reply", "ok"],
    ["1", "1", "phx_close"],
  ]);
  client.ws.terminate();
  await server.stop();
});

describe.each([0, 2])("with %i shards", (shards) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await started(shards);
  });
  afterAll(() => server.stop());

  /**
   * Sends frames at once and waits until one that `last` accepts has come; gives all that came, in
   * order.
   */
  type Exchange = (frames: readonly (readonly unknown[])[], last: string) => Promise<readonly unknown[]>;
  const overWebSocket: Exchange = async (frames, last) => {
    const client = await RawClient.connect(server.url);
    for (const frame of frames) client.send(...frame);
    await client.frame((frame: Wire) => frame[1] === last && frame[3] !== "phx_close");
    const all = await client.settle();
    client.ws.terminate();
    return all;
  };
  const overLongPoll: Exchange = async (frames, last) => {
    const url = `http://127.0.0.1:${server.port}/socket/longpoll?vsn=2.0.0`;
    const poll = async (query: string): Promise<{ token: string; messages: string[] }> =>
      (await fetch(`${url}${query}`)).json() as never;
    const session = `&token=${encodeURIComponent((await poll("")).token)}`;
    const body = frames.map((frame) => JSON.stringify(frame)).join("\n");
    const headers = { "content-type": "application/x-ndjson" };
    await fetch(`${url}${session}`, { method: "POST", headers, body });
    const all: unknown[] = [];
    while (!all.some((frame) => (frame as Wire)[1] === last && (frame as Wire)[3] !== "phx_close"))
      all.push(...(await poll(session)).messages.map((text) => JSON.parse(text) as unknown));
    return all;
  };

  describe.each([
    ["WebSocket", overWebSocket],
    ["long-poll", overLongPoll],
  ] as const)("over %s", (_name, exchange) => {
    test.each([0, 300])(
      "a join overtaken by a second one after %i ms is answered, then closed (C-109)",
      async (slow_ms) => {
        const topic = fresh();
        const frames = await exchange(
          [
            ["1", "11", topic, "phx_join", { slow_ms }],
            ["2", "12", topic, "phx_join", {}],
            ["2", "13", topic, "echo", {}],
          ],
          "13",
        );
        expect(answers(frames, topic)).toEqual([
          ["1", "11", "phx_reply", "ok"],
          ["2", "12", "phx_reply", "ok"],
          ["1", "1", "phx_close"],
          ["2", "13", "phx_reply", "ok"],
        ]);
      },
    );

    test("what waits behind a slow join is handled before a second join (C-104)", async () => {
      const topic = fresh();
      const frames = await exchange(
        [
          ["1", "11", topic, "phx_join", { slow_ms: 200 }],
          ["1", "12", topic, "echo", {}],
          ["1", "13", topic, "phx_leave", {}],
          ["2", "14", topic, "phx_join", {}],
          ["2", "15", topic, "echo", {}],
          ["3", "16", topic, "phx_join", {}],
          ["3", "17", topic, "echo", {}],
        ],
        "17",
      );
      expect(answers(frames, topic)).toEqual([
        ["1", "11", "phx_reply", "ok"],
        ["1", "12", "phx_reply", "ok"],
        ["1", "13", "phx_reply", "ok"],
        ["1", "1", "phx_close"],
        ["2", "14", "phx_reply", "ok"],
        ["2", "15", "phx_reply", "ok"],
        ["3", "16", "phx_reply", "ok"],
        ["2", "2", "phx_close"],
        ["3", "17", "phx_reply", "ok"],
      ]);
    });

    test.each([
      ["refused", { refuse: true, slow_ms: 100 }, "unauthorized"],
      ["crashed", { crash: true, slow_ms: 100 }, "join crashed"],
    ])(
      "C-037 what waits behind a join that is %s is unmatched, of whichever join it is",
      async (_how, params, reason) => {
        const topic = fresh();
        const frames = await exchange(
          [
            ["1", "11", topic, "phx_join", params],
            ["1", "12", topic, "echo", {}],
            ["9", "13", topic, "echo", {}],
            ["9", "14", topic, "phx_leave", {}],
            [null, "15", topic, "echo", {}],
          ],
          "15",
        );
        expect(answers(frames, topic)).toEqual([
          ["1", "11", "phx_reply", "error", reason],
          [null, "12", "phx_reply", "error", "unmatched topic"],
          [null, "13", "phx_reply", "error", "unmatched topic"],
          ["9", "14", "phx_reply", "ok"],
          [null, "15", "phx_reply", "error", "unmatched topic"],
        ]);
      },
    );

    test("a message of another join behind a slow join that succeeds is dropped (C-041)", async () => {
      const topic = fresh();
      const frames = await exchange(
        [
          ["1", "11", topic, "phx_join", { slow_ms: 100 }],
          ["9", "12", topic, "echo", {}],
          ["1", "13", topic, "echo", {}],
        ],
        "13",
      );
      expect(answers(frames, topic)).toEqual([
        ["1", "11", "phx_reply", "ok"],
        ["1", "13", "phx_reply", "ok"],
      ]);
    });

    test("a second join behind one that is refused is a first join", async () => {
      const topic = fresh();
      const frames = await exchange(
        [
          ["1", "11", topic, "phx_join", { refuse: true, slow_ms: 100 }],
          ["2", "12", topic, "phx_join", {}],
          ["2", "13", topic, "echo", {}],
        ],
        "13",
      );
      expect(answers(frames, topic)).toEqual([
        ["1", "11", "phx_reply", "error", "unauthorized"],
        ["2", "12", "phx_reply", "ok"],
        ["2", "13", "phx_reply", "ok"],
      ]);
    });

    test("the old channel is closed when the join that replaces it is refused", async () => {
      const topic = fresh();
      const frames = await exchange(
        [
          ["1", "11", topic, "phx_join", {}],
          ["2", "12", topic, "phx_join", { refuse: true }],
          ["2", "13", topic, "echo", {}],
        ],
        "13",
      );
      const all = answers(frames, topic);
      expect(all.filter((answer) => (answer as unknown[])[1] !== "13")).toEqual([
        ["1", "11", "phx_reply", "ok"],
        ["2", "12", "phx_reply", "error", "unauthorized"],
        ["1", "1", "phx_close"],
      ]);
    });

    test.each([
      ["stops", "stop", ["1", "1", "phx_close"]],
      ["crashes", "boom", ["1", "1", "phx_error"]],
    ])(
      "events behind one over which the channel %s are answered, then it ends once",
      async (_how, event, end) => {
        const topic = fresh();
        const pushes = Array.from({ length: 40 }, (_, n) => ["1", `p${n}`, topic, "echo", {}]);
        const frames = await exchange(
          [
            ["1", "11", topic, "phx_join", {}],
            ["1", "12", topic, event, {}],
            ...pushes,
            ["1", "13", topic, "phx_leave", {}],
            ["2", "14", topic, "phx_join", {}],
          ],
          "14",
        );
        const all = answers(frames, topic) as unknown[][];
        for (const [, ref] of pushes)
          expect(all.filter((answer) => answer[1] === ref)).toEqual([
            [null, ref, "phx_reply", "error", "unmatched topic"],
          ]);
        expect(all.filter((answer) => answer[1] === "13")).toEqual([["1", "13", "phx_reply", "ok"]]);
        expect(all.filter(([joinRef, ref]) => joinRef === "1" && ref === "1")).toEqual([end]);
        expect(all.at(-1)).toEqual(["2", "14", "phx_reply", "ok"]);
      },
    );
  });

  test("the official client pushes, leaves and joins at once: every push is handled", async () => {
    const topic = fresh();
    const observer = await RawClient.connect(server.url);
    observer.send("o", "o", topic, "phx_join", {});
    await observer.until(1);
    for (const [rounds, load] of [
      [200, async () => current],
      [30, old("1.6")],
      [30, old("1.7")],
      [30, old("1.8.12")],
    ] as const) {
      const { Socket } = await load();
      const socket = new Socket(`ws://127.0.0.1:${server.port}/socket`, { transport: WebSocket as never });
      socket.connect();
      let channel = socket.channel(topic, {});
      await new Promise((resolve) => channel.join().receive("ok", resolve));
      const before = observer.frames.length;
      for (let n = 0; n < rounds; n += 1) {
        channel.push("shout_from", { n });
        channel.leave();
        channel = socket.channel(topic, {});
        await new Promise((resolve) => channel.join().receive("ok", resolve));
      }
      await expect
        .poll(() => (observer.frames.slice(before) as Wire[]).filter(([, , , event]) => event === "shout"))
        .toHaveLength(rounds);
      socket.disconnect();
    }
    observer.ws.terminate();
  });

  test("3,000 events behind a slow join are all handled, in order (C-104)", async () => {
    const topic = fresh();
    const client = await RawClient.connect(server.url);
    client.send("1", "join", topic, "phx_join", { slow_ms: 800 });
    for (let n = 0; n < 3000; n += 1) client.send("1", `${n}`, topic, "echo", { n });
    await client.frame((frame: Wire) => frame[1] === "2999");
    expect(replies(client).map((frame) => [(frame as Wire)[1], statusOf(frame)])).toEqual([
      ["join", "ok"],
      ...Array.from({ length: 3000 }, (_, n) => [`${n}`, "ok"]),
    ]);
    client.ws.terminate();
  });

  test("2,000 events to a slow channel delay neither heartbeats nor other topics", async () => {
    const [slow, quick] = [fresh(), fresh()];
    const client = await RawClient.connect(server.url);
    for (const topic of [slow, quick]) client.send("1", topic, topic, "phx_join", {});
    await client.frame((frame: Wire) => frame[1] === quick);
    await client.frame((frame: Wire) => frame[1] === slow);
    for (let n = 0; n < 2000; n += 1) client.send("1", `s${n}`, slow, "slow", { ms: 1 });
    client.send(null, "beat", "phoenix", "heartbeat", {});
    client.send("1", "quick", quick, "echo", {});
    await client.frame((frame: Wire) => frame[1] === "beat");
    await client.frame((frame: Wire) => frame[1] === "quick");
    // Most of what was sent before still waits.
    expect(replies(client).length).toBeLessThan(1000);
    client.ws.terminate();
  });

  test("whatever clients do, joins are answered once and channels end once (C-110)", async () => {
    const seeds = Array.from({ length: 12 }, (_, n) => n + 1);
    const storm = async (seed: number): Promise<void> => {
      const random = new Random(seed);
      const client = await RawClient.connect(server.url);
      const of = [fresh(), fresh(), fresh()];
      const joins: string[] = [];
      const pushes: string[] = [];
      const leaves: string[] = [];
      const current = new Map<string, string>();
      const send = (
        topic: string,
        event: string,
        payload: object,
        joinRef = current.get(topic) ?? null,
      ): string => {
        const ref = `${seed}.${joins.length + pushes.length + leaves.length}`;
        const isJoin = event === "phx_join";
        if (isJoin) current.set(topic, ref);
        (isJoin ? joins : event === "phx_leave" ? leaves : pushes).push(ref);
        client.send(isJoin ? ref : joinRef, ref, topic, event, payload);
        return ref;
      };
      for (let step = 0; step < 150; step += 1) {
        const topic = random.pick(of);
        const luck = random.next();
        if (luck < 0.2)
          send(topic, "phx_join", {
            ...(random.chance(0.5) ? { slow_ms: random.below(10) } : {}),
            ...(random.chance(0.1) ? { refuse: true } : random.chance(0.1) ? { crash: true } : {}),
          });
        else if (luck < 0.3) send(topic, "phx_leave", {});
        else if (luck < 0.35) send(topic, random.pick(["stop", "stop_reply"]), {});
        else if (luck < 0.4) send(topic, "boom", {});
        else if (luck < 0.5) send(topic, "slow", { ms: random.below(5) });
        else send(topic, "echo", {});
        if (random.chance(0.1)) await new Promise((resolve) => setImmediate(resolve));
      }
      for (const topic of of) {
        const last = send(topic, "phx_join", {});
        await client.frame((frame: Wire) => frame[1] === last);
        const left = send(topic, "phx_leave", {});
        await client.frame((frame: Wire) => frame[1] === left);
        await client.frame((frame: Wire) => frame[1] === last && frame[3] === "phx_close");
      }
      const frames = (await client.settle()) as Wire[];
      const count = (ref: string, ...events: string[]): number =>
        frames.filter((frame) => frame[1] === ref && events.includes(frame[3])).length;
      for (const ref of joins) {
        expect([ref, count(ref, "phx_reply")]).toEqual([ref, 1]);
        const answer = frames.find((frame) => frame[1] === ref && frame[3] === "phx_reply");
        expect([ref, count(ref, "phx_close", "phx_error")]).toEqual([ref, statusOf(answer) === "ok" ? 1 : 0]);
      }
      for (const ref of leaves) expect([ref, count(ref, "phx_reply")]).toEqual([ref, 1]);
      // Those that stop or crash a channel have no answer of their own, but when there was none.
      for (const ref of pushes) expect(count(ref, "phx_reply")).toBeLessThanOrEqual(1);
      const unanswered = pushes.filter((ref) => count(ref, "phx_reply") === 0).length;
      const ended = frames.filter(([, , , event]) => event === "phx_error" || event === "phx_close").length;
      expect(unanswered).toBeLessThanOrEqual(ended);
      client.ws.terminate();
    };
    await Promise.all(
      seeds.map((seed) =>
        storm(seed).catch((error: unknown) => {
          throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
        }),
      ),
    );
  });

  test("of what is published on its id only `disconnect` ends a connection (C-061)", async () => {
    const client = await RawClient.connect(`${server.url}&user_id=9`);
    const topic = fresh();
    client.send("1", "1", topic, "phx_join", {});
    await client.until(1);
    await server.run(async () => {
      const published = [
        "text",
        new Uint8Array([1, 2]),
        null,
        7,
        {},
        [],
        ["kill"],
        ["drain"],
        ["transport closed", "normal"],
        ["expired"],
        ["expire at", 0],
        ["taken", topic, null, { frames: 1, bytes: 1 }],
        ["channel closes", topic, null],
        ["DOWN"],
        ["DOWN", 1, "process", null, "normal"],
        ["DOWN", { id: 1 }, "process", null, "normal"],
        { news: { type: "drain" } },
        { data: "[]" },
        { topic: "users:9", event: "drain", payload: {} },
      ];
      for (const message of published) await PubSub.broadcast("endpoint.pubsub", "users:9", message);
    });
    client.send("1", "2", topic, "echo", {});
    await client.frame((frame: Wire) => frame[1] === "2");
    expect(client.closed).toBeUndefined();
    expect(answers(await client.settle(), topic)).toEqual([
      ["1", "1", "phx_reply", "ok"],
      ["1", "2", "phx_reply", "ok"],
    ]);
    client.ws.terminate();
  });

  test("messages that look like the runtime's or the socket's own come to handleInfo", async () => {
    const topic = fresh();
    const client = await RawClient.connect(server.url);
    client.send("1", "1", topic, "phx_join", {});
    await client.frame((frame: Wire) => frame[1] === "1");
    const lookalikes = [
      ["in", "boom", "9", "{}]"],
      ["leave", "9", "1"],
      { event: "boom", ref: "9", payload: "{}]", size: 2 },
      { order: { type: "leave", ref: "9" } },
      ["DOWN", null, "process", null, "normal"],
    ];
    client.send("1", "2", topic, "send_to_self", { messages: lookalikes });
    await client.frame((frame: Wire) => frame[3] === "got" && (frame[4] as { n: number }).n === 5);
    client.send("1", "3", topic, "echo", {});
    await client.frame((frame: Wire) => frame[1] === "3");
    expect(answers(await client.settle(), topic)).toEqual([
      ["1", "1", "phx_reply", "ok"],
      ["1", "3", "phx_reply", "ok"],
    ]);
    client.ws.terminate();
  });
});

const old = (version: string) => (): Promise<typeof current> => import(`phoenix-${version}`);
