import { BroadcastChannel } from "node:worker_threads";
import {
  broadcast,
  type ChannelSocket,
  defineChannel,
  defineSocket,
  joined,
  noreply,
  ok,
  push,
  reply,
} from "simurgh/channels";
import { sleep } from "simurgh/runtime";

/** Opened by the test, whichever thread this runs in. */
const gate = new BroadcastChannel(`limits ${process.pid}`) as BroadcastChannel & { unref(): void };
gate.unref();
const opened = new Promise<void>((resolve) => {
  gate.onmessage = () => resolve();
});

export default defineSocket({
  async connect(params, socket) {
    if (params.slow !== undefined) await sleep(500);
    return ok(socket);
  },
  id: () => null,
  channels: [
    defineChannel("room:*", {
      join: (_topic: string, _params: unknown, socket: ChannelSocket) => joined(socket),
      handleIn: {
        echo: (payload: unknown, socket: ChannelSocket) => reply("ok", payload, socket),
        async gated(payload: { n: number }, socket: ChannelSocket) {
          await opened;
          return reply("ok", { n: payload.n }, socket);
        },
        shout(payload: object, socket: ChannelSocket) {
          broadcast(socket, "data", payload);
          return noreply(socket);
        },
        async flood(_payload: unknown, socket: ChannelSocket) {
          const data = "x".repeat(50_000);
          for (let n = 0; n < 400; n += 1) {
            push(socket, "data", { data });
            if (n % 10 === 0) await sleep(1);
          }
          return noreply(socket);
        },
      },
    }),
  ],
});
