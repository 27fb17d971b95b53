/**
 * What was typed and is not stored by the server outlives the page: a reload, a session that ended and a new sign-in
 * in the same tab find it again. Kept per person and room, in this tab alone.
 */
import type { Draft } from "../sync/text-sync.js";

const key = (userId: string, roomId: string): string => `phoenixpair.draft.${userId}.${roomId}`;

export function takeDraft(userId: string, roomId: string): Draft | undefined {
  try {
    const value = JSON.parse(sessionStorage.getItem(key(userId, roomId)) ?? "null") as Partial<Draft> | null;
    if (typeof value?.server !== "string" || typeof value.doc !== "string") return undefined;
    return {
      server: value.server,
      doc: value.doc,
      flight: typeof value.flight === "string" ? value.flight : null,
    };
  } catch {
    return undefined;
  }
}

export function keepDraft(userId: string, roomId: string, draft: Draft | undefined): void {
  try {
    if (draft) sessionStorage.setItem(key(userId, roomId), JSON.stringify(draft));
    else sessionStorage.removeItem(key(userId, roomId));
  } catch {
    // Storage is off or full: the draft lives as long as the page.
  }
}
