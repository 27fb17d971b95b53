/**
 * What the room says about its connection and about saving, and what that means for what one types.
 * Pure.
 */
import type { RoomView } from "./room-view.js";

export interface Banner {
  readonly tone: "quiet" | "good" | "warn" | "bad";
  readonly text: string;
}

type Shown = Pick<
  RoomView,
  "connection" | "save" | "block" | "persistence" | "draining" | "canWrite" | "ready"
>;

/** The most important thing to say; undefined when all is well. */
export function bannerOf(view: Shown): Banner | undefined {
  const { connection, save, block } = view;
  if (connection === "connecting") return { tone: "quiet", text: "Connecting…" };
  if (connection === "reconnecting") {
    const kept =
      save === "saved" ? "You can keep typing." : "What you type is kept on this device until it is saved.";
    return { tone: "warn", text: `Connection lost. Reconnecting… ${view.canWrite ? kept : ""}`.trimEnd() };
  }
  if (block === "bad_update") {
    return { tone: "bad", text: "Your last edits cannot be saved. Copy them, then load the page again." };
  }
  if (block === "too_large") {
    return { tone: "bad", text: "The text is too long to be saved. Shorten it." };
  }
  if (block === "role" && save !== "saved") {
    return {
      tone: "bad",
      text: "You may not write here any more. Your last edits were not saved: copy them.",
    };
  }
  if (view.persistence === "read_only") {
    return {
      tone: "bad",
      text: "The database is away for too long: edits are kept on this device, not saved yet.",
    };
  }
  if (view.persistence === "degraded") {
    return { tone: "warn", text: "The database is away. You can keep working; nothing is saved yet." };
  }
  if (view.draining) {
    return { tone: "warn", text: "The server restarts. You can keep typing." };
  }
  if (save === "unsaved") {
    return {
      tone: "warn",
      text: "The server does not answer. Your edits are kept on this device, not saved yet.",
    };
  }
  if (connection === "back") {
    return { tone: "good", text: "Connected again. Everyone sees the same text." };
  }
  return view.ready && !view.canWrite ? { tone: "quiet", text: "You can read along here." } : undefined;
}
