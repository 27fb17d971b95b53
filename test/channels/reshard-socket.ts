/** The socket of the tests of `Endpoint.reshard`: rooms that say in which thread they are, and who is in them. */
import {
  assign,
  type ChannelSocket,
  defineChannel,
  defineSocket,
  joined,
  noreply,
  ok,
  push,
  reply,
} from "simurgh/channels";
import { definePresence } from "simurgh/presence";
import { type ChildSpec, send, thisNode } from "simurgh/runtime";

export const presence = definePresence({ name: "ReshardPresence", leaveGraceMs: 20_000 });

export const shardTree = (_args: unknown, { pubsub }: { pubsub: string }): ChildSpec[] => [
  presence.childSpec({ pubsub }),
];

const room = defineChannel("room:*", {
  join(_topic, params: { readonly name?: string } | null, socket: ChannelSocket) {
    send(socket.channelPid, "after join");
    return joined(assign(socket, { name: params?.name ?? "client" }), { thread: thisNode().index });
  },
  handleIn: { echo: (payload: unknown, socket: ChannelSocket) => reply("ok", payload, socket) },
  async handleInfo(_message, socket: ChannelSocket) {
    await presence.track(socket, socket.assigns.name as string, {});
    push(socket, "presence_state", await presence.list(socket));
    return noreply(socket);
  },
});

export default defineSocket({
  channels: [room],
  connect: (_params, socket) => ok(socket),
  id: () => "someone",
});
