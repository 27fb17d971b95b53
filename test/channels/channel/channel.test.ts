/** What a channel may do and what comes of it, with the test as its client. */
import {
  assign,
  broadcast,
  broadcastFrom,
  type Channel,
  type ChannelCallbacks,
  type ChannelSocket,
  defineChannel,
  defineSocket,
  Endpoint,
  joined,
  noreply,
  ok,
  push,
  refused,
  reply,
  replyTo,
  type SocketRef,
  socketRef,
  stop,
} from "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { exit, GenServer, isAlive, monitor, receive, send, spawn, trapExit } from "simurgh/runtime";
import type { ChannelTest } from "simurgh/testing";
import { describe, expect, test } from "vitest";
import { ChannelPush } from "../../../src/channels/channel/messages.js";
import { channelTest } from "../../support/patient-channel-test.js";

type Callbacks = Partial<ChannelCallbacks<"room:*", undefined, Record<never, never>>>;
const channel = (callbacks: Callbacks = {}): Channel =>
  defineChannel("room:*", { join: (_topic, _params, socket) => joined(socket), ...callbacks });
const socketOf = (...channels: Channel[]) =>
  defineSocket({ connect: (_params, socket) => ok(socket), channels });
/** A test of one channel, joined. */
const inRoom = (callbacks: Callbacks, fn: (t: ChannelTest, socket: ChannelSocket) => unknown) =>
  channelTest(socketOf(channel(callbacks)), async (t) => {
    trapExit(true);
    const { socket } = await t.subscribeAndJoin(t.socket("users:1", { user: 1 }), "room:1");
    await fn(t, socket);
  });
/** The reason a channel ended with. */
const exitReason = (): Promise<unknown> =>
  receive(
    (message) => (Array.isArray(message) && message[0] === "EXIT" ? { reason: message[2] } : undefined),
    {
      after: 1000,
    },
  ).then((found) => found?.reason);
const crash = (text: string | RegExp): unknown => [
  expect.objectContaining({
    message: typeof text === "string" ? expect.stringContaining(text) : expect.stringMatching(text),
  }),
  expect.anything(),
];

describe("routing", () => {
  const named = (pattern: string, name: string, more: object = {}): Channel =>
    defineChannel(pattern, {
      join: (_t: string, _p: unknown, socket: ChannelSocket) => joined(socket, { name, ...socket.assigns }),
      ...more,
    } as never);
  const joinedBy = async (t: ChannelTest, topic: string): Promise<unknown> => {
    const outcome = await t
      .join(t.socket(null, { from: "connection", both: "connection" }), topic)
      .catch((error: Error) => error.message);
    return typeof outcome === "string" ? outcome : (outcome.reply as { name?: string }).name;
  };

  test(
    "a pattern is a topic or a prefix, compared byte by byte (C-095, C-099)",
    channelTest(
      socketOf(named("room:*", "rooms"), named("exact", "exact"), named("größe:*", "größe")),
      async (t) => {
        for (const topic of ["room:", "room:1", "room:a:b:c", `room:${"x".repeat(10_000)}`])
          expect(await joinedBy(t, topic)).toBe("rooms");
        expect(await joinedBy(t, "exact")).toBe("exact");
        expect(await joinedBy(t, "größe:1")).toBe("größe");
        for (const topic of ["room", "Room:1", "exact2", "EXACT", "", "gro\u0308ße:1"])
          expect(await joinedBy(t, topic)).toContain("no channel of the socket serves");
      },
    ),
  );

  test("a star is allowed only at the end of a pattern, and alone matches all (C-095)", () => {
    for (const pattern of ["a*b", "a*b*", "*a", "**"])
      expect(() => channel.call(null) && named(pattern, "x")).toThrow("must end with *");
    expect(named("*", "all").pattern).toBe("*");
  });

  test(
    "the first matching pattern wins, and other topics are unmatched (C-096, C-098)",
    channelTest(
      socketOf(named("food*", "food"), named("foo*", "foo"), named("foo:1", "never")),
      async (t) => {
        expect([await joinedBy(t, "food:1"), await joinedBy(t, "foo:1"), await joinedBy(t, "fo")]).toEqual([
          "food",
          "foo",
          expect.stringContaining("no channel"),
        ]);
      },
    ),
  );

  test(
    "a route's assigns are there in join, and win over the connection's (C-097)",
    channelTest(socketOf(named("room:*", "rooms", { assigns: { both: "route", own: 1 } })), async (t) => {
      const outcome = await t.join(t.socket(null, { from: "connection", both: "connection" }), "room:1");
      expect(outcome.reply).toEqual({ name: "rooms", from: "connection", both: "route", own: 1 });
    }),
  );
});

describe("joining", () => {
  test(
    "pushing, broadcasting and answering inside join fail, and say what to do instead (C-107)",
    channelTest(socketOf(channel()), async (t) => {
      const errors: string[] = [];
      const attempt = (fn: () => unknown): void => {
        try {
          fn();
        } catch (error) {
          errors.push((error as Error).message);
        }
      };
      const early = channel({
        join(_topic, _params, socket) {
          attempt(() => push(socket, "x", {}));
          attempt(() => broadcast(socket, "x", {}));
          attempt(() => broadcastFrom(socket, "x", {}));
          attempt(() => socketRef(socket));
          send(socket.channelPid, "after join");
          return joined(socket);
        },
        handleInfo(message, socket) {
          push(socket, "now", { message });
          return noreply(socket);
        },
      });
      await t.subscribeAndJoin(t.socket(), early, "room:1");
      expect(errors.map((text) => text.split(" ")[0])).toEqual([
        "push()",
        "broadcast()",
        "broadcastFrom()",
        "socket",
      ]);
      expect(errors[0]).toContain('send(socket.channelPid, "after join"), and do it in handleInfo');
      await t.assertPush("now", { message: "after join" });
    }),
  );

  test(
    "inside callbacks the socket tells what it is (C-108)",
    inRoom(
      { handleIn: { show: (_payload, socket) => reply("ok", { ...socket, ref: socket.ref }, socket) } },
      async (t, socket) => {
        const ref = t.push(socket, "show");
        const shown = (await t.assertReply(ref, "ok")) as ChannelSocket;
        expect(shown).toMatchObject({
          assigns: { user: 1 },
          endpoint: t.endpoint,
          id: "users:1",
          joined: true,
          joinRef: socket.joinRef,
          ref,
          topic: "room:1",
          transport: "websocket",
          serializer: "noop",
        });
        expect(shown.channelPid.equals(socket.channelPid)).toBe(true);
        expect(isAlive(shown.transportPid)).toBe(true);
      },
    ),
  );

  test(
    "a refused join runs terminate with shutdown, and a crashed join does not (C-132)",
    channelTest(socketOf(channel()), async (t) => {
      const ends: unknown[] = [];
      const refusing = channel({
        join: (_topic, params) => {
          if ((params as { crash?: boolean }).crash) throw new Error("in join");
          return refused({ reason: "no" });
        },
        terminate: (reason) => void ends.push(reason),
      });
      expect(await t.join(t.socket(), refusing, "room:1")).toEqual({
        type: "refused",
        reply: { reason: "no" },
      });
      expect(await t.join(t.socket(), refusing, "room:1", { crash: true })).toEqual({
        type: "refused",
        reply: { reason: "join crashed", code: "join_crashed" },
      });
      expect(ends).toEqual(["shutdown"]);
    }),
  );
});

describe("events", () => {
  test(
    "noreply sends nothing (C-112)",
    inRoom({ handleIn: { quiet: (_payload, socket) => noreply(socket) } }, async (t, socket) => {
      await t.refuteReply(t.push(socket, "quiet"), "ok", {}, 30);
      expect(isAlive(socket.channelPid)).toBe(true);
    }),
  );

  test(
    "stop with a reply: the reply, then the close (C-114)",
    inRoom(
      { handleIn: { end: (_payload, socket) => stop("normal", ["done", { a: 1 }], socket) } },
      async (t, socket) => {
        const ref = t.push(socket, "end");
        const order: unknown[] = [];
        for (let n = 0; n < 2; n += 1)
          order.push(
            await receive((message) => {
              const { type, event } = message as { type?: string; event?: string };
              return type === "reply" ? "reply" : event;
            }),
          );
        expect(order).toEqual(["reply", "phx_close"]);
        expect(ref).toBeTypeOf("string");
        expect(await exitReason()).toBe("normal");
      },
    ),
  );

  test(
    "a timeout given with noreply comes as info unless a message comes first (C-115)",
    inRoom(
      {
        handleIn: {
          wait: ({ ms }: { ms: number }, socket) => noreply(socket, ms),
          rest: (_payload, socket) => noreply(socket, "hibernate"),
        },
        handleInfo(message, socket) {
          push(socket, "info", { message });
          return noreply(socket);
        },
      },
      async (t, socket) => {
        t.push(socket, "wait", { ms: 10 });
        await t.assertPush("info", { message: "timeout" }, 1000);
        t.push(socket, "wait", { ms: 60 });
        t.push(socket, "rest");
        await t.refutePush("info", {}, 120);
      },
    ),
  );

  const WRONG_RETURNS: readonly (readonly [string, unknown])[] = [
    ["nothing", undefined],
    ["a text", "ok"],
    ["a status that is no text", { type: "reply", status: 5, response: {}, socket: {} }],
    ["something without a socket", { type: "noreply" }],
    [
      "the payload in the place of the socket",
      { type: "reply", status: "ok", response: {}, socket: { assigns: {} } },
    ],
    ["what join returns", { type: "joined", socket: {}, reply: {} }],
  ];
  for (const [what, value] of WRONG_RETURNS) {
    test(
      `a handler that returns ${what} crashes the channel, with the forms it may return (C-116)`,
      inRoom({ handleIn: { wrong: () => value as never } }, async (t, socket) => {
        t.push(socket, "wrong");
        expect(await exitReason()).toEqual(
          crash(
            /handleIn wrong must return one of noreply\(socket\), .*reply\(status, response, socket\), stop/,
          ),
        );
      }),
    );
  }

  test(
    "a copy of the socket made by spreading is as good as one of assign (C-120)",
    channelTest(
      socketOf(
        channel({
          join: (_topic, _params, socket) => joined({ ...socket, assigns: { count: 1 } }),
          handleIn: {
            more: (_payload, socket) =>
              reply("ok", { count: socket.assigns.count }, { ...socket, assigns: { count: 2 } }),
          },
        }),
      ),
      async (t) => {
        const { socket } = await t.subscribeAndJoin(t.socket("users:1", {}), "room:1");
        await t.assertReply(t.push(socket, "more"), "ok", { count: 1 });
        await t.assertReply(t.push(socket, "more"), "ok", { count: 2 });
      },
    ),
  );

  test(
    "an unhandled event crashes the channel with its name (C-117)",
    inRoom({ handleIn: { known: (_payload, socket) => noreply(socket) } }, async (t, socket) => {
      t.push(socket, "constructor");
      expect(await exitReason()).toEqual(crash('has no handler for the event "constructor"'));
    }),
  );

  test(
    "a message without a ref is handled, and a reply to it has none (C-118)",
    inRoom({ handleIn: { ask: (_payload, socket) => reply("ok", { a: 1 }, socket) } }, async (_t, socket) => {
      send(socket.channelPid, new ChannelPush("ask", null, {}, 0));
      expect(
        await receive((message) => ((message as { type?: string }).type === "reply" ? message : undefined)),
      ).toMatchObject({ ref: null, payload: { a: 1 } });
    }),
  );

  test(
    "a push can be answered later, often, and after the channel has gone (C-120, C-121)",
    inRoom(
      {
        handleIn: {
          later(_payload, socket) {
            const ref = socketRef(socket);
            spawn(() => {
              replyTo(ref, "ok", { n: 1 });
              replyTo(ref, "ok", { n: 2 });
            });
            return noreply(assign(socket, "captured", ref));
          },
          captured: (_payload, socket) => reply("ok", { ref: socket.assigns.captured }, socket),
        },
        handleInfo(message, socket) {
          if (message === "outside")
            push(socket, "outside", { error: text(() => socketRef(socket)), ref: socket.ref });
          return noreply(socket);
        },
      },
      async (t, socket) => {
        const ref = t.push(socket, "later");
        await t.assertReply(ref, "ok", { n: 1 });
        await t.assertReply(ref, "ok", { n: 2 });
        send(socket.channelPid, "outside");
        await t.assertPush("outside", {
          error: "socket refs can only be generated for a socket that has joined with a push ref",
          ref: null,
        });
        const { ref: captured } = (await t.assertReply(t.push(socket, "captured"), "ok")) as {
          ref: SocketRef;
        };
        await t.close(socket);
        replyTo(captured, "ok", { late: true });
      },
    ),
  );

  const text = (fn: () => unknown): string => {
    try {
      return String(fn());
    } catch (error) {
      return (error as Error).message;
    }
  };
});

describe("broadcasts", () => {
  test(
    "endpoints broadcast and subscribe without a joined socket (C-124)",
    inRoom({}, async (t, socket) => {
      const { endpoint } = t;
      expect(Endpoint.broadcast(endpoint, "room:1", "a", {})).toBe("ok");
      expect(Endpoint.localBroadcast(endpoint, "room:1", "b", {})).toBe("ok");
      expect(Endpoint.broadcastFrom(endpoint, socket.channelPid, "room:1", "c", {})).toBe("ok");
      expect(Endpoint.localBroadcastFrom(endpoint, socket.channelPid, "room:1", "d", {})).toBe("ok");
      for (const event of ["a", "b"]) await t.assertPush(event);
      for (const event of ["a", "b", "c", "d"]) await t.assertBroadcast(event);
      await t.refutePush("c", {}, 10);
      await t.refutePush("d", {}, 10);
      expect(Endpoint.broadcastOrThrow(endpoint, "elsewhere", "e", {})).toBe("ok");
      expect(await Endpoint.subscribe(endpoint, "elsewhere")).toBe("ok");
      Endpoint.broadcast(endpoint, "elsewhere", "f", {});
      await t.assertBroadcast("f");
      expect(await Endpoint.unsubscribe(endpoint, "elsewhere")).toBe("ok");
      Endpoint.broadcast(endpoint, "elsewhere", "g", {});
      await t.refuteBroadcast("g", {}, 10);
      expect(() => Endpoint.broadcast("no one", "x", "y", {})).toThrow(
        "no endpoint named no one runs in this thread",
      );
    }),
  );

  test(
    "payloads are objects or bytes, and others throw in the caller (C-010)",
    inRoom(
      {
        handleIn: {
          try(_payload, socket) {
            const texts = [[1], "text", 5, null].map((payload) => {
              try {
                broadcast(socket, "x", payload);
                return "sent";
              } catch (error) {
                return (error as Error).message;
              }
            });
            return reply("ok", { texts }, socket);
          },
        },
      },
      async (t, socket) => {
        const { texts } = (await t.assertReply(t.push(socket, "try"), "ok")) as { texts: string[] };
        expect(texts).toEqual([
          "the payload of x must be an object or bytes, got an array",
          "the payload of x must be an object or bytes, got text",
          "the payload of x must be an object or bytes, got 5",
          "the payload of x must be an object or bytes, got null",
        ]);
        await t.refuteBroadcast("x", {}, 10);
      },
    ),
  );

  test(
    "broadcasts of other subscribed topics arrive in handleInfo (C-125, C-130)",
    inRoom(
      {
        handleIn: {
          async listen(_payload, socket) {
            for (let n = 0; n < 2; n += 1) await PubSub.subscribe(socket.pubsub, "news");
            return reply("ok", socket);
          },
        },
        handleInfo(message, socket) {
          push(socket, "received", { message });
          return noreply(socket);
        },
      },
      async (t, socket) => {
        await t.assertReply(t.push(socket, "listen"), "ok");
        Endpoint.broadcast(t.endpoint, "news", "flash", { a: 1 });
        for (let n = 0; n < 2; n += 1)
          await t.assertPush("received", { message: { topic: "news", event: "flash", payload: { a: 1 } } });
        // Not handed on by itself.
        await t.refutePush("flash", {}, 10);
      },
    ),
  );

  test(
    "broadcasts of one process arrive in order, between join and leave (C-129)",
    inRoom({}, async (t, socket) => {
      for (let n = 0; n < 50; n += 1) Endpoint.broadcast(t.endpoint, "room:1", "n", { n });
      for (let n = 0; n < 50; n += 1) expect(await t.assertPush("n")).toEqual({ n });
      t.leave(socket);
      await t.assertPush("phx_close");
      Endpoint.broadcast(t.endpoint, "room:1", "n", { n: "late" });
      await t.refutePush("n", {}, 10);
    }),
  );
});

describe("messages and calls", () => {
  test(
    "without handleInfo an unexpected message is logged and the channel lives on (C-130)",
    inRoom({ handleIn: { alive: (_payload, socket) => reply("ok", socket) } }, async (t, socket) => {
      send(socket.channelPid, "what is this");
      await t.assertReply(t.push(socket, "alive"), "ok");
    }),
  );

  test(
    "handleCall answers, waits or stops, and handleCast continues or stops (C-131)",
    inRoom(
      {
        handleCall(request, from, socket) {
          if (request === "later") {
            spawn(() => GenServer.reply(from, "later"));
            return noreply(socket);
          }
          if (request === "stop") return stop("asked", socket);
          return reply("ok", [request, socket.topic], socket);
        },
        handleCast(request, socket) {
          push(socket, "cast", { request });
          return request === "stop" ? stop("normal", socket) : noreply(socket);
        },
      },
      async (t, socket) => {
        const { channelPid } = socket;
        expect(await GenServer.call(channelPid, "now")).toEqual(["now", "room:1"]);
        expect(await GenServer.call(channelPid, "later")).toBe("later");
        GenServer.cast(channelPid, "one");
        await t.assertPush("cast", { request: "one" });
        await expect(GenServer.call(channelPid, "stop")).rejects.toMatchObject({
          reason: ["asked", expect.anything()],
        });
        expect(await exitReason()).toBe("asked");
      },
    ),
  );
});

describe("the end", () => {
  const ENDS: readonly (readonly [
    string,
    Callbacks,
    (t: ChannelTest, socket: ChannelSocket) => unknown,
    unknown,
    boolean,
  ])[] = [
    ["a leave", {}, (t, socket) => t.leave(socket), ["shutdown", "left"], true],
    [
      "stop normal",
      { handleIn: { go: (_p, socket) => stop("normal", socket) } },
      (t, s) => t.push(s, "go"),
      "normal",
      true,
    ],
    [
      "stop shutdown",
      { handleIn: { go: (_p, socket) => stop("shutdown", socket) } },
      (t, s) => t.push(s, "go"),
      "shutdown",
      true,
    ],
    [
      "stop with any other reason",
      { handleIn: { go: (_p, socket) => stop("bad", socket) } },
      (t, s) => t.push(s, "go"),
      "bad",
      true,
    ],
    ["the end of the connection", {}, (t, socket) => t.close(socket), ["shutdown", "closed"], true],
    ["a kill", {}, (_t, socket) => exit(socket.channelPid, "kill"), "killed", false],
    [
      "an exit from outside",
      {},
      (_t, socket) => exit(socket.channelPid, ["shutdown", "outside"]),
      ["shutdown", "outside"],
      false,
    ],
  ];
  for (const [what, callbacks, end, reason, terminates] of ENDS) {
    const ends: unknown[] = [];
    test(
      `${what} ends it with ${JSON.stringify(reason)} (C-132, C-134)`,
      inRoom({ ...callbacks, terminate: (why) => void ends.push(why) }, async (t, socket) => {
        const ref = monitor(socket.channelPid);
        await end(t, socket);
        const down = await receive((m) => (Array.isArray(m) && ref.equals(m[1]) ? m : undefined), {
          after: 1000,
        });
        expect(down?.[4]).toEqual(reason);
        expect(ends).toEqual(terminates ? [reason] : []);
        const graceful = terminates && reason !== "bad" && what !== "the end of the connection";
        if (graceful) await t.assertPush("phx_close");
        else await t.refutePush("phx_close", {}, 10);
      }),
    );
  }

  const thrown: unknown[] = [];
  test(
    "a handler that throws runs terminate with the error (C-132)",
    inRoom(
      {
        handleIn: {
          boom() {
            throw new Error("boom");
          },
        },
        terminate: (reason) => void thrown.push(reason),
      },
      async (t, socket) => {
        t.push(socket, "boom");
        await exitReason();
        expect(thrown).toEqual([crash("boom")]);
      },
    ),
  );
});
