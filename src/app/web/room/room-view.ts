/**
 * What a room is to its page, as room-link.ts keeps it and everything else shows it: a plain value.
 */
import type { Block, Persistence, SaveStatus } from "../sync/doc-sync.js";
import type { Challenge } from "../types.js";
import type { Person } from "./presence-list.js";

export type Connection = "connecting" | "online" | "reconnecting" | "back";

export interface RoomView {
  readonly connection: Connection;
  readonly challenge: Challenge | undefined;
  readonly people: readonly Person[];
  readonly save: SaveStatus;
  /** Why nothing is sent although there is a connection. */
  readonly block: Block | undefined;
  readonly persistence: Persistence;
  /** The server is about to stop, and another one, or the same one again, is to take over. */
  readonly draining: boolean;
  readonly canWrite: boolean;
  /** The text is there. */
  readonly ready: boolean;
  /** The person whose view this page follows. */
  readonly following: string | undefined;
  /** What was typed and could not be carried over when the document was replaced. */
  readonly rescued: string | undefined;
  /** The room cannot be entered. */
  readonly refusal: "not-found" | "full" | "refused" | undefined;
}
