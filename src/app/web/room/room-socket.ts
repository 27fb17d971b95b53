/**
 * The connection of a room: a WebSocket, or long-poll where the network lets no WebSocket through.
 *
 * Phoenix's client falls back as soon as one WebSocket fails, and stays with long-poll as long as
 * the tab lives. Here a server that is only away does not make a page give up WebSocket: where one
 * has worked it is tried for a while, and a page that has fallen back tries it first whenever it
 * has to connect again.
 */
import { LongPoll, Socket } from "phoenix";

const RECONNECT_MS = [50, 100, 250, 500, 1_000, 2_000, 3_000];
const REJOIN_MS = [200, 500, 1_000, 2_000, 5_000];
/** A WebSocket that is not open after so long is given up. */
const FALLBACK_MS = 3_000;
/** A WebSocket that had worked is doubted after so long without one. */
const DOUBT_AFTER_MS = 30_000;

/** What the types of the client leave out. */
type Fallible = { transport: unknown; longPollFallbackMs: number | undefined };

export class RoomSocket {
  readonly socket: Socket;
  #awaySince: number | undefined;

  /** The token is asked for at each connect. */
  constructor(token: () => string) {
    this.socket = new Socket("/socket", {
      // Not as the param `token`: logs of addresses would have it.
      authToken: token,
      longPollFallbackMs: FALLBACK_MS,
      // Nothing is remembered for the next page.
      sessionStorage: { getItem: () => null, setItem: () => {}, removeItem: () => {} },
      heartbeatIntervalMs: 15_000,
      // All clients are disconnected at once when a server stops; they should not reconnect at
      // once.
      reconnectAfterMs: (tries: number) => pick(RECONNECT_MS, tries) * (0.7 + 0.6 * Math.random()),
      rejoinAfterMs: (tries: number) => pick(REJOIN_MS, tries),
    } as object);
    const fallible = this.socket as unknown as Fallible;
    this.socket.onOpen(() => {
      this.#awaySince = undefined;
      if (!this.overLongPoll) fallible.longPollFallbackMs = undefined;
    });
    this.socket.onClose(() => {
      this.#awaySince ??= performance.now();
      if (performance.now() - this.#awaySince >= DOUBT_AFTER_MS) fallible.longPollFallbackMs = FALLBACK_MS;
      if (this.overLongPoll) fallible.transport = WebSocket;
    });
  }

  /** Whether bytes cannot be sent as they are. */
  get overLongPoll(): boolean {
    return (this.socket as unknown as Fallible).transport === LongPoll;
  }
}

const pick = (delays: readonly number[], tries: number): number =>
  delays[Math.min(tries, delays.length) - 1] ?? 50;
