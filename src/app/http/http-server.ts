/**
 * PhoenixPair's HTTP server: the API and the web client. Each gateway makes one, in its own thread;
 * what must be counted for all of them has a process (attempt-counter.ts).
 */
import { createServer, type Server as HttpServer } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { Endpoint, type ServerContext } from "simurgh/channels";
import type { RuntimeNode } from "simurgh/runtime";
import { AccessWatch } from "../access/access-watch.js";
import { type AppContext, ENDPOINT, setAppContext } from "../app-context.js";
import { Rooms } from "../rooms/rooms.js";
import { askRepository, type Repository, repositoryBy } from "../storage/repository-client.js";
import { userTopic } from "../user-topic.js";
import { type ApiOptions, createApi } from "./api.js";
import { askAttempts } from "./attempt-counter.js";
import { serveWeb } from "./web.js";

/** What the API needs to know besides. Plain data: it crosses threads. */
export interface HttpContext
  extends AppContext,
    Pick<
      ApiOptions,
      "accessSeconds" | "allowedOrigins" | "trustedProxies" | "anonymousPerSecond" | "personPerSecond"
    > {}

/**
 * Called by the endpoint, which makes it listen once all else is there, and lets it close first.
 */
export function server(
  { storageNode, ...context }: HttpContext,
  { node, endpoint }: ServerContext,
): HttpServer {
  setAppContext({ storageNode, keys: context.keys });
  /**
   * Broadcasts to sockets, as a process. While the endpoint is being restarted there is no socket
   * to tell.
   */
  const outward = (tell: () => unknown): void => void node.run(async () => tell()).catch(() => {});
  const api = createApi({
    ...context,
    repository: throughProcess(node, storageNode),
    disconnect: (userId) =>
      outward(() => {
        AccessWatch.sessionsEnded(userId);
        Endpoint.disconnect(ENDPOINT, userTopic(userId));
      }),
    attempts: (...request) => node.run(() => askAttempts(...request)),
    tellRoom: (id, event, payload) =>
      outward(() => Endpoint.broadcast(ENDPOINT, `challenges:${id}`, event, payload)),
    rooms: {
      preview: (id, seq) => node.run(() => Rooms.preview(id, seq)),
      restore: (id, seq, userId) => node.run(() => Rooms.restore(id, seq, userId)),
      write: (id, text, userId) => node.run(() => Rooms.write(id, text, userId)),
    },
    ready: () => http.listening,
    cluster: () => node.run(() => Endpoint.health(endpoint)),
    onError: (error) =>
      node.report({
        kind: "notice",
        level: "error",
        text: "a request failed",
        pid: undefined,
        metadata: { error },
      }),
  });
  serveWeb(api);
  const http = createServer(
    { requestTimeout: 30_000, headersTimeout: 15_000 },
    // Health checks of HTTP/1.0 name no host.
    getRequestListener(api.fetch, { hostname: "localhost" }),
  );
  return http;
}

/** The repository for code outside of processes: each request runs as a process of its own. */
const throughProcess = (node: RuntimeNode, storage: number): Repository =>
  repositoryBy((request) => node.run(() => askRepository(storage, request)));
