/** The socket of endpoint.test.ts: a room that does everything a channel can do. */
import {
  assign,
  broadcast,
  broadcastFrom,
  type ChannelSocket,
  defineChannel,
  defineSocket,
  error,
  joined,
  noreply,
  ok,
  push,
  refused,
  reply,
  replyTo,
  socketRef,
  stop,
} from "simurgh/channels";
import { send, sleep } from "simurgh/runtime";

export const room = defineChannel("room:*", {
  intercept: ["icept"],
  async join(_topic, params, socket) {
    if (params.slow_ms) await sleep(params.slow_ms);
    if (params.crash) throw new Error("join crash");
    if (params.refuse) return refused({ reason: "unauthorized" });
    send(socket.channelPid, "after join");
    return joined(assign(socket, "name", params.name ?? "?"), params.reply ?? {}, params.options);
  },
  handleIn: {
    echo: (payload, socket) => reply("ok", payload, socket),
    status: (payload, socket) => reply(payload.status, socket),
    noreply: (_payload, socket) => noreply(socket),
    later(payload, socket) {
      send(socket.channelPid, ["later", socketRef(socket), payload.n]);
      return noreply(socket);
    },
    bin: (payload, socket) => {
      push(socket, "bin", new Uint8Array([0, 1]));
      return reply("ok", new Uint8Array([...(payload as Uint8Array), 3, 4]), socket);
    },
    shout(payload, socket) {
      broadcast(socket, "shout", payload);
      return noreply(socket);
    },
    shout_from(payload, socket) {
      broadcastFrom(socket, "shout", payload);
      return noreply(socket);
    },
    push_then_shout(payload, socket) {
      push(socket, "first", payload);
      broadcast(socket, "second", payload);
      push(socket, "third", payload);
      return noreply(socket);
    },
    icept(payload, socket) {
      broadcast(socket, "icept", payload);
      return noreply(socket);
    },
    boom: () => {
      throw new Error("boom");
    },
    float(_payload, socket) {
      void Promise.reject(new Error("nobody awaits this"));
      return reply("ok", socket);
    },
    stop: (_payload, socket) => stop("shutdown", socket),
    stop_bad: (_payload, socket) => stop("bad", socket),
    stop_reply: (_payload, socket) => stop("normal", ["ok", { bye: true }], socket),
    async slow(payload, socket) {
      await sleep(payload.ms);
      return reply("ok", socket);
    },
    spin(payload, socket) {
      const end = performance.now() + payload.ms;
      while (performance.now() < end);
      return reply("ok", socket);
    },
    half(_payload, socket) {
      const halves = { "key \ud800": "half \udfff of \\udfff", whole: "\ud83d\ude00" };
      push(socket, "half", halves);
      broadcast(socket, "half", halves);
      return reply("ok", halves, socket);
    },
    send_to_self(payload, socket) {
      for (const message of payload.messages) send(socket.channelPid, message);
      return noreply(assign(socket, "got", 0));
    },
    kill_thread: () => process.exit(9),
    info: (_payload, socket) =>
      reply("ok", { assigns: socket.assigns, join_ref: socket.joinRef, topic: socket.topic }, socket),
  },
  handleOut: {
    icept(payload, socket: ChannelSocket) {
      push(socket, "icept", { ...payload, via: socket.assigns.name });
      return noreply(socket);
    },
  },
  handleInfo(message, socket) {
    if (typeof socket.assigns.got === "number") {
      push(socket, "got", { n: socket.assigns.got + 1 });
      return noreply(assign(socket, "got", socket.assigns.got + 1));
    }
    if (message === "after join") push(socket, "welcome", { name: socket.assigns.name });
    if (Array.isArray(message) && message[0] === "later") {
      for (let n = 0; n < message[2]; n += 1) replyTo(message[1], "ok", { n });
    }
    return noreply(socket);
  },
  terminate(reason, socket) {
    if (Array.isArray(reason) && reason[1] === "left") push(socket, "you left", {});
  },
});

export default defineSocket({
  options: { errorHandler: () => ({ status: 429, body: "Too many requests" }) },
  channels: [room],
  connect(params, socket) {
    if (params.reject) return error();
    if (params.ratelimit) return error("ratelimit");
    if (params.crash) throw new Error("connect crash");
    while (params.spin === "true");
    return ok(assign(socket, "user_id", params.user_id ?? null));
  },
  id: (socket) => (socket.assigns.user_id === null ? null : `users:${socket.assigns.user_id}`),
});
