/**
 * The REST side of the server. Every failure becomes an ApiError with a sentence that can be shown to a person and a
 * code that the pages can act on; a refused token ends the session wherever it is noticed.
 */
import { session } from "./session.js";
import type { Challenge, Signed } from "./types.js";

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

interface Options {
  readonly method?: "GET" | "POST";
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** Signing in: a 401 is then a wrong password, not a session that has ended. */
  readonly anonymous?: boolean;
}

const DEADLINE_MS = 15_000;

async function request(path: string, options: Options = {}): Promise<unknown> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (options.body !== undefined) headers["content-type"] = "application/json";
  const token = session.token();
  if (!options.anonymous && token) headers.authorization = `Bearer ${token}`;

  const deadline = AbortSignal.timeout(DEADLINE_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      method: options.method ?? "GET",
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ? AbortSignal.any([options.signal, deadline]) : deadline,
    });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new ApiError(
      0,
      "unreachable",
      "The server cannot be reached. Check your connection and try again.",
    );
  }

  const text = await response.text();
  const body = parse(text);
  if (response.ok) return body;

  const error = (body as { error?: { code?: unknown; message?: unknown } } | undefined)?.error;
  if (response.status === 401 && !options.anonymous && session.token() === token) session.signOut();
  throw new ApiError(
    response.status,
    typeof error?.code === "string" ? error.code : `http_${response.status}`,
    typeof error?.message === "string"
      ? error.message
      : `The server answered with an error (${response.status}).`,
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const challengePath = (id: string): string => `/api/challenges/${encodeURIComponent(id)}`;

export const api = {
  signUp: (form: { email: string; password: string; name: string }) =>
    request("/api/users", { method: "POST", body: form, anonymous: true }) as Promise<Signed>,

  logIn: (form: { email: string; password: string }) =>
    request("/api/sessions", { method: "POST", body: form, anonymous: true }) as Promise<Signed>,

  challenges: (signal?: AbortSignal) =>
    request("/api/challenges", { signal }) as Promise<readonly Challenge[]>,

  challenge: (id: string, signal?: AbortSignal) =>
    request(challengePath(id), { signal }) as Promise<Challenge>,

  createChallenge: (form: { title: string; prompt: string; language: string; response: string }) =>
    request("/api/challenges", { method: "POST", body: form }) as Promise<Challenge>,
};
