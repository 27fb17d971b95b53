/**
 * Long-polling: the way in for clients that cannot have a WebSocket (Phoenix.Transports.LongPoll).
 *
 * A session lives from its first GET until no poll has come for one and a half windows. GET fetches what the server has
 * sent, waiting up to a window for the first frame; POST publishes frames. Every answer is HTTP 200 with the real status
 * in its JSON, as the client expects (C-145).
 *
 * There is no acknowledgement: frames that were handed to a poll whose client vanished are lost (C-160). What waits between
 * two polls is bounded; a session over the bound ends, and its client begins anew.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { GenServer, onExit, type Pid, send } from "simurgh/runtime";
import { checkRequestOrigin, handshake, type Target } from "../handshake.js";
import { type Limit, logRequest } from "../logging.js";
import type { GatewayHost, LongPollOptions, MountedSocket } from "../mount.js";
import { resolveTransport } from "../mount-options.js";
import { type MountPath, mountPath } from "../mount-path.js";
import type { Connection, Outgoing } from "../writer.js";

const DEFAULTS: Required<
  Pick<LongPollOptions, "windowMs" | "maxBufferedBytes" | "maxBodySize" | "bodyMs" | "maxAge">
> = {
  windowMs: 10_000,
  maxBufferedBytes: 4 * 1024 * 1024,
  maxBodySize: 8_000_000,
  bodyMs: 10_000,
  maxAge: 1_209_600,
};

/** Frames of one POST that are handled; the rest is ignored (C-152). */
const MAX_BATCH = 100;

interface Polling extends Target {
  readonly at: MountPath;
  readonly options: typeof DEFAULTS;
}

/** One request to a long-poll path. */
interface Asked {
  readonly target: Polling;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  /** Values of the path's named segments. */
  readonly params: Readonly<Record<string, string>>;
}

/** Polls of one session that may wait at once; of more the oldest is answered. */
const MAX_POLLS = 8;

interface Poll {
  readonly response: ServerResponse;
  /** The end of its window. */
  readonly timer: NodeJS.Timeout;
}

/** One client's session: frames that wait for a poll, or a poll that waits for frames. */
class Session implements Connection {
  readonly #host: GatewayHost;
  readonly #options: typeof DEFAULTS;
  readonly token: string;
  pid: Pid | undefined;
  ended = false;
  lastPoll = performance.now();
  #frames: string[] = [];
  #bytes = 0;
  /** Those that wait, oldest first. The newest is told what comes; the others end with their windows (C-159). */
  #polls: Poll[] = [];
  #wakeQueued = false;
  readonly #end: () => void;

  constructor(host: GatewayHost, options: typeof DEFAULTS, token: string, end: () => void) {
    this.#host = host;
    this.#options = options;
    this.token = token;
    this.#end = end;
  }

  write({ frame }: Outgoing): void {
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
    // What one loop run sends is fetched by one poll.
    setImmediate(() => {
      this.#wakeQueued = false;
      const newest = this.#polls.at(-1);
      if (this.#frames.length > 0 && newest !== undefined) this.#answer(newest, 200);
    });
  }

  /** Answers with what is there, or with the first frame that comes within the window, unless a newer poll comes first. */
  poll(response: ServerResponse): void {
    this.lastPoll = performance.now();
    const timer = setTimeout(() => this.#answer(poll, 204), this.#options.windowMs);
    const poll: Poll = { response, timer };
    this.#polls.push(poll);
    response.on("close", () => this.#forget(poll));
    const [oldest] = this.#polls;
    if (this.#frames.length > 0) this.#answer(poll, 200);
    else if (oldest !== undefined && this.#polls.length > MAX_POLLS) this.#answer(oldest, 204);
  }

  #forget(poll: Poll): void {
    clearTimeout(poll.timer);
    this.#polls = this.#polls.filter((other) => other !== poll);
  }

  #take(): string[] {
    const frames = this.#frames;
    this.#frames = [];
    this.#bytes = 0;
    return frames;
  }

  #answer(poll: Poll, status: 200 | 204 | 410): void {
    this.#forget(poll);
    const messages = status === 200 ? this.#take() : [];
    respond(poll.response, status === 410 ? { status } : { status, token: this.token, messages });
  }

  /** Ends the session; a poll that waits is told at once (C-158). */
  close(reason: unknown = ["shutdown", "closed"]): void {
    if (this.ended) return;
    this.ended = true;
    for (const poll of this.#polls) this.#answer(poll, 410);
    this.#frames = [];
    if (this.pid !== undefined) send(this.pid, ["transport closed", reason]);
    this.#end();
  }
}

export class LongPollListener {
  readonly #host: GatewayHost;
  readonly #sockets: readonly Polling[];
  readonly #sessions = new Map<string, Session>();

  constructor(host: GatewayHost, mounted: readonly MountedSocket[]) {
    this.#host = host;
    this.#sockets = mounted.flatMap((socket) => {
      const { longpoll = false } = socket.mount;
      if (longpoll === false) return [];
      const given = longpoll === true ? {} : longpoll;
      return [
        {
          ...socket,
          at: mountPath(socket.path, given.path ?? "/longpoll"),
          options: { ...DEFAULTS, ...given },
          resolved: resolveTransport(
            socket.path,
            socket.definition.options ?? {},
            socket.mount,
            given,
            host.options.checkOrigin,
          ),
        },
      ];
    });
  }

  /** Answers a request to one of its paths; false for any other. */
  take(request: IncomingMessage, response: ServerResponse, url: URL): boolean {
    for (const target of this.#sockets) {
      const params = target.at.match(url.pathname);
      if (params === undefined) continue;
      logRequest(this.#host, target.resolved.transportLog, request);
      this.#request({ target, request, response, url, params });
      return true;
    }
    return false;
  }

  #request(asked: Asked): void {
    this.#host.node
      .run(() => this.#answer(asked))
      .catch((error: unknown) => {
        this.#host.notice("error", "a long-poll request crashed", error);
        if (!asked.response.headersSent) asked.response.writeHead(500).end();
      });
  }

  async #answer(asked: Asked): Promise<void> {
    const { target, request, response, url } = asked;
    if (!checkRequestOrigin(this.#host, target, request, url)) return respond(response, { status: 403 });
    switch (request.method) {
      case "OPTIONS": {
        const wanted = request.headers["access-control-request-headers"];
        response.writeHead(200, {
          ...HEADERS,
          "access-control-allow-headers": wanted ?? "",
          "access-control-allow-methods": "get, post, options",
          "access-control-max-age": "3600",
        });
        response.end();
        return;
      }
      case "GET": {
        const session = this.#sessionOf(target, request, url);
        if (session !== undefined) session.poll(response);
        else await this.#begin(asked);
        return;
      }
      case "POST":
        return this.#publish(target, request, response, this.#sessionOf(target, request, url));
      default:
        response.writeHead(400).end();
    }
  }

  /** Connects a client and tells it its token, with the status 410 that stands for a new session (C-146). */
  async #begin({ target, request, response, url, params }: Asked): Promise<void> {
    const host = this.#host;
    if (host.draining) return respond(response, { status: 403 });
    const header = request.headers["x-phoenix-authtoken"];
    const authToken = target.resolved.authToken && typeof header === "string" ? header : null;
    const shaken = await handshake(host, target, request, url, params, "longpoll", authToken);
    if (!shaken.ok) return respond(response, { status: 403 });
    const key = randomBytes(18).toString("base64url");
    const token = this.#sign(target, `${key}.${Math.floor(Date.now() / 1000).toString(36)}`);
    const id = host.writer.reserve();
    const session = new Session(host, target.options, token, () => {
      this.#sessions.delete(key);
      host.live.delete(id);
      host.writer.close(id);
    });
    const pid = await host.startSocket(target, shaken.socket, shaken, id, {
      name: "longpoll",
      handled() {},
      close: () => session.close(),
    });
    session.pid = pid;
    host.writer.open(id, session);
    this.#sessions.set(key, session);
    const silence = silenceOf(target.options);
    host.live.set(id, {
      pid,
      sweep(now) {
        if (now - session.lastPoll > silence) session.close(["shutdown", "inactive"]);
      },
      terminate: () => session.close(),
    });
    onExit(pid, () => session.close());
    respond(response, { status: 410, token, messages: [] });
  }

  #sign({ path }: Polling, content: string): string {
    return `${content}.${createHmac("sha256", this.#host.options.secret).update(`longpoll ${path} ${content}`).digest("base64url")}`;
  }

  /** The session a request belongs to: by header, which wins, or by query (C-147). */
  #sessionOf(target: Polling, request: IncomingMessage, url: URL): Session | undefined {
    const header = request.headers["x-phoenix-longpoll-token"];
    const token = (Array.isArray(header) ? header[0] : header) ?? url.searchParams.get("token");
    if (typeof token !== "string") return undefined;
    const [key, issued, mac] = token.split(".");
    if (key === undefined || issued === undefined || mac === undefined) return undefined;
    const expected = Buffer.from(this.#sign(target, `${key}.${issued}`));
    const given = Buffer.from(token);
    if (expected.length !== given.length || !timingSafeEqual(expected, given)) return undefined;
    if (Date.now() / 1000 - Number.parseInt(issued, 36) > target.options.maxAge) return undefined;
    return this.#sessions.get(key);
  }

  async #publish(
    { options }: Polling,
    request: IncomingMessage,
    response: ServerResponse,
    session: Session | undefined,
  ): Promise<void> {
    const body = await readBody(request, options.maxBodySize, options.bodyMs);
    if (typeof body !== "string") {
      if (body !== undefined) this.#host.limit(undefined, body.limit);
      response.writeHead(400, { connection: "close" }).end();
      return;
    }
    if (session?.pid === undefined || session.ended) return respond(response, { status: 410 });
    for (const part of partsOf(request, body)) {
      try {
        await GenServer.call(session.pid, ["frame", part], options.windowMs);
      } catch {
        // Not handled within the window, or so wrong that the session has ended over it (C-155, C-036).
        return respond(response, { status: 408 });
      }
    }
    respond(response, { status: 200 });
  }
}

/** Milliseconds without a poll after which a session ends (C-157). */
const silenceOf = ({ windowMs = DEFAULTS.windowMs }: LongPollOptions): number => windowMs * 1.5;

/** How often sessions must be looked at to end the first of them in time. */
export const shortestSilence = (mounted: readonly MountedSocket[]): number =>
  Math.min(
    ...mounted.map(({ mount: { longpoll = false } }) =>
      longpoll === false ? Number.POSITIVE_INFINITY : silenceOf(longpoll === true ? {} : longpoll),
    ),
  );

const HEADERS = {
  "content-type": "application/json; charset=utf-8",
  "cache-control": "no-store",
  "access-control-allow-origin": "*",
};

function respond(
  response: ServerResponse,
  answer: { readonly status: number; readonly token?: string; readonly messages?: readonly string[] },
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(200, HEADERS).end(JSON.stringify(answer));
}

/** The body; which limit it ran into, being too large or too slow; undefined when it breaks off. */
async function readBody(
  request: IncomingMessage,
  limit: number,
  ms: number,
): Promise<string | { readonly limit: Limit } | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    request.destroy();
  }, ms);
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit) return { limit: "body_size" };
      chunks.push(chunk);
    }
  } catch {
    return late ? { limit: "body_time" } : undefined;
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks, size).toString("utf8");
}

/** The frames of a POST: one, or one a line, where a line that is no JSON is a binary frame in Base64 (C-151). */
function partsOf(request: IncomingMessage, body: string): (string | Uint8Array)[] {
  const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-ndjson") return [body];
  const parts: (string | Uint8Array)[] = [];
  for (let start = 0; start < body.length && parts.length < MAX_BATCH; ) {
    const end = body.indexOf("\n", start);
    const line = body.slice(start, end < 0 ? body.length : end).replace(/\r$/, "");
    start = end < 0 ? body.length : end + 1;
    if (line === "") continue;
    parts.push(
      line.startsWith("[") || line.startsWith("{") ? line : new Uint8Array(Buffer.from(line, "base64")),
    );
  }
  return parts;
}
