import { assign, defineChannel, defineSocket, joined, noreply, ok, push, reply } from "simurgh/channels";
import { definePresence } from "simurgh/presence";
import { send } from "simurgh/runtime";

export const RoomPresence = definePresence({
  name: "RoomPresence",
  // All names of a list in one query; here they are made up.
  fetch: async (_topic, presences) =>
    Object.fromEntries(
      Object.entries(presences).map(([id, entry]) => [id, { ...entry, user: { name: `user ${id}` } }]),
    ),
});

const room = defineChannel("room:*", {
  join(_topic, params, socket) {
    send(socket.channelPid, "after join");
    return joined(assign(socket, "userId", String(params.user_id)));
  },

  handleIn: {
    async typing({ on }, socket) {
      await RoomPresence.update(socket, socket.assigns.userId, (meta) => ({ ...meta, typing: on }));
      return reply("ok", socket);
    },
  },

  async handleInfo(message, socket) {
    if (message !== "after join") return noreply(socket);
    RoomPresence.pushState(socket, (event, payload) => push(socket, event, payload));
    await RoomPresence.track(socket, socket.assigns.userId, { typing: false });
    return noreply(socket);
  },
});

export default defineSocket({ channels: [room], connect: (_params, socket) => ok(socket), id: () => null });
