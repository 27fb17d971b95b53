/**
 * One WebSocket connection: `ws` reads, checks and answers control frames; we write data frames
 * straight to the net socket that the upgrade gave us, prepared, and all frames of one loop run, or
 * of a few when there are many, in one write (with several frames per socket and run a fraction of
 * the cost).
 *
 * Both sides are bounded. Out: more than `maxBufferedBytes` waiting closes the connection with
 * 1013. In: while more than `inboundHighWater` frames wait for the socket process, the TCP socket
 * is not read.
 */
import type { Socket as NetSocket } from "node:net";
import { onExit, outside, type Pid, send } from "simurgh/runtime";
import { WebSocket } from "ws";
import { ClientFrame, SocketNews } from "../../channel/messages.js";
import type { Connection, Outgoing } from "../../fanout/connection-writer.js";
import type { WebSocketLimits } from "../../socket/mount-options.js";
import type { Transport } from "../../socket/socket-server.js";
import type { GatewayHost, Live } from "../host.js";

/** What the connections of one mount have in common. */
export interface WebSocketKind {
  readonly host: GatewayHost;
  readonly limits: WebSocketLimits;
  /** Milliseconds a client may say nothing but answers to pings. */
  readonly timeout: number;
  /** Milliseconds without a byte from a client after which it is pinged. */
  readonly pingMs: number | false;
  /** Milliseconds a client has for the answer. */
  readonly pongMs: number;
}

export const DEFAULT_WEBSOCKET_LIMITS: WebSocketLimits = {
  maxBufferedBytes: 4 * 1024 * 1024,
  inboundHighWater: 128,
};

/** The `ws` side of a connection. Answers the close of a client with 1000, whatever its code was; `ws` would send the
 * same code back. */
export class ServerWebSocket extends WebSocket {
  /** Set by `ws` before it answers. */
  declare private readonly _closeFrameReceived: boolean;
  /** Whose it is: lets all connections share their listeners. */
  connection: WebSocketConnection | undefined;

  override close(code?: number, reason?: string | Buffer): void {
    if (this._closeFrameReceived && this.readyState === WebSocket.OPEN) super.close(1000);
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
/** Bytes of its answer, which a client masks. */
const PONG_BYTES = 6;

/** How long a peer may take to answer our close frame before the connection is cut. */
const CLOSE_GRACE_MS = 2000;

/** Connections with frames that leave at the end of this loop run. */
let waiting: WebSocketConnection[] = [];
let frames = 0;

/**
 * A broadcast to many is worth another look at what comes in before it leaves: broadcasts close
 * behind it share its writes. How long we look, per connection, follows from whether looking has
 * paid lately: up to a tenth of what a write costs when something came, half as long each time
 * nothing did, and long once more every now and then. So a lone broadcast waits for one look only.
 */
const MANY = 32;
const LONGEST_LOOK_MS = 0.0004;
const TRY_AGAIN_AFTER = 16;
/** However much comes in, nothing waits longer. */
const MAX_WAIT_MS = 1;

const look = { perConnection: LONGEST_LOOK_MS, began: 0, until: 0, frames: 0, found: false, inVain: 0 };

function looksFurther(): boolean {
  if (waiting.length < MANY) return false;
  const now = performance.now();
  if (frames > look.frames) {
    if (look.frames === 0) look.began = now;
    else look.found = true;
    look.frames = frames;
    look.until = now + waiting.length * look.perConnection;
    return now - look.began < MAX_WAIT_MS;
  }
  if (now < look.until) return true;
  look.inVain = look.found ? 0 : (look.inVain + 1) % TRY_AGAIN_AFTER;
  look.perConnection = LONGEST_LOOK_MS / 2 ** look.inVain;
  return false;
}

function flushAll(): void {
  if (looksFurther()) {
    setImmediate(flushAll);
    return;
  }
  const connections = waiting;
  waiting = [];
  frames = 0;
  look.frames = 0;
  look.found = false;
  for (const connection of connections) connection.flush();
}

export class WebSocketConnection implements Connection, Transport, Live {
  readonly name = "websocket";
  /** Its number at the writer. */
  readonly id: number;
  readonly #kind: WebSocketKind;
  readonly #socket: NetSocket;
  #ws: ServerWebSocket | undefined;
  #pid: Pid | undefined;
  /** Frames that leave at the end of this loop run: none, one, or several. */
  #pending: Buffer | Buffer[] | undefined;
  #pendingBytes = 0;
  #unhandled = 0;
  /** Its channels have enough to do. */
  #held = false;
  #closing = false;
  /** It is to close as soon as it is open. */
  #closeWith: readonly [code: number, reason: string] | undefined;
  /** Nothing more is read, since the connection is about to close. */
  #quiet = false;
  /**
   * When the client last sent a byte, on the monotonic clock, and one that was no answer to a ping.
   */
  #receivedAt = performance.now();
  #spokeAt = this.#receivedAt;
  /** What had come by then. */
  #bytesReceived = 0;
  /** Whether a ping is not answered yet. */
  #pinged = false;
  /** When a client that is not read was last pinged. */
  #probedAt = 0;

  /** Nothing is read and nothing can be written before `open`. */
  constructor(id: number, socket: NetSocket, kind: WebSocketKind) {
    this.id = id;
    this.#socket = socket;
    this.#kind = kind;
  }

  get pid(): Pid {
    return this.#pid as Pid;
  }

  /** The handshake is done: what comes goes to `pid`, and what is written leaves. */
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
      // Whatever ended the process, its client must not be left with a connection nobody reads.
      this.close(1011, "connection process ended");
      writer.close(this.id);
    });
  }

  /** `ws` has closed. */
  closed(): void {
    const { writer, live } = this.#kind.host;
    live.delete(this.id);
    writer.close(this.id);
    const news = new SocketNews({ type: "transport_closed", reason: "normal" });
    outside(() => send(this.pid, news));
  }

  /** A message was longer than the mount allows; `ws` closes. */
  tooLong(): void {
    this.#kind.host.limit(this.id, "frame_size");
  }

  /**
   * Pings a client that has been silent for a while, and closes one that does not answer, or has
   * said nothing else for too long. Called for all connections by the gateway's one timer.
   */
  sweep(now: number): void {
    this.#notice(now);
    const { timeout, pingMs, pongMs } = this.#kind;
    if (now - this.#spokeAt > timeout) this.close(1002, "idle timeout");
    if (pingMs === false || this.#closing) return;
    const silent = now - this.#receivedAt;
    if (this.#ws?.isPaused) this.#probe(now, pingMs);
    else if (this.#pinged) {
      if (silent > pingMs + pongMs) this.close(1002, "no answer to a ping");
    } else if (silent >= pingMs && !this.#socket.destroyed) {
      this.#pinged = true;
      this.#socket.write(PING);
    }
  }

  /**
   * While a client is not read, neither its answers are seen nor that it has gone; but what is
   * written to one that has gone fails, the second time at the latest.
   */
  #probe(now: number, pingMs: number): void {
    if (now - this.#probedAt < pingMs || this.#socket.destroyed) return;
    this.#probedAt = now;
    this.#socket.write(PING);
  }

  /** What has come since the last time counts as having come now, whatever it was part of. */
  #notice(now: number): void {
    const { bytesRead } = this.#socket;
    const received = bytesRead - this.#bytesReceived;
    this.#bytesReceived = bytesRead;
    // Nothing can come while we do not read.
    if (received === 0 && !this.#ws?.isPaused) return;
    const isPong = this.#pinged && received === PONG_BYTES;
    if (received > 0 && !isPong) this.#spokeAt = now;
    this.#receivedAt = now;
    this.#pinged = false;
  }

  /**
   * Keeps the frame until the end of the loop run: what one run writes to a connection leaves in
   * one piece.
   */
  write(outgoing: Outgoing): void {
    if (this.#closing || this.#socket.destroyed) return;
    const { bytes } = outgoing;
    this.#pendingBytes += bytes.length;
    frames += 1;
    if (this.#pending === undefined) {
      this.#pending = bytes;
      if (waiting.push(this) === 1) setImmediate(flushAll);
    } else if (Array.isArray(this.#pending)) this.#pending.push(bytes);
    else this.#pending = [this.#pending, bytes];
    if (this.#pendingBytes + this.#socket.writableLength > this.#kind.limits.maxBufferedBytes) {
      this.#kind.host.limit(this.id, "outbound_bytes");
      this.close(1013, "client too slow");
    }
  }

  /** Hands what was kept to the kernel. */
  flush(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const bytes = Array.isArray(pending) ? Buffer.concat(pending, this.#pendingBytes) : pending;
    this.#pending = undefined;
    this.#pendingBytes = 0;
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** A frame has come in and waits for the socket process. */
  received(data: string | Uint8Array): void {
    this.#unhandled += 1;
    if (this.#unhandled === this.#kind.limits.inboundHighWater) this.#ws?.pause();
    // Listeners may run in the context of whichever process began to listen; this one speaks for
    // none.
    outside(() => send(this.pid, new ClientFrame(data)));
  }

  /** The socket process has taken a frame. */
  handled(): void {
    this.#unhandled -= 1;
    if (this.#ws?.isPaused) this.#readOn();
  }

  hold(on: boolean): void {
    this.#held = on;
    if (on) this.#ws?.pause();
    else this.#readOn();
  }

  quiesce(): void {
    // The answer to our close frame must be read.
    if (this.#closing) return;
    this.#quiet = true;
    this.#ws?.pause();
  }

  #readOn(): void {
    if (!this.#quiet && !this.#held && this.#unhandled <= this.#kind.limits.inboundHighWater / 2)
      this.#ws?.resume();
  }

  /**
   * Starts the closing handshake; a peer that does not take part is cut off. Nothing is written
   * after it.
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
