/** Run by channel-test.test.ts with node:test: one test that passes, one that fails. */
import { test } from "node:test";
import { type ChannelSocket, defineChannel, defineSocket, joined, ok, reply } from "simurgh/channels";
import { channelTest } from "simurgh/testing";

const socket = defineSocket({
  connect: (_params, socket) => ok(socket),
  channels: [
    defineChannel("room:*", {
      join: (_topic: string, _params: unknown, socket: ChannelSocket) => joined(socket),
      handleIn: { echo: (payload: unknown, socket: ChannelSocket) => reply("ok", payload, socket) },
    }),
  ],
});

test(
  "passes",
  channelTest(socket, async (t) => {
    const { socket } = await t.subscribeAndJoin(t.socket(), "room:1");
    await t.assertReply(t.push(socket, "echo", { a: 1 }), "ok", { a: 1 });
  }),
);

test(
  "fails",
  channelTest(socket, async (t) => {
    await t.subscribeAndJoin(t.socket(), "room:1");
    await t.assertPush("nothing");
  }),
);
