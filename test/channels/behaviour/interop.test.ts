/**
 * Clients that were not written for this server: four generations of Phoenix's own, over both
 * transports, in front of one thread and of several; and Supabase's.
 */
import { RealtimeClient } from "@supabase/realtime-js";
import * as current from "phoenix";
import { Endpoint } from "simurgh/channels";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { FetchXhr } from "../../support/fetch-xhr.js";
import { RawClient, startServer, type TestServer } from "../support.js";

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
const fixture = (name: string): URL => new URL(`../../fixture/${name}.ts`, import.meta.url);

/** The response of a push; rejects with its status and response. */
const answered = (push: {
  receive(status: string, callback: (response?: unknown) => void): unknown;
}): Promise<unknown> =>
  new Promise((resolve, reject) => {
    push.receive("ok", resolve);
    push.receive("error", (response) => reject(Object.assign(new Error("error reply"), { response })));
    push.receive("timeout", () => reject(new Error("timeout")));
  });

describe.each([0, 2])("with %i shards", (shards) => {
  let server: TestServer;
  beforeAll(async () => {
    // What a browser has and the older clients use.
    vi.stubGlobal("self", globalThis);
    vi.stubGlobal("XMLHttpRequest", FetchXhr);
    server = await startServer({
      shards,
      checkOrigin: false,
      shardTree: { module: fixture("presence") },
      sockets: { "/socket": { module: fixture("socket"), authToken: true, longpoll: { windowMs: 300 } } },
    });
  });
  afterAll(async () => {
    vi.unstubAllGlobals();
    await server.stop();
  });

  for (const [version, load] of CLIENTS) {
    for (const transport of ["WebSocket", "LongPoll"] as const) {
      describe(`phoenix ${version} over ${transport}`, () => {
        const open: current.Socket[] = [];
        afterEach(() => {
          for (const socket of open.splice(0)) socket.disconnect();
        });
        let topics = 0;
        const fresh = (kind = "room"): string => {
          topics += 1;
          return `${kind}:${version}-${transport}-${topics}`;
        };
        async function connect(params: object = {}, options: object = {}): Promise<current.Socket> {
          const { Socket, LongPoll } = await load();
          const scheme = transport === "WebSocket" ? "ws" : "http";
          const socket = new Socket(`${scheme}://127.0.0.1:${server.port}/socket`, {
            transport: transport === "WebSocket" ? (WebSocket as never) : (LongPoll as never),
            params,
            reconnectAfterMs: () => 20,
            rejoinAfterMs: () => 20,
            ...options,
          } as never);
          open.push(socket);
          socket.connect();
          return socket;
        }
        const joinedRoom = async (
          topic = fresh(),
          params: object = {},
        ): Promise<[current.Channel, current.Socket]> => {
          const socket = await connect();
          const channel = socket.channel(topic, params);
          await answered(channel.join());
          return [channel, socket];
        };

        test("joins with ok, error, any status and any JSON, and times out on nothing (C-169)", async () => {
          const [channel] = await joinedRoom(undefined, { reply: { welcome: [1] } });
          for (const payload of [{ a: 1 }, {}, { deep: [{ ü: null }] }])
            expect(await answered(channel.push("echo", payload))).toEqual(payload);
          await expect(answered(channel.push("echo_err", { why: 1 }))).rejects.toMatchObject({
            response: { why: 1 },
          });
          const custom = new Promise((resolve) =>
            channel.push("status", { status: "custom" }).receive("custom" as "ok", resolve),
          );
          expect(await custom).toEqual({});
          await expect(answered(channel.push("noreply", {}, 40))).rejects.toThrow("timeout");
        });

        test("a refused join answers, and pushes made before it follow in order (C-101, C-176)", async () => {
          const socket = await connect();
          await expect(answered(socket.channel(fresh("priv"), {}).join())).rejects.toMatchObject({
            response: { reason: "unauthorized" },
          });
          const channel = socket.channel(fresh(), { slow_ms: 30 });
          const joined = answered(channel.join());
          const pushes = [1, 2, 3].map((n) => answered(channel.push("echo", { n })));
          await joined;
          expect(await Promise.all(pushes)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
        });

        test("two clients hear each other: broadcast, broadcast from, intercepted, in order (C-123, C-128)", async () => {
          const topic = fresh();
          const [[one], [two]] = [await joinedRoom(topic), await joinedRoom(topic)];
          const received: unknown[][] = [];
          for (const [name, channel] of [
            ["one", one],
            ["two", two],
          ] as const)
            for (const event of ["shout", "icept"])
              channel.on(
                event,
                (payload: { n: number; via?: string }) =>
                  void received.push([name, event, payload.n, payload.via]),
              );
          // The oldest client posts each message by itself, and two posts at once may overtake each
          // other.
          const inTurn = transport === "LongPoll" && version === "1.6";
          const arrived = (count: number): Promise<void> =>
            vi.waitFor(() => expect(received).toHaveLength(count), 10_000);
          one.push("shout", { n: 1 });
          if (inTurn) await arrived(2);
          one.push("shout_from", { n: 2 });
          if (inTurn) await arrived(3);
          one.push("icept", { n: 3 });
          await arrived(5);
          const via = transport === "WebSocket" ? "websocket" : "longpoll";
          expect(received.filter(([name]) => name === "one")).toEqual([
            ["one", "shout", 1, undefined],
            ["one", "icept", 3, via],
          ]);
          expect(received.filter(([name]) => name === "two")).toEqual([
            ["two", "shout", 1, undefined],
            ["two", "shout", 2, undefined],
            ["two", "icept", 3, via],
          ]);
        });

        test("a push that is answered often is answered once to its client (C-121, C-187)", async () => {
          const [channel] = await joinedRoom();
          const answers: unknown[] = [];
          channel.push("later", { ms: 1, n: 3 }).receive("ok", (response: unknown) => answers.push(response));
          await vi.waitFor(() => expect(answers).not.toEqual([]), 10_000);
          await answered(channel.push("echo", {}));
          expect(answers).toEqual([{ n: 0 }]);
        });

        test("it joins again after a crash, and not after a planned end (C-179, C-135)", async () => {
          const topic = fresh();
          const [channel, socket] = await joinedRoom(topic);
          let [errors, closes] = [0, 0];
          channel.onError(() => {
            errors += 1;
          });
          channel.onClose(() => {
            closes += 1;
          });
          channel.push("boom", {});
          await vi.waitFor(() => expect(errors).toBe(1), 10_000);
          await vi.waitFor(
            async () => expect(await answered(channel.push("echo", { again: 1 }, 500))).toEqual({ again: 1 }),
            5000,
          );
          channel.push("stop", {});
          await vi.waitFor(() => expect(closes).toBe(1), 10_000);
          expect((socket as unknown as { channels: unknown[] }).channels).not.toContain(channel);
        });

        test("it leaves, and a new channel of the topic joins at once (C-119, C-178, C-174)", async () => {
          const topic = fresh();
          const [channel, socket] = await joinedRoom(topic);
          await answered(channel.leave());
          const again = socket.channel(topic, {});
          await answered(again.join());
          // Without a leave in between: the client sends the leave itself.
          const third = socket.channel(topic, {});
          await answered(third.join());
          expect(await answered(third.push("echo", { n: 3 }))).toEqual({ n: 3 });
        });

        test("presence: who is there, who comes, who goes (C-186)", async () => {
          const { Presence } = await load();
          const topic = fresh("presence");
          const enter = async (user: string): Promise<{ users: () => string[]; socket: current.Socket }> => {
            const socket = await connect({ user_id: user });
            const channel = socket.channel(topic, { user_id: user });
            const presence = new Presence(channel);
            await answered(channel.join());
            return { socket, users: () => presence.list((key: string) => key).sort() as string[] };
          };
          const ann = await enter("ann");
          await vi.waitFor(() => expect(ann.users()).toEqual(["ann"]), 10_000);
          const bob = await enter("bob");
          await vi.waitFor(
            () =>
              expect([ann.users(), bob.users()]).toEqual([
                ["ann", "bob"],
                ["ann", "bob"],
              ]),
            3000,
          );
          bob.socket.disconnect();
          // A long-poll client says nothing when it goes: its session ends after a window and a
          // half.
          await vi.waitFor(() => expect(ann.users()).toEqual(["ann"]), 15_000);
        });

        // Over long-poll, older clients take the end of a session for a new one and do not join
        // again, with Phoenix too.
        if (transport === "WebSocket" || version.startsWith("1.8")) {
          test("disconnected by its id, it connects and joins again by itself (C-138, C-172)", async () => {
            const user = `user-${version}-${transport}`;
            const socket = await connect({ user_id: user });
            const channel = socket.channel(fresh(), {});
            await answered(channel.join());
            let errors = 0;
            channel.onError(() => {
              errors += 1;
            });
            await server.run(() => Endpoint.disconnect("endpoint", `users:${user}`));
            await vi.waitFor(() => expect(errors).toBeGreaterThan(0), 10_000);
            await vi.waitFor(
              async () => expect(await answered(channel.push("echo", { back: 1 }, 500))).toEqual({ back: 1 }),
              8000,
            );
          });
        }

        if (transport === "WebSocket" && version !== "1.6") {
          test("bytes in an ArrayBuffer go as a binary frame, and bytes come back (C-180)", async () => {
            const [channel] = await joinedRoom();
            const pushed = new Promise<ArrayBuffer>((resolve) => channel.on("bin", resolve));
            const response = (await answered(
              channel.push("bin", new Uint8Array([1, 2]).buffer as never),
            )) as ArrayBuffer;
            expect([...new Uint8Array(response)]).toEqual([1, 2, 3, 4]);
            expect([...new Uint8Array(await pushed)]).toEqual([0, 1]);
          });
        }

        if (version.startsWith("1.8")) {
          test("its token arrives (C-181, C-070)", async () => {
            const socket = await connect({}, { authToken: "the token" });
            const channel = socket.channel(fresh(), {});
            await answered(channel.join());
            expect(await answered(channel.push("info", {}))).toMatchObject({
              connect_info: { auth_token: "the token" },
            });
          });
        }
      });
    }
  }

  test("refs count up as text, and the join's ref is the join_ref (C-170, C-171)", async () => {
    const frames: unknown[] = [];
    const socket = new current.Socket(`ws://127.0.0.1:${server.port}/socket`, {
      transport: WebSocket as never,
    } as never);
    const send = WebSocket.prototype.send;
    const spy = vi.spyOn(WebSocket.prototype, "send").mockImplementation(function (
      this: WebSocket,
      data: never,
    ) {
      frames.push(JSON.parse(String(data)));
      (send as (data: never) => void).call(this, data);
    } as never);
    socket.connect();
    const channel = socket.channel("room:refs", {});
    await answered(channel.join());
    await answered(channel.push("echo", {}));
    await answered(channel.leave());
    spy.mockRestore();
    socket.disconnect();
    const [join, push, leave] = (frames as [string, string, string, string][]).filter(
      ([, , topic]) => topic === "room:refs",
    );
    expect(join?.[0]).toBe(join?.[1]);
    expect([push?.[0], leave?.[0], leave?.[3]]).toEqual([join?.[0], join?.[0], "phx_leave"]);
    expect([join, push, leave].every((frame) => /^\d+$/.test(String(frame?.[1])))).toBe(true);
  });

  test("a join that is not answered in time is left and tried again, and then works (C-173, C-175)", async () => {
    const socket = new current.Socket(`ws://127.0.0.1:${server.port}/socket`, {
      transport: WebSocket as never,
      rejoinAfterMs: () => 20,
    } as never);
    socket.connect();
    let slow = 400;
    const channel = socket.channel("room:slow-join", () => ({ slow_ms: slow }));
    const timedOut = new Promise((resolve) =>
      channel.join(60).receive("timeout", () => {
        slow = 0;
        resolve(true);
      }),
    );
    expect(await timedOut).toBe(true);
    await vi.waitFor(
      async () => expect(await answered(channel.push("echo", { n: 1 }, 300))).toEqual({ n: 1 }),
      8000,
    );
    socket.disconnect();
  });

  test("the client's heartbeat is answered, and a silent server is left (C-177)", async () => {
    let opens = 0;
    const socket = new current.Socket(`ws://127.0.0.1:${server.port}/socket`, {
      transport: WebSocket as never,
      heartbeatIntervalMs: 200,
      reconnectAfterMs: () => 20,
    } as never);
    socket.onOpen(() => {
      opens += 1;
    });
    socket.connect();
    await vi.waitFor(() => expect(opens).toBe(1), 10_000);
    await new Promise((resolve) => setTimeout(resolve, 900));
    expect(opens).toBe(1);
    socket.disconnect();
  });

  test("a client with fallback keeps a WebSocket that answers, else long-polls (C-182)", async () => {
    const connect = (port: number, path: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = new current.Socket(`ws://127.0.0.1:${port}${path}`, {
          transport: WebSocket as never,
          longPollFallbackMs: 1500,
        } as never);
        socket.connect();
        const channel = socket.channel("room:fallback", {});
        channel.join().receive("ok", () => {
          resolve((socket as unknown as { transport: { name: string } }).transport.name);
          socket.disconnect();
        });
      });
    expect(await connect(server.port, "/socket")).toBe("WebSocket");
    const noWebSocket = await startServer({
      checkOrigin: false,
      sockets: { "/socket": { module: fixture("socket"), websocket: false, longpoll: { windowMs: 300 } } },
    });
    expect(await connect(noWebSocket.port, "/socket")).toBe("LongPoll");
    await noWebSocket.stop();
  });

  test("whatever code a client closes with, its channels end and it may come back (C-184, C-185)", async () => {
    const socket = new current.Socket(`ws://127.0.0.1:${server.port}/socket`, {
      transport: WebSocket as never,
    } as never);
    socket.connect();
    await answered(socket.channel("room:closing", {}).join());
    for (const code of [undefined, 1000, 3001]) {
      await new Promise<void>((resolve) => socket.disconnect(resolve, code as never, "reason"));
      socket.connect();
      await vi.waitFor(() => expect(socket.isConnected()).toBe(true), 10_000);
    }
    socket.disconnect();
  });

  test("each frame of the runtime has an object as payload (C-188)", async () => {
    const client = await RawClient.connect(`ws://127.0.0.1:${server.port}/socket/websocket?vsn=2.0.0`);
    client.send(null, "1", "phoenix", "heartbeat", {});
    client.send("2", "2", "room:frames", "phx_join", {});
    await client.until(2);
    client.send("2", "3", "room:frames", "boom", {});
    await client.until(3);
    client.send("4", "4", "room:frames", "phx_join", {});
    await client.until(4);
    client.send("4", "5", "room:frames", "phx_leave", {});
    client.send("6", "6", "no one", "phx_join", {});
    client.send("7", "7", "priv:1", "phx_join", {});
    const frames = (await client.until(8)) as [unknown, unknown, unknown, string, unknown][];
    expect(frames.map((frame) => frame[3]).sort()).toEqual([
      "phx_close",
      "phx_error",
      ...new Array(6).fill("phx_reply"),
    ]);
    for (const frame of frames) expect(frame[4]).toBeTypeOf("object");
    expect(frames.every((frame) => frame[4] !== null)).toBe(true);
    client.close();
  });
});

describe("Supabase's realtime-js (C-031, C-189)", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({
      checkOrigin: false,
      sockets: {
        "/realtime/v1": {
          module: new URL("../fixtures/supabase-socket.ts", import.meta.url),
          serializers: [
            ["supabase_json", "~> 2.0.0"],
            ["v1_json", "~> 1.0.0"],
          ],
        },
      },
    });
  });
  afterAll(() => server.stop());

  test.each(["2.0.0", "1.0.0"])(
    "C-031 C-189 with vsn %s it subscribes, broadcasts and receives",
    async (vsn) => {
      const client = (): RealtimeClient =>
        new RealtimeClient(`ws://127.0.0.1:${server.port}/realtime/v1`, {
          params: { apikey: "key" },
          transport: WebSocket as never,
          vsn,
        } as never);
      const [one, two] = [client(), client()];
      const received: unknown[] = [];
      const subscribe = (each: RealtimeClient, self: boolean) =>
        new Promise<ReturnType<RealtimeClient["channel"]>>((resolve, reject) => {
          const channel = each.channel("room", { config: { broadcast: { self, ack: true } } });
          channel.on("broadcast", { event: "note" }, (message) => void received.push(message));
          channel.subscribe((status, error) => {
            if (status === "SUBSCRIBED") resolve(channel);
            else if (status !== "CLOSED") reject(error ?? new Error(status));
          });
        });
      const [sender] = [await subscribe(one, false), await subscribe(two, false)];
      expect(await sender.send({ type: "broadcast", event: "note", payload: { text: "hello" } })).toBe("ok");
      await vi.waitFor(() => expect(received).toHaveLength(1), 10_000);
      expect(received[0]).toMatchObject({ event: "note", payload: { text: "hello" } });
      if (vsn === "2.0.0") {
        const bytes = new Uint8Array([1, 2, 3]);
        await sender.send({ type: "broadcast", event: "note", payload: bytes.buffer as never });
        await vi.waitFor(() => expect(received).toHaveLength(2), 10_000);
        const { payload } = received[1] as { payload: ArrayBuffer };
        expect([...new Uint8Array(payload)]).toEqual([1, 2, 3]);
      }
      await Promise.all([one.disconnect(), two.disconnect()]);
    },
  );
});
