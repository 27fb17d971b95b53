/** A socket with options and a serializer of its own, and a connect that does as the params say. */
import {
  assign,
  type ChannelSocket,
  defineChannel,
  defineSocket,
  error,
  joined,
  ok,
  reply,
  type Serializer,
  v2Json,
} from "simurgh/channels";

/** V2, with the events it sends in capitals. */
const shouting: Serializer = {
  ...v2Json,
  name: "shouting",
  encodeReply: (joinRef, ref, topic, status, response) =>
    JSON.stringify([joinRef, ref, topic, "PHX_REPLY", { status, response }]),
  encodeBroadcast: ({ topic, event, payload }) =>
    JSON.stringify([null, null, topic, event.toUpperCase(), payload]),
};

export default defineSocket({
  options: { connectInfo: [{ from: "definition" }] },
  serializers: [shouting],
  connect(params, socket, info) {
    if (params.throw !== undefined) throw new Error("connect throws");
    if (params.refuse !== undefined) return error(params.refuse);
    return ok(assign(socket, { params, info }));
  },
  id({ assigns }) {
    const { id, bad_id } = assigns.params as { id?: string; bad_id?: string };
    return bad_id === undefined ? (id ?? null) : (7 as never);
  },
  channels: [
    defineChannel("room:*", {
      join: (_topic: string, _params: unknown, socket: ChannelSocket) => joined(socket),
      handleIn: { show: (_payload: unknown, socket: ChannelSocket) => reply("ok", socket.assigns, socket) },
    }),
  ],
});
