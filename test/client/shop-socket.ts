/** A socket with every schema library there is, for the typed client. */
import { type } from "arktype";
import {
  broadcast,
  defineChannel,
  defineSocket,
  joined,
  noreply,
  ok,
  payload,
  push,
  refused,
  reply,
} from "simurgh/channels";
import * as v from "valibot";
import { z } from "zod";

export const shopChannel = defineChannel("shop:*", {
  params: z.object({ name: z.string().min(1) }),
  incoming: {
    add: { payload: z.object({ item: z.string(), count: z.number().int().positive().default(1) }) },
    find: { payload: v.object({ text: v.pipe(v.string(), v.minLength(2)) }) },
    rate: { payload: type({ stars: "1 <= number <= 5" }) },
  },
  outgoing: {
    added: payload<{ item: string; by: string }>(),
    hint: payload<{ text: string }>(),
  },
  join(topic, { name }, socket) {
    if (name === "noOne") return refused({ reason: "unauthorized" });
    return joined(socket, { topic, welcome: `hello ${name}` });
  },
  handleIn: {
    add({ item, count }, socket) {
      broadcast(socket, "added", { item, by: "someone" });
      return reply("ok", { total: count * 2 }, socket);
    },
    find: ({ text }, socket) => reply("ok", [`${text}!`], socket),
    rate({ stars }, socket) {
      if (stars < 3) return reply("error", { why: "too few" }, socket);
      push(socket, "hint", { text: "thanks" });
      return noreply(socket);
    },
  },
});

export default defineSocket({
  connect: (_params, socket) => ok(socket),
  id: () => null,
  channels: [shopChannel],
});
