/** The requests that a room handles, and what it sends to channels and to other rooms. */
import type { SocketRef } from "simurgh/channels";
import type { Pid } from "simurgh/runtime";
import type { Role } from "../access/role.js";
import type { DocumentLoader } from "../document/document-loader.js";
import type { ChallengeView, Repository } from "../storage/repository-client.js";
import type { Cursor, JoinRequest, Participant } from "./members.js";
import type { Persistence } from "./persistence.js";
import type { CursorState } from "./remote-cursors.js";
import type { UserPace } from "./user-pace.js";

export interface RoomOptions {
  readonly id: number;
  readonly topic: string;
  readonly endpoint: string;
  readonly repository: Repository;
  readonly loader: DocumentLoader;
  /** How much work each user may make; shared by the rooms of a thread. Default: the room's own. */
  readonly work?: UserPace;
  /** By how many structs each user may make documents grow; shared likewise. */
  readonly growth?: UserPace;
}

export interface RoomStatus {
  readonly persistence: Persistence;
  readonly draining: boolean;
}

/** The reply to a join. */
export interface JoinReply {
  readonly challenge: ChallengeView;
  readonly epoch: string;
  readonly sv: Uint8Array;
  readonly status: RoomStatus;
  readonly me: Participant;
}

export interface SyncAnswer {
  readonly sv: Uint8Array;
  readonly update: Uint8Array;
  readonly states: readonly CursorState[];
}

export type RoomCall =
  | readonly ["enter", JoinRequest]
  /** The channel is subscribed now: asks for broadcasts since its join. */
  | readonly ["entered", Pid]
  | readonly ["sync", stateVector: Uint8Array]
  | readonly ["whole text", Pid, text: string]
  | readonly ["restore", userId: number, text: string]
  | readonly ["text"]
  | readonly ["drain"];

export type RoomCast =
  | readonly ["update", Pid, SocketRef, bytes: Uint8Array]
  | readonly ["cursor", Pid, Cursor]
  | readonly ["stopped typing", Pid]
  /** Without a role: may not be here any more. */
  | readonly ["access", Pid, Role | undefined, canWrite: boolean];

/**
 * What rooms of one document tell each other and no client: `{states}`, the cursors that are still
 * here.
 */
export const CURSORS_HERE = "cursors:here";

/**
 * What the room that has compacted a document tells those of other nodes and no client: `{epoch}`
 * is that of the former one.
 */
export const COMPACTED = "document:compacted";

/** What a room tells the channels that are in it. */
export type RoomNews = readonly ["room", "typing", boolean];

export const isRoomNews = (message: unknown): message is RoomNews =>
  Array.isArray(message) && message[0] === "room" && message.length === 3;
