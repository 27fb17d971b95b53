/**
 * The channel of a room: one challenge, worked on together. It speaks to one client, and to the
 * Room that owns the document. docs/room-protocol.md is the wire.
 *
 * Two kinds of client: those that exchange updates of the document (`proto: "y1"`), and the
 * tutorial's, which send and are sent the whole text.
 *
 * in   `chat:send`, `chat:history`              see room-chat.ts
 *      `session:renew {token}`                 see session-renewal.ts
 *      `y:sync`, `y:update`, `y:awareness`     of document clients
 *      `response:update {response}`            stores the text, shows its writer as typing
 *      `current_participant_typing:remove`     the writer has left the text
 * out  `y:sv`, `y:update`, `y:awareness`, `room:status`
 *      `response:updated {challenge}`          to full-text clients, the writer too, once stored
 *      `challenge:changed {challenge}`         its owner has changed title, prompt or language
 *      `room:access`, `room:closed`            see room-access.ts
 *      `presence_state`, `presence_diff`       `{typing, first_name, user_id}` under the user's id
 */
import {
  assign,
  type ChannelSocket,
  defineChannel,
  joined,
  noreply,
  push,
  refused,
  reply,
  socketRef,
  stop,
} from "simurgh/channels";
import { GenServer, monitor, type Pid, send } from "simurgh/runtime";
import { ACCESS_CHANGED, isAccessNews } from "../access/access-watch.js";
import { readId } from "../ids.js";
import { MAX_RESPONSE } from "../input.js";
import {
  COMPACTED,
  CURSORS_HERE,
  isRoomNews,
  type RoomCall,
  type RoomCast,
  type SyncAnswer,
} from "../rooms/room-messages.js";
import { Rooms } from "../rooms/rooms.js";
import type { ChallengeView, Failure } from "../storage/repository-client.js";
import { ChallengePresence } from "./challenge-presence.js";
import { paced, withPaces } from "./pace.js";
import { accessAtJoin, accessChanged, canWrite, READ_ONLY, watchAccess } from "./room-access.js";
import { chatEvents } from "./room-chat.js";
import { CursorPayload, type Dialect, decodeBytes, dialectOf, encodeBytes, JoinParams } from "./room-wire.js";
import { isExpiring, sessionEvents, tellExpiring, watchSession } from "./session-renewal.js";

const STORE_FAILED = { error: "Error updating challenge" };

/** Each answer may be the whole document. */
const SYNC_PACE = { burst: 20, everyMs: 200 };

/** Why a user may not join. */
const UNAVAILABLE = { reason: "unavailable", code: "database_unavailable", retry_after_ms: 2000 };
/** The same for what does not exist and for what this person may not know of. */
const NOT_HERE = { reason: "not_found", code: "challenge_not_found" };
const REFUSALS: Readonly<Partial<Record<Failure | "session_ended", object>>> = {
  not_found: NOT_HERE,
  forbidden: NOT_HERE,
  session_ended: { reason: "unauthenticated", code: "session_ended" },
  full: { reason: "full", code: "room_full", retry_after_ms: 10_000 },
  loading: { reason: "unavailable", code: "room_loading", retry_after_ms: 5000 },
  too_slow: { reason: "unavailable", code: "room_too_slow", retry_after_ms: 60_000 },
  damaged: { reason: "unavailable", code: "room_damaged", retry_after_ms: 60_000 },
};
const refusal = (why: Failure | "session_ended", waitMs?: number) =>
  refused({ ...(REFUSALS[why] ?? UNAVAILABLE), ...(waitMs === undefined ? {} : { retry_after_ms: waitMs }) });

/** What clients of the other kind have no use for. */
const INTERCEPTED: Readonly<Record<Dialect, readonly string[]>> = {
  full_text: [ACCESS_CHANGED, COMPACTED, CURSORS_HERE, "y:update", "y:awareness", "room:status"],
  binary: [ACCESS_CHANGED, COMPACTED, CURSORS_HERE, "response:updated"],
  base64: [ACCESS_CHANGED, COMPACTED, CURSORS_HERE, "response:updated", "y:update"],
};

const room = (socket: ChannelSocket): Pid => socket.assigns.room as Pid;
const dialect = (socket: ChannelSocket): Dialect => socket.assigns.dialect as Dialect;

const ask = <T>(socket: ChannelSocket, request: RoomCall): Promise<T> =>
  GenServer.call<T>(room(socket), request, 15_000);
const tell = (socket: ChannelSocket, request: RoomCast): void => void GenServer.cast(room(socket), request);

const meta = (socket: ChannelSocket, typing: boolean) => ({
  typing,
  first_name: socket.assigns.firstName,
  user_id: socket.assigns.userId,
});

/**
 * Shows whether the user types. Only a change is sent: a diff for each key would go to all clients
 * in the room.
 */
async function setTyping(socket: ChannelSocket, typing: boolean): Promise<ChannelSocket> {
  if (socket.assigns.typing === typing) return socket;
  await ChallengePresence.update(socket, socket.assigns.userId, meta(socket, typing));
  return assign(socket, "typing", typing);
}

/** The text of an update; undefined when it is not one. */
function responseText(payload: unknown): string | undefined {
  const response = (payload as { response?: unknown } | null)?.response;
  return typeof response === "string" && response.length <= MAX_RESPONSE ? response : undefined;
}

export const challengeChannel = defineChannel("challenges:*", {
  params: JoinParams,

  async join(topic, params, socket) {
    const id = readId(topic.slice("challenges:".length));
    if (id === undefined) return refusal("not_found");
    const userId = socket.assigns.userId as number;
    const { answer: role, remembered } = await accessAtJoin(id, socket);
    if (role !== "owner" && role !== "edit" && role !== "view") return refusal(role);
    const speaks = dialectOf(params, socket.transport);
    const inside = assign(socket, { challengeId: id, role, remembered, dialect: speaks, typing: false });
    const can_write = canWrite(inside);
    const entered = await Rooms.enter(id, {
      pid: socket.channelPid,
      userId,
      name: socket.assigns.firstName as string,
      role,
      canWrite: can_write,
      document: speaks !== "full_text",
      client: params.client,
    });
    if (entered[0] === "error") return refusal(entered[1], entered[2]);
    const { room: pid, challenge, epoch, sv, status, me } = entered[1];
    send(socket.channelPid, "after join");
    const plain = { challenge, role, can_write };
    const document = { epoch, sv: Buffer.from(sv).toString("base64"), status, me };
    return joined(assign(inside, "room", pid), speaks === "full_text" ? plain : { ...plain, ...document }, {
      intercept: INTERCEPTED[speaks],
    });
  },

  handleIn: withPaces({
    ...sessionEvents,
    ...chatEvents,

    async "y:sync"(payload, socket) {
      const { waitMs, busyUntil } = paced(SYNC_PACE, socket.assigns.syncBusyUntil, performance.now());
      if (waitMs > 0) return reply("error", { reason: "rate", retry_after_ms: waitMs }, socket);
      const asked = assign(socket, "syncBusyUntil", busyUntil);
      const bytes = decodeBytes(payload);
      if (!(bytes instanceof Uint8Array)) return reply("error", bytes, asked);
      const answer = await ask<SyncAnswer | undefined>(asked, ["sync", bytes]);
      if (answer === undefined) return reply("error", { reason: "bad_update" }, asked);
      push(asked, "y:sv", encodeBytes(dialect(asked), answer.sv));
      // After the reply has been written, which is when this message is taken.
      send(asked.channelPid, ["states", answer.states]);
      return reply("ok", encodeBytes(dialect(asked), answer.update), asked);
    },

    "y:update"(payload, socket) {
      const bytes = decodeBytes(payload);
      if (!(bytes instanceof Uint8Array)) return reply("error", bytes, socket);
      tell(socket, ["update", socket.channelPid, socketRef(socket), bytes]);
      return noreply(socket);
    },

    "y:awareness"(payload, socket) {
      const cursor = CursorPayload.safeParse(payload);
      if (cursor.success) tell(socket, ["cursor", socket.channelPid, cursor.data]);
      return noreply(socket);
    },

    async "response:update"(payload, socket) {
      if (!canWrite(socket)) return reply("error", { ...STORE_FAILED, ...READ_ONLY }, socket);
      const response = responseText(payload);
      const answer =
        response === undefined
          ? undefined
          : await ask<"ok" | "refused">(socket, ["whole text", socket.channelPid, response]);
      return answer === "ok" ? noreply(socket) : reply("error", STORE_FAILED, socket);
    },

    async "current_participant_typing:remove"(_payload, socket) {
      tell(socket, ["stopped typing", socket.channelPid]);
      const still = await setTyping(socket, false);
      push(still, "presence_state", await ChallengePresence.list(still));
      return noreply(still);
    },
  }),

  handleOut: {
    [ACCESS_CHANGED]: (_whose, socket) => noreply(socket),
    "y:update": (bytes: Uint8Array, socket) => {
      if (dialect(socket) === "base64") push(socket, "y:update", encodeBytes("base64", bytes));
      return noreply(socket);
    },
    [COMPACTED]: (_epoch, socket) => noreply(socket),
    [CURSORS_HERE]: (_states, socket) => noreply(socket),
    "y:awareness": (_states, socket) => noreply(socket),
    "room:status": (_status, socket) => noreply(socket),
    "response:updated": (_challenge, socket) => noreply(socket),
  },

  async handleInfo(message, socket) {
    if (isAccessNews(message)) return accessChanged(socket, message[1]);
    if (isExpiring(message)) return tellExpiring(message, socket);
    if (message === "after join") {
      watchSession(socket);
      watchAccess(socket);
      monitor(room(socket));
      await ChallengePresence.track(socket, socket.assigns.userId, meta(socket, false));
      push(socket, "presence_state", await ChallengePresence.list(socket));
      // Broadcasts between the join of the room and the subscription.
      const challenge = await ask<ChallengeView | undefined>(socket, ["entered", socket.channelPid]);
      if (challenge !== undefined) push(socket, "response:updated", { challenge });
      return noreply(socket);
    }
    if (isRoomNews(message)) return noreply(await setTyping(socket, message[2]));
    if (Array.isArray(message) && message[0] === "states") {
      push(socket, "y:awareness", { states: message[1], gone: [] });
      return noreply(socket);
    }
    // Without its room, or the monitor of its access, it cannot continue: the client joins again,
    // and finds the next one.
    if (Array.isArray(message) && message[0] === "DOWN") return stop(["room_down", message[4]], socket);
    return noreply(socket);
  },
});
