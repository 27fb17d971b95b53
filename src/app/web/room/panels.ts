/**
 * What stands beside the code besides the challenge and the people: chat, history, sharing. A panel
 * is a component with a tab of its own; it lives as long as the room, shown or not, so that it can
 * count what it has not shown yet.
 *
 * A panel talks to the server through `room`, which is the room's one channel: it never opens a
 * socket.
 */
import type { ComponentType } from "preact";
import type { Challenge, Signed } from "../types.js";
import type { RoomView } from "./room-view.js";

/** The room's channel as a panel may use it. */
export interface RoomChannel {
  /**
   * Sends an event; rejects with `PushError` when it is refused, not answered in time, or there is
   * no connection.
   */
  push(event: string, payload: object): Promise<unknown>;
  /** Calls `listener` with each event that the server pushes or broadcasts. Returns how to stop. */
  on(event: string, listener: (payload: unknown) => void): () => void;
  /** Calls `listener` at each join, the first and those after an outage. Returns how to stop. */
  onJoin(listener: () => void): () => void;
}

export interface PanelProps {
  readonly room: RoomChannel;
  readonly challenge: Challenge;
  readonly signed: Signed;
  readonly view: RoomView;
  /** The panel is the one that is shown. */
  readonly shown: boolean;
  /** Sets the number on the tab: what came while the panel was not shown; 0 takes it away. */
  readonly onUnseen: (count: number) => void;
}

export interface Panel {
  /** In the tab's and the panel's element ids. */
  readonly id: string;
  readonly title: string;
  /** Its component. Each panel is a chunk of its own (lazy.tsx). */
  readonly load: () => Promise<ComponentType<PanelProps>>;
}

export const PANELS: readonly Panel[] = [
  { id: "chat", title: "Chat", load: async () => (await import("./panels/chat.js")).ChatPanel },
  { id: "history", title: "History", load: async () => (await import("./panels/history.js")).HistoryPanel },
  { id: "share", title: "Share", load: async () => (await import("./panels/share.js")).SharePanel },
];
