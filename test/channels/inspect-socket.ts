/** A socket that shows what its `connect` was given. */
import { assign, type ChannelSocket, defineChannel, defineSocket, joined, ok, reply } from "simurgh/channels";

export default defineSocket({
  connect: (params, socket, info) => ok(assign(socket, { params, info })),
  id: () => null,
  channels: [
    defineChannel("room:*", {
      join: (_topic: string, _params: unknown, socket: ChannelSocket) => joined(socket),
      handleIn: { show: (_payload: unknown, socket: ChannelSocket) => reply("ok", socket.assigns, socket) },
    }),
  ],
});
