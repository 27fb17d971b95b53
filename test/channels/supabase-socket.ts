/** As much of Supabase's realtime as its client needs to broadcast. */
import {
  assign,
  broadcast,
  broadcastFrom,
  type ChannelSocket,
  defineChannel,
  defineSocket,
  joined,
  noreply,
  ok,
  reply,
} from "simurgh/channels";

interface Join {
  readonly config?: { readonly broadcast?: { readonly self?: boolean; readonly ack?: boolean } };
}

export default defineSocket({
  connect: (_params, socket) => ok(socket),
  id: () => null,
  channels: [
    defineChannel("realtime:*", {
      join: (_topic: string, { config }: Join, socket: ChannelSocket) =>
        joined(assign(socket, { ...config?.broadcast }), { postgres_changes: [] }),
      handleIn: {
        access_token: (_payload: unknown, socket: ChannelSocket) => noreply(socket),
        broadcast(payload: unknown, socket: ChannelSocket) {
          const send = socket.assigns.self ? broadcast : broadcastFrom;
          send(socket, "broadcast", payload);
          return socket.assigns.ack ? reply("ok", socket) : noreply(socket);
        },
      },
    }),
  ],
});
