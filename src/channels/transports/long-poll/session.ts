/**
 * Session is a long-poll session without its HTTP: frames that wait for a poll, or polls that wait
 * for frames.
 *
 * A session stays in the thread in which it started, with its socket process. Requests to it are
 * plain data (`SessionRequest`), so that any gateway that gets an HTTP request can forward it to
 * the gateway with the session.
 */
import { ExitSignal, GenServer, type Pid, send } from "simurgh/runtime";
import { ClientFrame, SocketNotification } from "../../channel/messages.js";
import type { Connection, PreparedFrame } from "../../fanout/connection-writer.js";
import type { LongPollOptions } from "../../socket/mount-options.js";
import type { GatewayHost } from "../host.js";
import { type GatewayAddress, SessionRelay } from "./relay.js";

/** A request to a session. The name of a poll identifies it when it is cancelled. */
export type SessionRequest =
  | readonly ["poll", session: string, poll: string]
  | readonly ["give up", session: string, poll: string]
  | readonly ["publish", session: string, frames: readonly (string | Uint8Array)[]];

/** 408: a frame was malformed or not handled in time. 410: the session has ended. */
export interface SessionAnswer {
  readonly status: 200 | 204 | 408 | 410;
  readonly messages: readonly string[];
}

const answer = (status: SessionAnswer["status"], messages: readonly string[] = []): SessionAnswer => ({
  status,
  messages,
});

const GONE = answer(410);

/** Maximum concurrent polls of one session; beyond them the oldest is answered. */
const MAX_POLLS = 8;

/** Clients poll again at once; a session without a poll for longer may be abandoned. */
const ABANDONED_MS = 1000;

/**
 * Maximum characters of the frames in one response: encoded, they fit into a message between nodes.
 */
const MAX_ANSWER = 256 * 1024;

interface Poll {
  readonly name: string;
  readonly resolve: (answer: SessionAnswer) => void;
  /** Fires at the end of its window. */
  readonly timer: NodeJS.Timeout;
}

export type SessionOptions = Required<Pick<LongPollOptions, "windowMs" | "maxBufferedBytes" | "maxBodySize">>;

export class Session implements Connection {
  readonly #host: GatewayHost;
  readonly #options: SessionOptions;
  /** The id of its socket. */
  readonly id: string | null;
  pid: Pid | undefined;
  ended = false;
  lastPoll = performance.now();
  #answeredAt = performance.now();
  #frames: string[] = [];
  #bytes = 0;
  /** Waiting polls, oldest first. Frames go to the newest; the others end with their windows. */
  #polls: Poll[] = [];
  #wakeQueued = false;
  /** Bytes of received frames that are not handled yet. */
  #bytesIn = 0;
  /** Its channels are backpressured: frames wait here, each at most a window. */
  #paused = false;
  readonly #waitingPublishes = new Set<() => void>();
  readonly #end: () => void;

  constructor(host: GatewayHost, options: SessionOptions, id: string | null, end: () => void) {
    this.#host = host;
    this.id = id;
    this.#options = options;
    this.#end = end;
  }

  write({ frame }: PreparedFrame): void {
    if (this.ended) return;
    if (typeof frame !== "string") {
      this.#host.notice("error", "a binary frame cannot be sent over long-poll; it was dropped");
      return;
    }
    this.#frames.push(frame);
    this.#bytes += frame.length;
    if (this.#bytes > this.#options.maxBufferedBytes) {
      this.#host.limit(undefined, "outbound_bytes");
      this.close();
      return;
    }
    if (this.#polls.length === 0 || this.#wakeQueued) return;
    this.#wakeQueued = true;
    // One poll fetches all frames of a turn of the event loop.
    setImmediate(() => {
      this.#wakeQueued = false;
      const newest = this.#polls.at(-1);
      if (this.#frames.length > 0 && newest !== undefined) this.#answer(newest, 200);
    });
  }

  /**
   * Resolves with the buffered frames, or with the first ones within the window, unless a newer
   * poll arrives first.
   */
  poll(name: string): Promise<SessionAnswer> {
    this.lastPoll = performance.now();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#answer(poll, 204), this.#options.windowMs);
      const poll: Poll = { name, resolve, timer };
      this.#polls.push(poll);
      const [oldest] = this.#polls;
      if (this.#frames.length > 0) this.#answer(poll, 200);
      else if (oldest !== undefined && this.#polls.length > MAX_POLLS) this.#answer(oldest, 204);
    });
  }

  /** The client of a poll is gone: frames are kept for the next poll. */
  cancelPoll(name: string): void {
    for (const poll of this.#polls) if (poll.name === name) this.#answer(poll, 204);
  }

  /**
   * Sends frames to the socket process, one after the other. Concurrent requests share the byte
   * limit of one.
   */
  async publish(frames: readonly (string | Uint8Array)[]): Promise<SessionAnswer> {
    const bytes = frames.reduce((total, frame) => total + frame.length, 0);
    if (this.#bytesIn > 0 && this.#bytesIn + bytes > this.#options.maxBodySize) {
      this.#host.limit(undefined, "body_size");
      return answer(408);
    }
    this.#bytesIn += bytes;
    try {
      return await this.#handle(frames);
    } finally {
      this.#bytesIn -= bytes;
    }
  }

  async #handle(frames: readonly (string | Uint8Array)[]): Promise<SessionAnswer> {
    for (const frame of frames) {
      if (this.#paused && !(await this.#resumed())) return answer(408);
      if (this.pid === undefined || this.ended) return GONE;
      try {
        await GenServer.call(this.pid, new ClientFrame(frame), this.#options.windowMs);
      } catch {
        // Not handled within the window, or malformed, which has ended the session.
        return answer(408);
      }
    }
    return answer(200);
  }

  /** Stops sending frames to the socket process. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#continue();
  }

  /** Resolves, within a window, with whether frames may be sent again. */
  #resumed(): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waitingPublishes.delete(done);
        resolve(!this.#paused || this.ended);
      };
      const timer = setTimeout(done, this.#options.windowMs);
      this.#waitingPublishes.add(done);
    });
  }

  #continue(): void {
    for (const done of [...this.#waitingPublishes]) done();
  }

  #answer(poll: Poll, status: 200 | 204 | 410): void {
    clearTimeout(poll.timer);
    this.#answeredAt = performance.now();
    this.#polls = this.#polls.filter((other) => other !== poll);
    poll.resolve(answer(status, status === 200 ? this.#take() : []));
  }

  /** As many frames as fit into a response that may be relayed to another node; at least one. */
  #take(): string[] {
    let length = 0;
    let count = 0;
    for (const frame of this.#frames) {
      length += frame.length;
      if (count > 0 && length > MAX_ANSWER) break;
      count += 1;
    }
    const frames = this.#frames.splice(0, count);
    for (const frame of frames) this.#bytes -= frame.length;
    return frames;
  }

  /** Milliseconds without a poll since the last one was answered. */
  idle(now: number): number {
    return this.#polls.length > 0 ? 0 : now - this.#answeredAt;
  }

  /** Ends the session; waiting polls are answered at once. */
  close(reason: unknown = ["shutdown", "closed"]): void {
    if (this.ended) return;
    this.ended = true;
    for (const poll of this.#polls) this.#answer(poll, 410);
    this.#continue();
    this.#frames = [];
    if (this.pid !== undefined) send(this.pid, new SocketNotification({ type: "transport_closed", reason }));
    this.#end();
  }
}

/** The sessions of this gateway, and access to those of other gateways. */
export class Sessions {
  readonly #host: GatewayHost;
  readonly #sessions = new Map<string, Session>();
  readonly #relay: SessionRelay | undefined;

  /** `nodeName` is this node's name in the cluster; undefined without one. */
  constructor(host: GatewayHost, nodeName: string | undefined) {
    this.#host = host;
    if (nodeName !== undefined) {
      this.#relay = new SessionRelay(host, nodeName, (request) => this.handle(request));
      this.#relay.start();
    }
  }

  /** This node's name in locations of sessions; "" without a cluster. */
  get nodeName(): string {
    return this.#relay?.nodeName ?? "";
  }

  get size(): number {
    return this.#sessions.size;
  }

  add(name: string, session: Session): void {
    this.#sessions.set(name, session);
  }

  delete(name: string): void {
    this.#sessions.delete(name);
  }

  /**
   * Ends the session of a socket id that has had no poll for longest. False when all are polled.
   */
  endAbandoned(id: string): boolean {
    const now = performance.now();
    let longest = ABANDONED_MS;
    let abandoned: Session | undefined;
    for (const session of this.#sessions.values()) {
      if (session.id !== id || session.idle(now) < longest) continue;
      abandoned = session;
      longest = session.idle(now);
    }
    abandoned?.close(["shutdown", "inactive"]);
    return abandoned !== undefined;
  }

  /**
   * Sends a request to a session of the gateway at `home`. Null when the session or its gateway is
   * gone, or does not respond within `ms`.
   */
  async request(home: GatewayAddress, request: SessionRequest, ms: number): Promise<SessionAnswer | null> {
    if (home.node !== this.nodeName) return (await this.#relay?.request(home, request, ms)) ?? null;
    if (home.gateway === this.#host.node.index) return this.handle(request);
    try {
      return await this.#host.relay(home.gateway, request);
    } catch (error) {
      if (error instanceof ExitSignal) return null;
      throw error;
    }
  }

  /** Handles a request to a session of this gateway. */
  async handle(request: SessionRequest): Promise<SessionAnswer | null> {
    const session = this.#sessions.get(request[1]);
    if (session === undefined) return null;
    switch (request[0]) {
      case "poll":
        return session.poll(request[2]);
      case "give up":
        session.cancelPoll(request[2]);
        return answer(204);
      case "publish":
        return session.publish(request[2]);
    }
  }
}
