/**
 * Answers that are not the ones hoped for: the right status and `{error: {code, message}}`, with
 * what to do about it.
 */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { Overloaded } from "../fair-queue.js";
import type { Failure, Outcome } from "../storage/repository-client.js";

export class ApiError extends Error {
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

const FAILURES: Readonly<Record<Failure, () => ApiError>> = {
  taken: () =>
    new ApiError(409, "email_taken", "This e-mail address has an account already; log in instead."),
  not_found: () => new ApiError(404, "not_found", "There is no such thing."),
  forbidden: () =>
    new ApiError(403, "forbidden", "You may not do this here; ask the owner of the challenge."),
  too_many: () => new ApiError(409, "too_many", "There are too many of these; take some away first."),
  quota: () =>
    new ApiError(
      429,
      "quota",
      "You have as many challenges, or as much text in them, as one may have; delete some.",
      {
        "retry-after": "3600",
      },
    ),
  unavailable: () =>
    new ApiError(503, "unavailable", "The database does not answer; try again in a moment.", {
      "retry-after": "2",
    }),
  // Of rooms only; who asks for anything else never gets them.
  full: () => new ApiError(503, "full", "There is no more room here; try again in a moment."),
  fenced: () => new ApiError(503, "unavailable", "This has just moved; try again in a moment."),
  behind: () => new ApiError(503, "unavailable", "This has just moved; try again in a moment."),
  loading: () =>
    new ApiError(503, "unavailable", "This is being loaded; try again in a moment.", { "retry-after": "5" }),
  too_slow: () => new ApiError(503, "too_slow", "What is stored here takes too long to load."),
  damaged: () => new ApiError(500, "damaged", "What is stored here cannot be read; it has been noted."),
};

/** What was asked for. Throws an `ApiError` for every other outcome. */
export function orFail<T>(outcome: Outcome<T>): T {
  if (outcome[0] === "ok") return outcome[1];
  throw FAILURES[outcome[1]]();
}

/** As `orFail`, but undefined for what is not there. */
export function orMissing<T>(outcome: Outcome<T>): T | undefined {
  return outcome[0] === "error" && outcome[1] === "not_found" ? undefined : orFail(outcome);
}

/** Throws when there is still some time to wait: 429, with when to come back. */
export function refuseFor(waitMs: number, what: string, code = "too_many_attempts"): void {
  if (waitMs <= 0) return;
  const seconds = Math.ceil(waitMs / 1000);
  throw new ApiError(429, code, `${what}; try again in ${seconds} s.`, { "retry-after": String(seconds) });
}

/** The answer for whatever was thrown. */
export function errorAnswer(error: unknown, context: Context, onError?: (error: unknown) => void): Response {
  const answer = (status: ContentfulStatusCode, code: string, message: string, headers = {}): Response =>
    context.json({ error: { code, message } }, status, headers);
  if (error instanceof ApiError) return answer(error.status, error.code, error.message, error.headers);
  if (error instanceof HTTPException)
    return answer(error.status as ContentfulStatusCode, "bad_request", error.message);
  if (error instanceof Overloaded)
    return answer(503, "overloaded", "The server is busy; try again in a moment.", { "retry-after": "1" });
  onError?.(error);
  return answer(500, "internal", "Something went wrong here; it has been noted.");
}
