/** The socket of reshard.test.ts: rooms that say in which thread they are, and who is in them. */
import { defineChannel, defineSocket, joined, noreply, ok, reply } from "simurgh/channels";
import { definePresence } from "simurgh/presence";
import { type ChildSpec, send, thisNode } from "simurgh/runtime";

export const presence = definePresence({ name: "ReshardPresence" });

export const shardTree = (_args: unknown, { pubsub }: { pubsub: string }): ChildSpec[] => [
  presence.childSpec({ pubsub }),
];

const room = defineChannel("room:*", {
  join(_topic, _params, socket) {
    send(socket.channelPid, "after join");
    return joined(socket, { thread: thisNode().index });
  },
  handleIn: { echo: (payload, socket) => reply("ok", payload, socket) },
  async handleInfo(_message, socket) {
    await presence.track(socket, "client", {});
    return noreply(socket);
  },
});

export default defineSocket({
  channels: [room],
  connect: (_params, socket) => ok(socket),
  id: () => "someone",
});
