/**
 * One WebSocket connection: `ws` reads, checks and answers control frames; we write data frames straight to the net
 * socket that the upgrade gave us, prepared, and all frames of one loop run in one write (with several frames per socket
 * and run a fraction of the cost).
 *
 * Both sides are bounded. Out: more than `maxBufferedBytes` waiting closes the connection with 1013. In: while more than
 * `inboundHighWater` frames wait for the socket process, the TCP socket is not read.
 */
import type { Socket as NetSocket } from "node:net";
import { WebSocket } from "ws";
import type { Connection, Outgoing } from "../writer.js";

export interface WebSocketLimits {
  /** Bytes that may wait to be sent to one client. Default 4 MiB. */
  readonly maxBufferedBytes: number;
  /** Frames of one client that may wait to be handled. Default 128. */
  readonly inboundHighWater: number;
}

export const DEFAULT_WEBSOCKET_LIMITS: WebSocketLimits = {
  maxBufferedBytes: 4 * 1024 * 1024,
  inboundHighWater: 128,
};

/** Answers the close of a client with 1000, whatever its code was (C-092); `ws` would send the same code back. */
export class ServerWebSocket extends WebSocket {
  /** Set by `ws` before it answers. */
  declare private readonly _closeFrameReceived: boolean;

  override close(code?: number, reason?: string | Buffer): void {
    if (this._closeFrameReceived && this.readyState === WebSocket.OPEN) super.close(1000);
    else super.close(code, reason);
  }
}

/** How long a peer may take to answer our close frame before the connection is cut. */
const CLOSE_GRACE_MS = 2000;

/** Connections with frames that leave at the end of this loop run. */
let waiting: WebSocketConnection[] = [];

function flushAll(): void {
  const connections = waiting;
  waiting = [];
  for (const connection of connections) connection.flush();
}

export class WebSocketConnection implements Connection {
  readonly #ws: WebSocket;
  readonly #socket: NetSocket;
  readonly #limits: WebSocketLimits;
  readonly #onSlow: () => void;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #unhandled = 0;
  #closing = false;
  /** When the client was last heard, on the monotonic clock, and what had come by then. */
  #heardAt = performance.now();
  #bytesHeard = 0;

  /** `onSlow` is told when the client reads too slowly and is closed for it. */
  constructor(ws: WebSocket, socket: NetSocket, limits: WebSocketLimits, onSlow: () => void) {
    this.#onSlow = onSlow;
    this.#ws = ws;
    this.#socket = socket;
    this.#limits = limits;
  }

  /** When the last byte came, whatever it was part of, as far as it is known: asked at `now`, when it came since the last time. */
  heardAt(now: number): number {
    const { bytesRead } = this.#socket;
    if (bytesRead !== this.#bytesHeard) {
      this.#bytesHeard = bytesRead;
      this.#heardAt = now;
    }
    return this.#heardAt;
  }

  /** Keeps the frame until the end of the loop run: what one run writes to a connection leaves in one piece. */
  write(outgoing: Outgoing): void {
    if (this.#closing || this.#socket.destroyed) return;
    const { bytes } = outgoing;
    this.#pendingBytes += bytes.length;
    if (this.#pending.push(bytes) === 1 && waiting.push(this) === 1) setImmediate(flushAll);
    if (this.#pendingBytes + this.#socket.writableLength > this.#limits.maxBufferedBytes) {
      this.#onSlow();
      this.close(1013, "client too slow");
    }
  }

  /** Hands what was kept to the kernel. */
  flush(): void {
    const pending = this.#pending;
    if (pending.length === 0) return;
    const bytes = pending.length === 1 ? (pending[0] as Buffer) : Buffer.concat(pending, this.#pendingBytes);
    this.#pending = [];
    this.#pendingBytes = 0;
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** A frame has come in and waits for the socket process. */
  received(): void {
    this.#unhandled += 1;
    if (this.#unhandled === this.#limits.inboundHighWater) this.#ws.pause();
  }

  /** The socket process has taken a frame. */
  handled(): void {
    this.#unhandled -= 1;
    if (this.#ws.isPaused && this.#unhandled <= this.#limits.inboundHighWater / 2) this.#ws.resume();
  }

  /** Starts the closing handshake; a peer that does not take part is cut off. Nothing is written after it. */
  close(code: number, reason = ""): void {
    if (this.#closing) return;
    this.flush();
    this.#closing = true;
    this.#ws.close(code, reason);
    this.#ws.resume();
    const grace = setTimeout(() => this.#ws.terminate(), CLOSE_GRACE_MS);
    grace.unref();
    this.#ws.once("close", () => clearTimeout(grace));
  }

  terminate(): void {
    this.#closing = true;
    this.#ws.terminate();
  }
}
