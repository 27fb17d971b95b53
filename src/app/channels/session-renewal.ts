/**
 * A socket does not outlive its token. Some time before the end the client is notified
 * `session:expiring {expires_at}`; it answers with `session:renew {token}`, a newer token of the
 * same user, and continues. Otherwise the connection is closed with 4401.
 */
import { assign, type ChannelSocket, expireAt, noreply, push, reply } from "simurgh/channels";
import { self, sendAfter } from "simurgh/runtime";
import { AccessWatch } from "../access/access-watch.js";
import { appContext } from "../app-context.js";
import { verifyToken } from "../auth/tokens.js";
import { repositoryOn } from "../storage/repository-client.js";

/** How long before the end the client is notified: half of the rest, when that is less. */
const NOTICE_MS = 60_000;

/** Says which end is near: after a renewal it is another. */
type Expiring = readonly ["session expiring", endsAt: number];

export const isExpiring = (message: unknown): message is Expiring =>
  Array.isArray(message) && message[0] === "session expiring";

/** To be called once a channel has joined, by the channel. */
export function watchSession({ assigns }: ChannelSocket): void {
  const endsAt = assigns.sessionEndsAt as number;
  const left = Math.max(0, endsAt - Date.now());
  sendAfter(
    self(),
    ["session expiring", endsAt] satisfies Expiring,
    Math.floor(Math.max(left / 2, left - NOTICE_MS)),
  );
}

/** For `handleInfo`, on a message that `isExpiring`. */
export function tellExpiring([, endsAt]: Expiring, socket: ChannelSocket) {
  // Renewed meanwhile by this channel: that has set a timer of its own.
  if (endsAt !== socket.assigns.sessionEndsAt) return noreply(socket);
  push(socket, "session:expiring", { expires_at: new Date(endsAt).toISOString() });
  return noreply(socket);
}

export const sessionEvents = {
  async "session:renew"(payload: unknown, socket: ChannelSocket) {
    const { keys, storageNode } = appContext();
    const claims = verifyToken((payload as { token?: unknown } | null)?.token, keys);
    if (claims === undefined || claims.userId !== socket.assigns.userId)
      return reply("error", { reason: "invalid_token", code: "invalid_token" }, socket);
    const user = await repositoryOn(storageNode).sessionUser(claims.sessionId, claims.userId);
    if (user[0] === "error")
      return reply("error", { reason: "invalid_token", code: "invalid_token" }, socket);
    const endsAt = claims.expiresAt * 1000;
    AccessWatch.renewed(claims.sessionId);
    if (endsAt <= (socket.assigns.sessionEndsAt as number)) return reply("ok", socket);
    expireAt(socket, endsAt);
    const renewed = assign(socket, "sessionEndsAt", endsAt);
    watchSession(renewed);
    return reply("ok", renewed);
  },
} as const;
