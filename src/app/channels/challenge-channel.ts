/**
 * A room: one challenge, worked on together. The events are the tutorial's.
 *
 * in   `response:update {response}`            stores the text, shows its writer as typing, tells everybody
 *      `current_participant_typing:remove`     the writer has left the text
 *      `chat:send`, `chat:history`             see room-chat.ts
 *      `session:renew {token}`                 see session-renewal.ts
 * out  `response:updated {challenge}`          to everybody, the writer included, once it is stored
 *      `challenge:changed {challenge}`         its owner has changed title, prompt or language
 *      `room:access`, `room:closed`            see room-access.ts
 *      `presence_state`, `presence_diff`       who is here: `{typing, first_name, user_id}` under the user's id
 */
import {
  assign,
  broadcast,
  type ChannelSocket,
  defineChannel,
  joined,
  noreply,
  push,
  refused,
  reply,
} from "simurgh/channels";
import { send } from "simurgh/runtime";
import { challengeId, MAX_RESPONSE } from "../http/input.js";
import { type Failure, repositoryOn } from "../storage/repository.js";
import { appFacts } from "./app-facts.js";
import { ChallengePresence } from "./challenge-presence.js";
import {
  ACCESS_CHANGED,
  accessOut,
  CHECK_ACCESS,
  canWrite,
  checkAccess,
  READ_ONLY,
  roleOf,
} from "./room-access.js";
import { chatEvents } from "./room-chat.js";
import { EXPIRING, sessionEvents, tellExpiring, watchSession } from "./session-renewal.js";

const STORE_FAILED = { error: "Error updating challenge" };

/** Why somebody may not enter. */
const UNAVAILABLE = { reason: "unavailable", code: "database_unavailable", retry_after_ms: 2000 };
const REFUSALS: Readonly<Partial<Record<Failure, object>>> = {
  not_found: { reason: "not_found", code: "challenge_not_found" },
  forbidden: { reason: "unauthorized", code: "not_invited" },
};

const repository = () => repositoryOn(appFacts().storageNode);

const meta = (socket: ChannelSocket, typing: boolean) => ({
  typing,
  first_name: socket.assigns.firstName,
  user_id: socket.assigns.userId,
});

/** Shows whether the user types. Only a change is told: a diff for each key would go to everybody in the room. */
async function setTyping(socket: ChannelSocket, typing: boolean): Promise<ChannelSocket> {
  if (socket.assigns.typing === typing) return socket;
  await ChallengePresence.update(socket, socket.assigns.userId, meta(socket, typing));
  return assign(socket, "typing", typing);
}

/** The text of an update, with one kind of line end; undefined when it is not one. */
function responseText(payload: unknown): string | undefined {
  const response = (payload as { response?: unknown } | null)?.response;
  if (typeof response !== "string" || response.length > MAX_RESPONSE) return undefined;
  return response.toWellFormed().replace(/\r\n?/g, "\n");
}

export const challengeChannel = defineChannel("challenges:*", {
  async join(topic, _params, socket) {
    const id = challengeId(topic.slice("challenges:".length));
    const found = id === undefined ? (["error", "not_found"] as const) : await repository().challenge(id);
    if (found[0] === "error") return refused(REFUSALS[found[1]] ?? UNAVAILABLE);
    const { id: challenge, updated_at: updatedAt } = found[1];
    const role = await roleOf(challenge, socket.assigns.userId);
    if (role[0] === "error") return refused(REFUSALS[role[1]] ?? UNAVAILABLE);
    send(socket.channelPid, "after join");
    const entered = assign(socket, { challengeId: challenge, updatedAt, role: role[1], typing: false });
    return joined(entered, { challenge: found[1], role: role[1], can_write: canWrite(entered) });
  },

  handleIn: {
    ...sessionEvents,
    ...chatEvents,

    async "response:update"(payload, socket) {
      if (!canWrite(socket)) return reply("error", { ...STORE_FAILED, ...READ_ONLY }, socket);
      const response = responseText(payload);
      const stored =
        response === undefined
          ? undefined
          : await repository().updateResponse(socket.assigns.challengeId as number, response);
      if (stored?.[0] !== "ok") return reply("error", STORE_FAILED, socket);
      const typing = await setTyping(socket, true);
      broadcast(typing, "response:updated", { challenge: stored[1] });
      return noreply(typing);
    },

    async "current_participant_typing:remove"(_payload, socket) {
      const still = await setTyping(socket, false);
      push(still, "presence_state", await ChallengePresence.list(still));
      return noreply(still);
    },
  },

  intercept: [ACCESS_CHANGED],
  handleOut: accessOut,

  async handleInfo(message, socket) {
    if (message === CHECK_ACCESS) return checkAccess(socket);
    if (message === EXPIRING) return tellExpiring(socket);
    if (message === "after join") {
      watchSession(socket);
      await ChallengePresence.track(socket, socket.assigns.userId, meta(socket, false));
      push(socket, "presence_state", await ChallengePresence.list(socket));
      // What was stored after the join had read the text and before it was subscribed was told to others only.
      const now = await repository().challenge(socket.assigns.challengeId as number);
      if (now[0] === "ok" && now[1].updated_at !== socket.assigns.updatedAt)
        push(socket, "response:updated", { challenge: now[1] });
    }
    return noreply(socket);
  },
});
