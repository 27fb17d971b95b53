/** A socket for tests of what can be seen of it. */
import {
  assign,
  type ChannelSocket,
  defineChannel,
  defineSocket,
  error,
  expireAt,
  joined,
  ok,
  refused,
  reply,
} from "simurgh/channels";

const join = (_topic: string, _params: unknown, socket: ChannelSocket) => joined(socket);
const handleIn = {
  echo: (payload: unknown, socket: ChannelSocket) => reply("ok", payload, socket),
  extend({ ms }: { readonly ms: number }, socket: ChannelSocket) {
    expireAt(socket, Date.now() + ms);
    return reply("ok", socket);
  },
  boom() {
    throw new Error("boom");
  },
};

export default defineSocket({
  connect(params, socket) {
    if (params.refuse !== undefined) return error();
    const who = params.user === undefined ? socket : assign(socket, "user", params.user);
    return params.for === undefined ? ok(who) : ok(who, { expiresAt: Date.now() + Number(params.for) });
  },
  id: ({ assigns }) => (assigns.user === undefined ? null : `users:${assigns.user}`),
  channels: [
    defineChannel("room:*", { join, handleIn }),
    defineChannel("loud:*", { join, handleIn, logJoin: false, logHandleIn: "warning" }),
    defineChannel("phoenix:*", { join, handleIn }),
    defineChannel("refuse:*", { join: () => refused({ reason: "no" }) }),
    defineChannel("crash:*", {
      join: () => {
        throw new Error("crash in join");
      },
    }),
  ],
});
