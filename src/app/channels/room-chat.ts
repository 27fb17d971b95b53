/**
 * The chat of a room: plain text, for all users who may join it.
 *
 * in `chat:send {text, key}` stores it, answers `{id}`, broadcasts it; the same `key` again is
 * the same message
 *      `chat:history {before?}`     `{messages}`: the last ones, or those before one, oldest first
 * out  `chat:message {id, user_id, first_name, text, at, key}`
 *
 * A text has at most 2 KiB. One connection may send five at once and then one every two seconds.
 */
import { assign, broadcast, type ChannelSocket, reply } from "simurgh/channels";
import { appContext } from "../app-context.js";
import { ChatBody, ChatHistoryBody } from "../input.js";
import { repositoryOn } from "../storage/repository-client.js";
import { paced } from "./pace.js";

const PACE = { burst: 5, everyMs: 2000 };
const PAGE = 50;

const repository = () => repositoryOn(appContext().storageNode);

const invalid = (message: string | undefined) => ({ reason: "invalid", message: message ?? "not a message" });

export const chatEvents = {
  async "chat:send"(payload: unknown, socket: ChannelSocket) {
    const body = ChatBody.safeParse(payload);
    if (!body.success) return reply("error", invalid(body.error.issues[0]?.message), socket);
    const { waitMs, busyUntil } = paced(PACE, socket.assigns.chatBusyUntil, performance.now());
    if (waitMs > 0) return reply("error", { reason: "rate", retry_after_ms: waitMs }, socket);
    const { challengeId, userId } = socket.assigns;
    const { text, key } = body.data;
    const stored = await repository().addChatMessage({
      challengeId: challengeId as number,
      userId: userId as number,
      clientKey: key,
      text,
    });
    if (stored[0] === "error") return reply("error", { reason: "unavailable" }, socket);
    const { message, again } = stored[1];
    const sent = assign(socket, "chatBusyUntil", busyUntil);
    if (!again) broadcast(sent, "chat:message", { ...message, key });
    return reply("ok", { id: message.id }, sent);
  },

  async "chat:history"(payload: unknown, socket: ChannelSocket) {
    const body = ChatHistoryBody.safeParse(payload);
    if (!body.success) return reply("error", invalid(body.error.issues[0]?.message), socket);
    const found = await repository().chatMessages(
      socket.assigns.challengeId as number,
      body.data.before,
      PAGE,
    );
    return found[0] === "ok"
      ? reply("ok", { messages: found[1] }, socket)
      : reply("error", { reason: "unavailable" }, socket);
  },
} as const;
