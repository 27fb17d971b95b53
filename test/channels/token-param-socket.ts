/** The socket of long-poll-clients.test.ts: lets in who shows a token as the param `token`, as many applications do. */
import { assign, defineChannel, defineSocket, error, joined, ok, reply } from "simurgh/channels";

const room = defineChannel("room:*", {
  join: (_topic, _params, socket) => joined(socket),
  handleIn: { who: (_payload, socket) => reply("ok", { user: socket.assigns.user }, socket) },
});

/** Tokens that were good once. */
const revoked = new Set<string>();
export const revoke = (token: string): unknown => revoked.add(token);

export default defineSocket({
  channels: [room],
  connect({ token }, socket) {
    const user = /^good-(\w+)$/.exec(String(token))?.[1];
    if (user === undefined || revoked.has(token)) return error("bad token");
    return ok(assign(socket, "user", user));
  },
  id: (socket) => `users:${socket.assigns.user}`,
});
