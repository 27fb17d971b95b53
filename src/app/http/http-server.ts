/**
 * PhoenixPair's HTTP server: the API and the web client. Each gateway makes one, in its own thread; so what is counted here, such as
 * failed attempts to log in, is counted by each.
 */
import { createServer, type Server as HttpServer } from "node:http";
import { getRequestListener } from "@hono/node-server";
import type { ServerContext } from "simurgh/channels";
import type { RuntimeNode } from "simurgh/runtime";
import { type AppFacts, setAppFacts } from "../channels/app-facts.js";
import { askRepository, type Repository, repositoryBy } from "../storage/repository.js";
import { createApi } from "./api.js";
import { serveWeb } from "./web.js";

/** Called by the endpoint, which makes it listen once all else is there, and lets it close first. */
export function server(facts: AppFacts, { node }: ServerContext): HttpServer {
  setAppFacts(facts);
  const api = createApi({
    repository: throughProcess(node, facts.storageNode),
    jwtSecret: facts.jwtSecret,
    ready: () => http.listening,
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
    getRequestListener(api.fetch),
  );
  return http;
}

/** The repository for code outside of processes: each request runs as a process of its own. */
const throughProcess = (node: RuntimeNode, storage: number): Repository =>
  repositoryBy((request) => node.run(() => askRepository(storage, request)));
