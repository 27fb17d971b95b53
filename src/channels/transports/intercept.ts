/**
 * Takes requests of certain paths from an HTTP server before whoever else listens to it; the others never see them.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

/** `take` says whether a request was its own. Returns how to stop. */
export function interceptRequests(
  server: HttpServer,
  take: (request: IncomingMessage, response: ServerResponse) => boolean,
): () => void {
  const others = server.listeners("request") as Listener[];
  const listener: Listener = (request, response) => {
    if (take(request, response)) return;
    for (const other of others) other.call(server, request, response);
  };
  server.removeAllListeners("request");
  server.on("request", listener);
  return () => {
    server.off("request", listener);
    for (const other of others) server.on("request", other);
  };
}
