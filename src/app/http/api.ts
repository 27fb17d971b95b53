/**
 * The JSON API: users, sessions, challenges. Every error has the right status and `{error: {code, message}}`.
 */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";
import { hashPassword, Overloaded, verifyPassword } from "../auth/passwords.js";
import { issueToken, verifyToken } from "../auth/tokens.js";
import type { Outcome, Repository } from "../storage/repository.js";
import { FailedAttempts } from "./attempts.js";
import { securityHeaders } from "./headers.js";
import { challengeId, firstName, NewChallengeBody, NewUserBody, SessionBody } from "./input.js";

export interface ApiOptions {
  readonly repository: Repository;
  readonly jwtSecret: string;
  /** Whether the server is up and may be sent users. */
  readonly ready: () => boolean;
  readonly onError?: (error: unknown) => void;
}

/** An answer that is not the one hoped for. */
class ApiError extends Error {
  readonly status: ContentfulStatusCode;
  readonly code: string;
  readonly headers: Record<string, string>;

  constructor(
    status: ContentfulStatusCode,
    code: string,
    message: string,
    headers: Record<string, string> = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

const MAX_BODY = 1024 * 1024;

const FAILURES = {
  taken: () =>
    new ApiError(409, "email_taken", "This e-mail address has an account already; log in instead."),
  not_found: () => new ApiError(404, "not_found", "There is no such thing."),
  unavailable: () =>
    new ApiError(503, "unavailable", "The database does not answer; try again in a moment.", {
      "retry-after": "2",
    }),
} as const;

function orFail<T>(outcome: Outcome<T>): T {
  if (outcome[0] === "ok") return outcome[1];
  throw FAILURES[outcome[1]]();
}

export function createApi({ repository, jwtSecret, ready, onError }: ApiOptions): Hono {
  const app = new Hono();
  const attempts = new FailedAttempts();

  app.use("*", securityHeaders);
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

  app.get("/healthz", (context) =>
    ready() ? context.json({ status: "ok" }) : context.json({ status: "starting" }, 503),
  );

  app.post("/api/users", async (context) => {
    const { email, password, name } = await body(context, NewUserBody);
    const passwordHash = await hashPassword(password);
    const user = orFail(await repository.createUser({ firstName: firstName(name), email, passwordHash }));
    return context.json({ token: issueToken(user.id, jwtSecret), user }, 201);
  });

  app.post("/api/sessions", async (context) => {
    const { email, password } = await body(context, SessionBody);
    const attempt = `${remoteAddress(context)} ${email.trim().toLowerCase()}`;
    const wait = attempts.waitFor(attempt);
    if (wait > 0) {
      throw new ApiError(429, "too_many_attempts", "Too many failed attempts; try again later.", {
        "retry-after": String(Math.ceil(wait / 1000)),
      });
    }
    const found = await repository.userByEmail(email);
    if (found[0] === "error" && found[1] !== "not_found") orFail(found);
    const account = found[0] === "ok" ? found[1] : undefined;
    if (!(await verifyPassword(password, account?.passwordHash)) || account === undefined) {
      attempts.failed(attempt);
      throw new ApiError(401, "invalid_credentials", "The e-mail address or the password is wrong.");
    }
    attempts.succeeded(attempt);
    const { passwordHash: _hash, ...user } = account;
    return context.json({ token: issueToken(user.id, jwtSecret), user });
  });

  const user = async (context: Context): Promise<number> => {
    const header = context.req.header("authorization") ?? "";
    const claims = verifyToken(/^Bearer (\S+)$/i.exec(header)?.[1], jwtSecret);
    if (claims === undefined) {
      throw new ApiError(401, "unauthorized", "Log in first: this needs a valid token.", {
        "www-authenticate": "Bearer",
      });
    }
    return claims.userId;
  };

  app.get("/api/challenges", async (context) => {
    await user(context);
    return context.json(orFail(await repository.listChallenges()));
  });

  app.get("/api/challenges/:id", async (context) => {
    await user(context);
    const id = challengeId(context.req.param("id"));
    if (id === undefined) throw new ApiError(404, "not_found", "There is no such challenge.");
    return context.json(orFail(await repository.challenge(id)));
  });

  app.post("/api/challenges", async (context) => {
    const ownerId = await user(context);
    const challenge = await body(context, NewChallengeBody);
    return context.json(orFail(await repository.createChallenge({ ...challenge, ownerId })), 201);
  });

  app.all("/api/*", (context) => {
    const path = context.req.path.replace(/\/$/, "");
    if (
      ["/api/users", "/api/sessions", "/api/challenges"].includes(path) ||
      /^\/api\/challenges\/\d+$/.test(path)
    ) {
      throw new ApiError(405, "method_not_allowed", `${context.req.method} is not possible here.`);
    }
    throw new ApiError(404, "not_found", "There is nothing here.");
  });

  app.onError((error, context) => {
    if (error instanceof ApiError)
      return context.json(
        { error: { code: error.code, message: error.message } },
        error.status,
        error.headers,
      );
    if (error instanceof HTTPException)
      return context.json(
        { error: { code: "bad_request", message: error.message } },
        error.status as ContentfulStatusCode,
      );
    if (error instanceof Overloaded) {
      return context.json(
        { error: { code: "overloaded", message: "The server is busy; try again in a moment." } },
        503,
        { "retry-after": "1" },
      );
    }
    onError?.(error);
    return context.json(
      { error: { code: "internal", message: "Something went wrong here; it has been noted." } },
      500,
    );
  });

  return app;
}

/** The body, checked. Throws an `ApiError` that says what is wrong with it. */
async function body<Schema extends z.ZodType>(context: Context, schema: Schema): Promise<z.output<Schema>> {
  let value: unknown;
  try {
    value = JSON.parse(await context.req.text());
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "malformed_json", "The body is not valid JSON.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ApiError(422, "invalid", "The body must be a JSON object.");
  const result = schema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    const place = issue?.path.join(".") ?? "";
    const text = issue?.message ?? "The body is invalid.";
    throw new ApiError(422, "invalid", place === "" || text.startsWith(place) ? text : `${place}: ${text}`);
  }
  return result.data;
}

function remoteAddress(context: Context): string {
  const incoming = (context.env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined)
    ?.incoming;
  return incoming?.socket?.remoteAddress ?? "unknown";
}
