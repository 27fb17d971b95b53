import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  assign,
  broadcast,
  type ChannelSocket,
  defineChannel,
  defineSocket,
  Endpoint,
  error,
  joined,
  noreply,
  ok,
  push,
  refused,
  reply,
  stop,
} from "simurgh/channels";
import { definePresence } from "simurgh/presence";
import { PubSub } from "simurgh/pubsub";
import { isAlive, monitor, receive, send, sleep, trapExit, unlink } from "simurgh/runtime";
import type { ChannelTest } from "simurgh/testing";
import { describe, expect, test } from "vitest";
import { channelTest } from "../support/patient-channel-test.js";

const People = definePresence({ name: "TestPeople" });
const ended: unknown[] = [];

const room = defineChannel("room:*", {
  join(topic: string, params: { refuse?: boolean; slow?: number } | null, socket: ChannelSocket) {
    if (params?.refuse) return refused({ reason: "no" });
    return joined(assign(socket, { topic, params }), { welcome: topic });
  },
  handleIn: {
    echo: (payload: unknown, socket: ChannelSocket) => reply("ok", payload, socket),
    tell(payload: object, socket: ChannelSocket) {
      push(socket, "notified", { ...payload, to: "you" });
      return noreply(socket);
    },
    shout(payload: unknown, socket: ChannelSocket) {
      broadcast(socket, "shouted", payload);
      return noreply(socket);
    },
    assigns: (_payload: unknown, socket: ChannelSocket) => reply("ok", socket.assigns, socket),
    boom() {
      throw new Error("boom");
    },
    stop: (_payload: unknown, socket: ChannelSocket) => stop("normal", ["ok", {}], socket),
    async track(_payload: unknown, socket: ChannelSocket) {
      await People.track(socket, "me", {});
      return reply("ok", await People.list(socket), socket);
    },
  },
  async terminate(reason, socket) {
    const { slow } = (socket.assigns.params ?? {}) as { slow?: number };
    if (slow !== undefined) await sleep(slow);
    ended.push(reason);
  },
});
const other = defineChannel("other:*", {
  join: (_topic: string, _params: unknown, socket: ChannelSocket) => joined(socket, { other: true }),
});

const userSocket = defineSocket({
  connect: (params, socket, info) =>
    params.refuse === undefined ? ok(assign(socket, { user: params.user, ...info })) : error(params.refuse),
  id: ({ assigns }) => (assigns.user === undefined ? null : `users:${assigns.user}`),
  channels: [room],
});

describe.concurrent("ChannelTest", () => {
  test(
    "a socket with an id and assigns needs no connection (C-190)",
    channelTest(userSocket, async (t) => {
      const when = new Date();
      const { socket, reply: welcome } = await t.subscribeAndJoin(
        t.socket("users:1", { user: 1 }),
        "room:7",
        { a: 1 },
      );
      expect(welcome).toEqual({ welcome: "room:7" });
      expect(socket.id).toBe("users:1");
      const ref = t.push(socket, "assigns");
      await t.assertReply(ref, "ok", { user: 1, topic: "room:7", params: { a: 1 } });
      const echoed = await t.assertReply(t.push(socket, "echo", { when, map: new Map([[1, 2]]) }), "ok");
      expect(echoed).toEqual({ when, map: new Map([[1, 2]]) });
    }),
  );

  test(
    "connect runs the real connect and id, and a disconnect of that id can be seen (C-190)",
    channelTest(userSocket, async (t) => {
      expect(await t.connect({ refuse: "too young" })).toEqual({ type: "error", reason: "too young" });
      const result = await t.connect({ user: "7" }, { connectInfo: { userAgent: "a test" } });
      expect(result).toMatchObject({
        type: "ok",
        socket: { id: "users:7", assigns: { user: "7", userAgent: "a test" } },
      });
      Endpoint.disconnect(t.endpoint, "users:7");
      await t.assertBroadcast("disconnect", {});
    }),
  );

  test(
    "join by route or channel: joined, refused, or unmatched (C-191)",
    channelTest(userSocket, async (t) => {
      expect(await t.join(t.socket(), "room:1")).toMatchObject({
        type: "joined",
        reply: { welcome: "room:1" },
      });
      expect(await t.join(t.socket(), "room:1", { refuse: true })).toEqual({
        type: "refused",
        reply: { reason: "no" },
      });
      expect(await t.join(t.socket(), other, "other:1")).toMatchObject({
        type: "joined",
        reply: { other: true },
      });
      await expect(t.join(t.socket(), "no one:1")).rejects.toThrow(
        'no channel of the socket serves the topic "no one:1"',
      );
      await expect(t.subscribeAndJoin(t.socket(), "room:1", { refuse: true })).rejects.toThrow(
        'could not join channel, got error: {"reason":"no"}',
      );
    }),
  );

  test(
    "each push has its own ref, and leave and close may be repeated (C-192)",
    channelTest(userSocket, async (t) => {
      const { socket } = await t.subscribeAndJoin(t.socket(), "room:left");
      const refs = [
        t.push(socket, "echo", { n: 1 }),
        t.push(socket, "echo", { n: 2 }),
        t.push(socket, "echo"),
      ];
      expect(new Set(refs).size).toBe(3);
      await t.assertReply(refs[1] as string, "ok", { n: 2 });
      await t.assertReply(refs[0] as string, "ok", { n: 1 });
      await t.assertReply(refs[2] as string, "ok", {});
      unlink(socket.channelPid);
      const down = monitor(socket.channelPid);
      await t.assertReply(t.leave(socket), "ok");
      await t.assertPush("phx_close");
      expect(
        await receive(
          (message) => (Array.isArray(message) && down.equals(message[1]) ? message[4] : undefined),
          { after: 500 },
        ),
      ).toEqual(["shutdown", "left"]);
      t.leave(socket);
      await t.close(socket);
      await t.close(socket);
    }),
  );

  test(
    "close ends the channel, waits, and kills one that does not end (C-192)",
    channelTest(userSocket, async (t) => {
      trapExit(true);
      const { socket } = await t.subscribeAndJoin(t.socket(), "room:closed");
      await t.close(socket);
      expect(isAlive(socket.channelPid)).toBe(false);
      expect(ended).toContainEqual(["shutdown", "closed"]);
      const { socket: slow } = await t.subscribeAndJoin(t.socket(), "room:slow", { slow: 60_000 });
      const before = ended.length;
      await t.close(slow, 20);
      expect(isAlive(slow.channelPid)).toBe(false);
      // Killed: terminate did not come to its end.
      expect(ended.filter((reason) => reason === "killed")).toEqual([]);
      expect(ended.length).toBeGreaterThanOrEqual(before);
    }),
  );

  test(
    "patterns are partial and may be predicates, and failures list messages (C-193)",
    channelTest(userSocket, async (t) => {
      const { socket } = await t.subscribeAndJoin(t.socket(), "room:1");
      t.push(socket, "tell", { deep: { a: 1, b: 2 }, list: [1, { c: 3, d: 4 }] });
      expect(await t.assertPush("notified", { deep: { a: 1 }, list: [1, { c: 3 }] })).toMatchObject({
        to: "you",
      });
      t.push(socket, "tell", { n: 5 });
      await t.assertPush("notified", ({ n }: { n: number }) => n > 4);
      t.push(socket, "tell", { n: 5 });
      t.push(socket, "tell", { n: 7 });
      // The one before has come, too.
      await t.assertPush("notified", { n: 7 });
      await expect(t.assertPush("notified", { n: 6 }, 20)).rejects.toThrow(
        /a push of notified with \{"n":6\} did not come within 20 ms; in the mailbox:\n.*"n":5/,
      );
      await expect(t.assertReply("ref-0", "ok", {}, 5)).rejects.toThrow("the reply ok to ref-0");
      await expect(t.assertBroadcast("nothing", {}, 5)).rejects.toThrow("the mailbox is empty");
      await expect(t.assertPush("notified", { list: [1] }, 5)).rejects.toThrow("did not come");
    }),
  );

  test(
    "refusing waits the whole time, and fails for what came (C-193)",
    channelTest(userSocket, async (t) => {
      const { socket } = await t.subscribeAndJoin(t.socket(), "room:1");
      const from = performance.now();
      await t.refutePush("notified", {}, 60);
      expect(performance.now() - from).toBeGreaterThanOrEqual(59);
      await t.refuteReply("ref-0", "ok", {}, 5);
      await t.refuteBroadcast("shouted", {}, 5);
      t.push(socket, "shout", { loud: true });
      await expect(t.refuteBroadcast("shouted", { loud: true })).rejects.toThrow(
        "this came, and should not have",
      );
      const ref = t.push(socket, "echo");
      await t.refuteReply(ref, "error", {}, 20);
      await expect(t.refuteReply(ref, "ok")).rejects.toThrow("should not have");
    }),
  );

  test(
    "assertBroadcast needs a subscription (C-193)",
    channelTest(userSocket, async (t) => {
      const joined = await t.join(t.socket(), "room:quiet");
      if (joined.type !== "joined") throw new Error("refused");
      t.push(joined.socket, "shout", { a: 1 });
      await t.assertPush("shouted", { a: 1 });
      await t.refuteBroadcast("shouted", {}, 20);
      await PubSub.subscribe(t.pubsub, "room:quiet");
      t.push(joined.socket, "shout", { a: 2 });
      await t.assertBroadcast("shouted", { a: 2 });
      await t.assertPush("shouted", { a: 2 });
    }),
  );

  test(
    "broadcastFrom reaches the channel's client and not the test itself (C-194)",
    channelTest(userSocket, async (t) => {
      const { socket } = await t.subscribeAndJoin(t.socket(), "room:1");
      expect(t.broadcastFrom(socket, "news", { a: 1 })).toBe("ok");
      expect(t.broadcastFromOrThrow(socket, "news", { a: 2 })).toBe("ok");
      await t.assertPush("news", { a: 1 });
      await t.assertPush("news", { a: 2 });
      await t.refuteBroadcast("news", {}, 20);
    }),
  );

  test("a channel that crashes fails its test (C-195)", async () => {
    const crashing = channelTest(userSocket, async (t) => {
      const { socket } = await t.subscribeAndJoin(t.socket(), "room:1");
      t.push(socket, "boom");
      await sleep(5000);
    });
    await expect(crashing()).rejects.toMatchObject({
      reason: [expect.objectContaining({ message: "boom" }), expect.anything()],
    });
  });

  test(
    "unless the test traps exits: then it sees how the channel ended (C-195)",
    channelTest(userSocket, async (t) => {
      trapExit(true);
      const { socket } = await t.subscribeAndJoin(t.socket(), "room:1");
      const exit = (): Promise<unknown> =>
        receive((message) => (Array.isArray(message) && message[0] === "EXIT" ? message[2] : undefined), {
          after: 500,
        });
      t.push(socket, "boom");
      expect(await exit()).toEqual([expect.objectContaining({ message: "boom" }), expect.anything()]);
      const again = await t.subscribeAndJoin(t.socket(), "room:1");
      t.push(again.socket, "stop");
      expect(await exit()).toBe("normal");
    }),
  );

  test(
    "the application's own processes, such as a presence, can be there (C-190)",
    channelTest(
      userSocket,
      async (t) => {
        const { socket } = await t.subscribeAndJoin(t.socket(), "room:1");
        await t.assertReply(t.push(socket, "track"), "ok", { me: { metas: [{}] } });
        await t.assertPush("presence_diff", { joins: { me: {} } });
      },
      { children: ({ pubsub }) => [People.childSpec({ pubsub })] },
    ),
  );
});

test("many tests run side by side, each with its own runtime", async () => {
  const seen = new Set<string>();
  const run = (n: number): Promise<void> =>
    channelTest(userSocket, async (t: ChannelTest) => {
      seen.add(t.endpoint);
      const { socket } = await t.subscribeAndJoin(t.socket(), "room:same");
      t.push(socket, "shout", { n });
      await t.assertBroadcast("shouted", { n }, 2000);
      await t.refuteBroadcast("shouted", {}, 20);
      send(socket.channelPid, "ignored");
    })();
  await Promise.all(Array.from({ length: 20 }, (_, n) => run(n)));
  expect(seen.size).toBe(20);
});

test("it works with node:test", () => {
  const { stdout, status } = spawnSync(
    process.execPath,
    [
      "--import",
      "./scripts/typescript-loader.mjs",
      "--conditions",
      "simurgh-source",
      "--test",
      "--test-reporter=tap",
      "test/testing/fixture-node-test.ts",
    ],
    {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      encoding: "utf8",
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    },
  );
  expect(stdout).toMatch(/# pass 1\n# fail 1/);
  expect(stdout).toContain("a push of nothing with {} did not come within 100 ms");
  expect(status).toBe(1);
});
