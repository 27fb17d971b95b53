/**
 * LongPollListener is the transport for clients without WebSocket (Phoenix.Transports.LongPoll).
 *
 * A session lives from its first GET until one and a half windows pass without a poll. GET fetches
 * the server's frames, waiting up to a window for the first; POST publishes frames. Every response
 * is HTTP 200 with the real status in its JSON, as the client expects. Any gateway of the endpoint,
 * on any node of the cluster, serves a session: its token has its location.
 *
 * There is no acknowledgement: frames in a response that does not reach its client are lost. Frames
 * buffered between two polls are bounded; a session over the bound ends, and its client starts
 * another.
 *
 * The official client backs off between failed attempts and resets the backoff once a session has
 * started. So a client is refused before it has a session: with status 403 in the JSON when
 * `connect` refuses, and with HTTP 429 or 503 and `Retry-After` when it may retry later. The body
 * of these has the status 500, because the client throws on an unknown status and then never
 * reconnects.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { onExit } from "simurgh/runtime";
import { type Limit, logRequest } from "../../channel/instrumentation.js";
import { endpointConfig } from "../../protocol/endpoint-config.js";
import { CLIENT_ERRORS } from "../../protocol/errors.js";
import type { RequestAddress } from "../../socket/connect-info.js";
import type { LongPollOptions } from "../../socket/mount-options.js";
import { resolveTransport } from "../../socket/mount-options.js";
import { checkRequestOrigin, type Handshake, handshake, type Target } from "../handshake.js";
import type { GatewayHost, MountedSocket } from "../host.js";
import { type MountPath, mountPath } from "../mount-path.js";
import { sessionToken, withoutSessionToken } from "./query.js";
import type { GatewayAddress } from "./relay.js";
import { Session, type SessionAnswer, Sessions } from "./session.js";
import { SessionLimits } from "./session-limits.js";

const DEFAULTS: Required<
  Pick<
    LongPollOptions,
    | "windowMs"
    | "maxBufferedBytes"
    | "maxBodySize"
    | "bodyMs"
    | "maxAge"
    | "maxSessionsPerNetwork"
    | "maxSessionsPerId"
    | "sessionRate"
  >
> = {
  windowMs: 10_000,
  maxBufferedBytes: 4 * 1024 * 1024,
  maxBodySize: 8_000_000,
  bodyMs: 10_000,
  maxAge: 1_209_600,
  maxSessionsPerNetwork: 1000,
  maxSessionsPerId: 50,
  sessionRate: { perSecond: 50, burst: 500 },
};

const TOKEN_HEADER = "x-phoenix-longpoll-token";

/** `Retry-After` of a draining server, for its replacement. */
const DRAIN_RETRY_MS = 1000;

/** Maximum frames of one POST; the rest is ignored. */
const MAX_BATCH = 100;

/**
 * Allowance for a request to another node and its response, beyond the time that the session takes.
 */
const RELAY_ALLOWANCE_MS = 5000;

interface Polling extends Target {
  readonly at: MountPath;
  readonly options: typeof DEFAULTS;
  readonly limits: SessionLimits;
}

/** One request to a long-poll path. */
interface LongPollRequest {
  readonly target: Polling;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly address: RequestAddress;
  /** Values of the path's named segments. */
  readonly params: Readonly<Record<string, string>>;
}

/** The location of a client's session. */
interface SessionLocation {
  readonly home: GatewayAddress;
  readonly session: string;
  readonly token: string;
}

export class LongPollListener {
  readonly #host: GatewayHost;
  readonly #sockets: readonly Polling[];
  readonly sessions: Sessions;
  #polls = 0;

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
          limits: new SessionLimits({ ...DEFAULTS, ...given }),
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
    const { cluster } = endpointConfig(host.options.endpoint);
    this.sessions = new Sessions(host, this.#sockets.length === 0 ? undefined : cluster?.nodeName);
  }

  /** Handles a request to one of its paths; false for any other. */
  take(request: IncomingMessage, response: ServerResponse, address: RequestAddress): boolean {
    for (const target of this.#sockets) {
      const params = target.at.match(address.path);
      if (params === undefined) continue;
      logRequest(this.#host, target.resolved.transportLog, request);
      this.#request({ target, request, response, address, params });
      return true;
    }
    return false;
  }

  #request(incoming: LongPollRequest): void {
    this.#host.node
      .run(() => this.#answer(incoming))
      .catch((error: unknown) => {
        this.#host.notice("error", "a long-poll request crashed", error);
        if (!incoming.response.headersSent) incoming.response.writeHead(500).end();
      });
  }

  async #answer(incoming: LongPollRequest): Promise<void> {
    const { target, request, response, address } = incoming;
    if (!checkRequestOrigin(this.#host, target, request, address)) return respond(response, { status: 403 });
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
        const location = this.#locate(target, request, address);
        const answer = location && (await this.#poll(location, response, target.options.windowMs));
        if (!answer) return this.#startSession(incoming);
        const { status, messages } = answer;
        return respond(
          response,
          status === 410 ? { status } : { status, token: location?.token as string, messages },
        );
      }
      case "POST":
        return this.#publish(target, request, response, this.#locate(target, request, address));
      default:
        response.writeHead(400).end();
    }
  }

  /** Starts a session for a client, within the limits, which count it until it ends. */
  async #startSession(incoming: LongPollRequest): Promise<void> {
    const { target, response, address } = incoming;
    const host = this.#host;
    if (host.draining) return respondLater(response, 503, DRAIN_RETRY_MS);
    const admitted = target.limits.admitNetwork(address.clientNetwork, performance.now());
    if (!admitted.ok) return this.#tooMany(response, admitted.retryAfterMs);
    let started = false;
    try {
      started = await this.#connect(incoming, admitted.release);
    } finally {
      if (!started) admitted.release();
    }
  }

  #tooMany(response: ServerResponse, retryAfterMs: number): void {
    this.#host.limit(undefined, "sessions");
    respondLater(response, 429, retryAfterMs);
  }

  /**
   * Connects a client and responds with its token and status 410, which means a new session. False
   * when refused. `release` is called when the session ends.
   */
  async #connect(
    { target, request, response, address, params }: LongPollRequest,
    release: () => void,
  ): Promise<boolean> {
    const host = this.#host;
    const header = request.headers["x-phoenix-authtoken"];
    const authToken = target.resolved.authToken && typeof header === "string" ? header : null;
    const query = withoutSessionToken(request.headers[TOKEN_HEADER], address.query);
    const connectAddress = { ...address, query };
    const accepted = await handshake(host, target, request, connectAddress, params, "longpoll", authToken);
    // A session that expired at once would be restarted by the client's next poll, in a loop.
    if (!accepted.ok || (accepted.expiresAt ?? Number.POSITIVE_INFINITY) <= Date.now()) {
      respond(response, { status: 403 });
      return false;
    }
    const { id } = accepted.socket;
    let admitted = target.limits.admitId(id);
    if (!admitted.ok && id !== null && this.sessions.endAbandoned(id)) admitted = target.limits.admitId(id);
    if (!admitted.ok) {
      this.#tooMany(response, admitted.retryAfterMs);
      return false;
    }
    const releaseId = admitted.release;
    const ended = (): void => {
      release();
      releaseId();
    };
    try {
      respond(response, { status: 410, token: await this.#start(target, accepted, ended), messages: [] });
      return true;
    } catch (error) {
      ended();
      throw error;
    }
  }

  /** Starts a session and returns its token. */
  async #start(
    target: Polling,
    accepted: Extract<Handshake, { readonly ok: true }>,
    ended: () => void,
  ): Promise<string> {
    const host = this.#host;
    const key = randomBytes(18).toString("base64url");
    const issued = Math.floor(Date.now() / 1000).toString(36);
    const node = Buffer.from(this.sessions.nodeName).toString("base64url");
    const token = this.#sign(target, `${host.node.index}~${node}.${key}.${issued}`);
    const id = host.writer.reserve();
    const session = new Session(host, target.options, accepted.socket.id, () => {
      this.sessions.delete(key);
      host.live.delete(id);
      host.writer.close(id);
      ended();
    });
    const pid = await host.startSocket(target, accepted.socket, accepted, id, {
      name: "longpoll",
      handled() {},
      pause: () => session.pause(),
      resume: () => session.resume(),
      close: () => session.close(),
    });
    // It may have ended already, for example because it has expired.
    if (session.ended) return token;
    session.pid = pid;
    host.writer.open(id, session);
    this.sessions.add(key, session);
    const silence = idleTimeout(target.options);
    host.live.set(id, {
      pid,
      sweep(now) {
        if (now - session.lastPoll > silence) session.close(["shutdown", "inactive"]);
      },
      // Frames published until then get a response or not, which the client notices.
      quiesce() {},
      terminate: () => session.close(),
    });
    onExit(pid, () => session.close());
    return token;
  }

  #sign({ path }: Polling, content: string): string {
    return `${content}.${createHmac("sha256", this.#host.options.secret).update(`longpoll ${path} ${content}`).digest("base64url")}`;
  }

  /** The location of a request's session, from the token in its header or query. */
  #locate(target: Polling, request: IncomingMessage, address: RequestAddress): SessionLocation | undefined {
    const token = sessionToken(request.headers[TOKEN_HEADER], address.query);
    if (token === undefined) return undefined;
    const [home, session, issued, mac] = token.split(".");
    if (home === undefined || session === undefined || issued === undefined || mac === undefined)
      return undefined;
    const expected = Buffer.from(this.#sign(target, `${home}.${session}.${issued}`));
    const given = Buffer.from(token);
    if (expected.length !== given.length || !timingSafeEqual(expected, given)) return undefined;
    if (Date.now() / 1000 - Number.parseInt(issued, 36) > target.options.maxAge) return undefined;
    const [gateway, node = ""] = home.split("~");
    return {
      home: { gateway: Number(gateway), node: Buffer.from(node, "base64url").toString() },
      session,
      token,
    };
  }

  /** Null when the session has ended. */
  #poll(
    { home, session }: SessionLocation,
    response: ServerResponse,
    windowMs: number,
  ): Promise<SessionAnswer | null> {
    this.#polls += 1;
    const poll = `${this.#host.node.index}.${this.#polls}`;
    // Frames are not lost to a client that is gone.
    response.on("close", () => {
      if (!response.writableEnded) this.#cancelPoll(home, session, poll);
    });
    return this.sessions.request(home, ["poll", session, poll], windowMs + RELAY_ALLOWANCE_MS);
  }

  #cancelPoll(home: GatewayAddress, session: string, poll: string): void {
    this.#host.node
      .run(() => this.sessions.request(home, ["give up", session, poll], RELAY_ALLOWANCE_MS))
      .catch(() => {});
  }

  async #publish(
    { options }: Polling,
    request: IncomingMessage,
    response: ServerResponse,
    location: SessionLocation | undefined,
  ): Promise<void> {
    // Without a session the body is not read.
    if (location === undefined) return respond(response, { status: 410 });
    const body = await readBody(request, options.maxBodySize, options.bodyMs);
    if (typeof body !== "string") {
      if (body !== undefined) this.#host.limit(undefined, body.limit);
      response.writeHead(400, { connection: "close" }).end();
      return;
    }
    const parts = partsOf(request, body);
    const ms = parts.length * options.windowMs + RELAY_ALLOWANCE_MS;
    const answer = await this.sessions.request(location.home, ["publish", location.session, parts], ms);
    respond(response, { status: answer?.status ?? 410 });
  }
}

/** Milliseconds without a poll after which a session ends. */
const idleTimeout = ({ windowMs = DEFAULTS.windowMs }: LongPollOptions): number => windowMs * 1.5;

/** The shortest idle timeout of the mounted sessions. */
export const shortestIdleTimeout = (mounted: readonly MountedSocket[]): number =>
  Math.min(
    ...mounted.map(({ mount: { longpoll = false } }) =>
      longpoll === false ? Number.POSITIVE_INFINITY : idleTimeout(longpoll === true ? {} : longpoll),
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

/** Refuses a client that may retry, in the form that makes the official client back off. */
function respondLater(response: ServerResponse, status: 429 | 503, retryAfterMs: number): void {
  if (response.headersSent || response.destroyed) return;
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  response.writeHead(status, { ...HEADERS, "retry-after": String(seconds) }).end(
    JSON.stringify({
      status: 500,
      ...(status === 429 ? CLIENT_ERRORS.tooManySessions : CLIENT_ERRORS.draining),
    }),
  );
}

/**
 * Reads the body. The exceeded limit when it is too large or too slow; undefined when it is
 * aborted.
 */
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

/**
 * The frames of a POST: one, or with NDJSON one per line. A line that is not JSON is a binary frame
 * in Base64.
 */
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
