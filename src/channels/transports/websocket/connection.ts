/**
 * WebSocketConnection is one WebSocket connection. `ws` reads frames and answers control frames;
 * data frames are written in prepared form straight to the net socket, and all frames of one turn
 * of the event loop in one write, which costs a fraction of a write per frame.
 *
 * Both directions are bounded. More than `maxBufferedBytes` of unsent data closes the connection as
 * too slow (code 1013); while more than `inboundHighWater` frames are unhandled by the socket
 * process, the net socket is paused.
 */
import type { Socket as NetSocket } from "node:net";
import { onExit, outside, type Pid, send } from "simurgh/runtime";
import { WebSocket } from "ws";
import { ClientFrame, SocketNotification } from "../../channel/messages.js";
import type { Connection, PreparedFrame } from "../../fanout/connection-writer.js";
import { CLOSE } from "../../protocol/constants.js";
import type { WebSocketLimits } from "../../socket/mount-options.js";
import type { Transport } from "../../socket/socket-state.js";
import type { GatewayHost, LiveConnection } from "../host.js";
import type { BatchedConnection, WriteBatcher } from "./write-batcher.js";

/** What the connections of one mount share. */
export interface WebSocketKind {
  readonly host: GatewayHost;
  readonly batcher: WriteBatcher;
  readonly limits: WebSocketLimits;
  /** Milliseconds a client may send nothing but pongs. */
  readonly timeout: number;
  /** Milliseconds without a byte from a client after which it is pinged. */
  readonly pingMs: number | false;
  /** Milliseconds a client has for the pong. */
  readonly pongMs: number;
}

export const DEFAULT_WEBSOCKET_LIMITS: WebSocketLimits = {
  maxBufferedBytes: 4 * 1024 * 1024,
  inboundHighWater: 128,
};

/**
 * The `ws` side of a connection. It answers the close of a client with 1000, whatever its code was;
 * `ws` would echo the code.
 */
export class ServerWebSocket extends WebSocket {
  /** Set by `ws` before it answers. */
  declare private readonly _closeFrameReceived: boolean;
  /** Its connection: lets all connections share their listeners. */
  connection: WebSocketConnection | undefined;

  override close(code?: number, reason?: string | Buffer): void {
    if (this._closeFrameReceived && this.readyState === WebSocket.OPEN) super.close(CLOSE.normal);
    else super.close(code, reason);
  }
}

const connectionOf = (ws: WebSocket): WebSocketConnection | undefined => (ws as ServerWebSocket).connection;

function onError(this: WebSocket, error: Error & { code?: string }): void {
  if (error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") connectionOf(this)?.tooLong();
}

function onMessage(this: WebSocket, data: Buffer, isBinary: boolean): void {
  connectionOf(this)?.received(isBinary ? new Uint8Array(data) : data.toString("utf8"));
}

function onClose(this: WebSocket): void {
  connectionOf(this)?.closed();
}

/** A ping without payload. */
const PING = Buffer.from([0x89, 0]);
/** Bytes of a pong, which a client masks. */
const PONG_BYTES = 6;

/** How long a peer may take to answer the close frame before the connection is terminated. */
const CLOSE_GRACE_MS = 2000;

export class WebSocketConnection implements BatchedConnection, Connection, Transport, LiveConnection {
  readonly name = "websocket";
  /** The connection's number at the writer. */
  readonly id: number;
  readonly #kind: WebSocketKind;
  readonly #batcher: WriteBatcher;
  readonly #socket: NetSocket;
  #ws: ServerWebSocket | undefined;
  #pid: Pid | undefined;
  /** Frames to flush at the end of this turn: none, one, or several. */
  #pending: Buffer | Buffer[] | undefined;
  #pendingBytes = 0;
  #unhandled = 0;
  /** Paused by the socket process: its channels are backpressured. */
  #paused = false;
  #closing = false;
  /** Close as soon as it is open. */
  #closeWith: readonly [code: number, reason: string] | undefined;
  /** Reading has stopped, since the connection is about to close. */
  #quiesced = false;
  /**
   * When the client last sent a byte, and a byte that was not part of a pong, on the monotonic
   * clock.
   */
  #receivedAt = performance.now();
  #activeAt = this.#receivedAt;
  /** Bytes received until then. */
  #bytesReceived = 0;
  /** Whether a pong is outstanding. */
  #pinged = false;
  /** When a client whose socket is paused was last pinged. */
  #probedAt = 0;

  /** Nothing is read or written before `open`. */
  constructor(id: number, socket: NetSocket, kind: WebSocketKind) {
    this.id = id;
    this.#socket = socket;
    this.#kind = kind;
    this.#batcher = kind.batcher;
  }

  get pid(): Pid {
    return this.#pid as Pid;
  }

  /** The handshake is done: received frames go to `pid`, and frames can be written. */
  open(ws: ServerWebSocket, pid: Pid): void {
    const { writer, live } = this.#kind.host;
    this.#ws = ws;
    this.#pid = pid;
    writer.open(this.id, this);
    live.set(this.id, this);
    ws.connection = this;
    ws.on("error", onError);
    ws.on("message", onMessage);
    ws.on("close", onClose);
    if (this.#closeWith !== undefined) this.close(...this.#closeWith);
    onExit(pid, () => {
      // However the process ended, its client must not keep a connection that no process reads.
      this.close(CLOSE.internalError, "connection process ended");
      writer.close(this.id);
    });
  }

  /** `ws` has closed. */
  closed(): void {
    const { writer, live } = this.#kind.host;
    live.delete(this.id);
    writer.close(this.id);
    const notification = new SocketNotification({ type: "transport_closed", reason: "normal" });
    outside(() => send(this.pid, notification));
  }

  /** A message exceeded the mount's maximum; `ws` closes. */
  tooLong(): void {
    this.#kind.host.limit(this.id, "frame_size");
  }

  /**
   * Pings a silent client, and closes one that sends no pong or nothing but pongs for too long.
   * Called for all connections by the gateway's single timer.
   */
  sweep(now: number): void {
    this.#noteActivity(now);
    const { timeout, pingMs, pongMs } = this.#kind;
    if (now - this.#activeAt > timeout) this.close(CLOSE.protocolError, "idle timeout");
    if (pingMs === false || this.#closing) return;
    const silent = now - this.#receivedAt;
    if (this.#ws?.isPaused) this.#probe(now, pingMs);
    else if (this.#pinged) {
      if (silent > pingMs + pongMs) this.close(CLOSE.protocolError, "no answer to a ping");
    } else if (silent >= pingMs && !this.#socket.destroyed) {
      this.#pinged = true;
      this.#socket.write(PING);
    }
  }

  /**
   * While the socket is paused, neither pongs nor the client's close are noticed. A write to a
   * client that is gone fails, the second time at the latest.
   */
  #probe(now: number, pingMs: number): void {
    if (now - this.#probedAt < pingMs || this.#socket.destroyed) return;
    this.#probedAt = now;
    this.#socket.write(PING);
  }

  /**
   * Counts bytes received since the last call as received now, even when they are part of a frame.
   */
  #noteActivity(now: number): void {
    const { bytesRead } = this.#socket;
    const received = bytesRead - this.#bytesReceived;
    this.#bytesReceived = bytesRead;
    // A paused socket receives nothing.
    if (received === 0 && !this.#ws?.isPaused) return;
    const isPong = this.#pinged && received === PONG_BYTES;
    if (received > 0 && !isPong) this.#activeAt = now;
    this.#receivedAt = now;
    this.#pinged = false;
  }

  /** Buffers the frame until the end of the turn: the frames of one turn are written together. */
  write(outgoing: PreparedFrame): void {
    if (this.#closing || this.#socket.destroyed) return;
    const { bytes } = outgoing;
    this.#pendingBytes += bytes.length;
    this.#batcher.frames += 1;
    if (this.#pending === undefined) {
      this.#pending = bytes;
      this.#batcher.add(this);
    } else if (Array.isArray(this.#pending)) this.#pending.push(bytes);
    else this.#pending = [this.#pending, bytes];
    if (this.#pendingBytes + this.#socket.writableLength > this.#kind.limits.maxBufferedBytes) {
      this.#kind.host.limit(this.id, "outbound_bytes");
      this.close(CLOSE.tryAgainLater, "client too slow");
    }
  }

  /** Writes the buffered frames to the net socket. */
  flush(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const bytes = Array.isArray(pending) ? Buffer.concat(pending, this.#pendingBytes) : pending;
    this.#pending = undefined;
    this.#pendingBytes = 0;
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** Sends a received frame to the socket process. */
  received(data: string | Uint8Array): void {
    this.#unhandled += 1;
    if (this.#unhandled === this.#kind.limits.inboundHighWater) this.#ws?.pause();
    // A listener runs in the context of the process that attached it; this send is not that
    // process's.
    outside(() => send(this.pid, new ClientFrame(data)));
  }

  /** The socket process has handled a frame. */
  handled(): void {
    this.#unhandled -= 1;
    if (this.#ws?.isPaused) this.#resumeReading();
  }

  pause(): void {
    this.#paused = true;
    this.#ws?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#resumeReading();
  }

  quiesce(): void {
    // The peer's close frame must still be read.
    if (this.#closing) return;
    this.#quiesced = true;
    this.#ws?.pause();
  }

  #resumeReading(): void {
    if (!this.#quiesced && !this.#paused && this.#unhandled <= this.#kind.limits.inboundHighWater / 2)
      this.#ws?.resume();
  }

  /**
   * Starts the closing handshake, after which nothing is written. A peer that does not answer is
   * terminated.
   */
  close(code: number, reason = ""): void {
    const ws = this.#ws;
    if (ws === undefined) this.#closeWith ??= [code, reason];
    if (this.#closing || ws === undefined) return;
    this.flush();
    this.#closing = true;
    ws.close(code, reason);
    ws.resume();
    const grace = setTimeout(() => ws.terminate(), CLOSE_GRACE_MS);
    grace.unref();
    ws.once("close", () => clearTimeout(grace));
  }

  terminate(): void {
    this.#closing = true;
    this.#ws?.terminate();
  }
}
