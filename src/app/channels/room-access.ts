/**
 * What a person may do in the room: their role, known to the channel from the join on, and asked for anew whenever the
 * owner has changed something. So each event is decided by the role of that moment, without asking the database for it.
 *
 * out  `room:access {role, can_write}`   applies from now on
 *      `room:closed {reason}`            "removed" or "deleted": there is no way back into this room by itself
 */
import { assign, type ChannelSocket, type InfoResult, noreply, push, stop } from "simurgh/channels";
import { GenServer, type Pid, self, sendAfter } from "simurgh/runtime";
import type { RoomCast } from "../rooms/room.js";
import { type Outcome, repositoryOn } from "../storage/repository-client.js";
import type { Role } from "../storage/sharing.js";
import { appFacts } from "./app-facts.js";

/** Broadcast inside the server, intercepted by every channel: `{user_id?}`, whose access has changed; everybody's without. */
export const ACCESS_CHANGED = "access:changed";
/** A message to the channel itself. */
export const CHECK_ACCESS = "check access";
const AGAIN_MS = 1000;

export const roleOf = (challengeId: number, userId: unknown): Promise<Outcome<Role>> =>
  repositoryOn(appFacts().storageNode).role(challengeId, userId as number);

export const canWrite = ({ assigns }: ChannelSocket): boolean => assigns.role !== "view";

/** What is answered to whoever may only look. */
export const READ_ONLY = { reason: "read_only", why: "role" } as const;

export async function checkAccess(socket: ChannelSocket): Promise<InfoResult> {
  const { challengeId, userId } = socket.assigns;
  const [status, role] = await roleOf(challengeId as number, userId);
  if (status === "ok") {
    if (role === socket.assigns.role) return noreply(socket);
    const changed = assign(socket, "role", role);
    push(changed, "room:access", { role, can_write: canWrite(changed) });
    // The room decides about updates of the document.
    tellRoom(changed, role);
    return noreply(changed);
  }
  if (role === "forbidden") return closeRoom(socket, "removed");
  if (role === "not_found") return closeRoom(socket, "deleted");
  // The database is away: what held before holds until it can be asked.
  sendAfter(self(), CHECK_ACCESS, AGAIN_MS);
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

/** For `handleOut`. */
export const accessOut = {
  [ACCESS_CHANGED]: ({ user_id: whose }: { readonly user_id?: number }, socket: ChannelSocket) =>
    whose === undefined || whose === socket.assigns.userId ? checkAccess(socket) : noreply(socket),
};
