/**
 * The JSON API: accounts.ts, challenges.ts, versions.ts, and what holds for all of it. Every error
 * has the right status and `{error: {code, message}}`.
 */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { ClusterHealth } from "simurgh/channels";
import type { SigningKeys } from "../auth/tokens.js";
import type { Repository } from "../storage/repository-client.js";
import { accountRoutes, callerOf } from "./accounts.js";
import type { AttemptCounter } from "./attempt-counter.js";
import { challengeRoutes, invitationRoutes } from "./challenges.js";
import { ApiError, errorAnswer } from "./errors.js";
import { securityHeaders } from "./headers.js";
import { RequestReader, wholeBody } from "./request.js";
import { requestRate } from "./request-rate.js";
import { sameOrigin } from "./same-origin.js";
import { type RoomHistory, versionRoutes } from "./versions.js";

export interface ApiOptions {
  readonly repository: Repository;
  readonly keys: SigningKeys;
  readonly accessSeconds: number;
  readonly allowedOrigins: readonly string[] | undefined;
  readonly trustedProxies: number;
  /** Requests a second of one network that show no valid token. */
  readonly anonymousPerSecond: number;
  /** Requests a second of one person. */
  readonly personPerSecond: number;
  /** Closes the live sockets of a user. */
  readonly disconnect: (userId: number) => void;
  /** Counts what may be tried so often only. */
  readonly attempts: AttemptCounter;
  /** Broadcasts to all clients of a room. */
  readonly tellRoom: (challengeId: number, event: string, payload: object) => void;
  /** Former texts of rooms, and changes of the present one. */
  readonly rooms: RoomHistory;
  /** Whether the server is up and may be sent users. */
  readonly ready: () => boolean;
  /** How this node is joined to others. */
  readonly cluster: () => Promise<ClusterHealth>;
  readonly onError?: (error: unknown) => void;
}

const MAX_BODY = 1024 * 1024;

export function createApi({
  ready,
  cluster,
  onError,
  allowedOrigins,
  trustedProxies,
  anonymousPerSecond,
  personPerSecond,
  ...options
}: ApiOptions): Hono {
  const app = new Hono();
  const requests = new RequestReader(trustedProxies);

  app.use("*", securityHeaders(requests));
  app.use(
    "/api/*",
    requestRate({
      keys: options.keys,
      network: (context) => requests.network(context),
      anonymousPerSecond,
      personPerSecond,
    }),
  );
  app.use(
    "/api/*",
    bodyLimit({
      maxSize: MAX_BODY,
      onError: () => {
        // The rest of the body is not read, so the connection is of no further use.
        throw new ApiError(413, "too_large", "A request may have at most 1 MiB.", { connection: "close" });
      },
    }),
  );
  app.use("/api/*", async (context, next) => {
    await next();
    context.header("cache-control", "no-store");
  });
  app.use("/api/*", sameOrigin(requests, allowedOrigins));
  app.use("/api/*", wholeBody);

  app.get("/healthz", (context) =>
    ready() ? context.json({ status: "ok" }) : context.json({ status: "starting" }, 503),
  );

  app.get("/readyz", async (context) => {
    if (!ready()) return context.json({ status: "starting" }, 503);
    const { node, status, ready: fit, reason, nodes } = await cluster();
    const shown =
      node === undefined ? {} : { cluster: { node, status, nodes: nodes.map(({ name }) => name) } };
    const stores = (await options.repository.databaseStatus())[0] === "ok";
    const trouble = reason ?? (stores ? undefined : "database_unavailable");
    return context.json({ status: trouble ?? "ok", ...shown }, fit && stores ? 200 : 503);
  });

  const api = new Hono();
  api.route("/", accountRoutes({ ...options, requests }));
  const challenges = { ...options, caller: (context: Context) => callerOf(context, options) };
  api.route("/challenges", challengeRoutes(challenges));
  api.route("/challenges", versionRoutes(challenges));
  api.route("/invitations", invitationRoutes(challenges));
  app.route("/api", api);
  app.all("/api/*", ({ req: { path, method } }) => {
    const allowed = methodsAt(app, path);
    if (allowed.length === 0) throw new ApiError(404, "not_found", "There is nothing here.");
    throw new ApiError(405, "method_not_allowed", `${method} is not possible here.`, {
      allow: allowed.join(", "),
    });
  });

  app.onError((error, context) => errorAnswer(error, context, onError));
  return app;
}

/**
 * The methods of the routes with this path. (Hono's own middleware for it counts the web client's
 * catch-all as well.)
 */
function methodsAt({ routes }: Hono, path: string): readonly string[] {
  const segments = path.replace(/\/$/, "").split("/");
  const matches = (pattern: string): boolean => {
    const parts = pattern.replace(/\/$/, "").split("/");
    return (
      parts.length === segments.length &&
      parts.every((part, n) => part === segments[n] || (part.startsWith(":") && segments[n] !== ""))
    );
  };
  return routes.filter((route) => route.method !== "ALL" && matches(route.path)).map(({ method }) => method);
}
