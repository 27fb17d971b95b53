/**
 * What a person may do in the room: their role, known to the channel from the join on and kept up
 * to date by the AccessWatch of its thread (access/access-watch.ts). So each event is decided by
 * the role of that moment, without asking the database for it.
 *
 * out  `room:access {role, can_write}`   applies from now on
 *      `room:closed {reason}`            "removed" or "deleted": the client must not join again
 */
import { assign, type ChannelSocket, expireAt, type InfoResult, noreply, push, stop } from "simurgh/channels";
import { GenServer, type Pid } from "simurgh/runtime";
import type { AccessAnswer, AccessState } from "../access/access-ledger.js";
import { AccessWatch } from "../access/access-watch.js";
import { mayWrite, type Role } from "../access/role.js";
import { appContext } from "../app-context.js";
import type { RoomCast } from "../rooms/room-messages.js";
import { repositoryOn } from "../storage/repository-client.js";

/**
 * What a person may do who wants to join, and whether that is remembered because the database does
 * not answer.
 */
export async function accessAtJoin(
  challengeId: number,
  { assigns }: ChannelSocket,
): Promise<{ readonly answer: AccessAnswer | "unavailable"; readonly remembered: boolean }> {
  const userId = assigns.userId as number;
  const question = { challengeId, userId, sessionId: assigns.sessionId as string };
  const asked = await repositoryOn(appContext().storageNode).access([question]);
  if (asked[0] === "ok") return { answer: asked[1][0] as AccessAnswer, remembered: false };
  const certain = await AccessWatch.certainRole(challengeId, userId);
  return { answer: certain ?? "unavailable", remembered: true };
}

export const canWrite = ({ assigns }: ChannelSocket): boolean =>
  mayWrite(assigns.role as Role) && assigns.suspended !== true;

/** The reply to a client that may only read. */
export const READ_ONLY = { reason: "read_only", why: "role" } as const;

/** To be called once the channel has joined. */
export function watchAccess({ assigns }: ChannelSocket): void {
  AccessWatch.enter({
    room: assigns.room as Pid,
    challengeId: assigns.challengeId as number,
    userId: assigns.userId as number,
    sessionId: assigns.sessionId as string,
    role: assigns.role as Role,
    remembered: assigns.remembered === true,
  });
}

/** For `handleInfo`, on what the watch sends. */
export function accessChanged(socket: ChannelSocket, state: AccessState): InfoResult {
  switch (state) {
    case "forbidden":
      return closeRoom(socket, "removed");
    case "not_found":
      return closeRoom(socket, "deleted");
    case "session_ended":
      // As a token that has run out: the client shows another one, or is signed out.
      expireAt(socket, Date.now());
      return noreply(assign(socket, "suspended", true));
    case "unsure":
      // The client joins again, and is let in once the database can be asked.
      return stop(["access_unsure"], socket);
    case "suspended":
      return tell(assign(socket, "suspended", true));
    default:
      return tell(assign(assign(socket, "role", state), "suspended", false));
  }
}

function tell(socket: ChannelSocket): InfoResult {
  const { role } = socket.assigns;
  push(socket, "room:access", { role, can_write: canWrite(socket) });
  // The room decides about updates of the document.
  tellRoom(socket, role as Role);
  return noreply(socket);
}

function tellRoom(socket: ChannelSocket, role: Role | undefined): void {
  const may: RoomCast = ["access", socket.channelPid, role, role !== undefined && canWrite(socket)];
  GenServer.cast(socket.assigns.room as Pid, may);
}

function closeRoom(socket: ChannelSocket, reason: "removed" | "deleted"): InfoResult {
  tellRoom(socket, undefined);
  push(socket, "room:closed", { reason });
  return stop(["shutdown", reason], socket);
}
