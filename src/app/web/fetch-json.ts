/**
 * One request to the server. Every failure becomes an ApiError with a sentence that can be shown to
 * a person and a code that the pages can act on.
 */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface Request {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** Goes out even though the page is being left. */
  readonly keepalive?: boolean;
}

const DEADLINE_MS = 15_000;

export async function fetchJson(path: string, request: Request = {}): Promise<unknown> {
  const { method = "GET", headers, body, signal, keepalive = false } = request;
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, {
      method,
      keepalive,
      headers: {
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
    text = await response.text();
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(
      0,
      "unreachable",
      "The server cannot be reached. Check your connection and try again.",
    );
  }
  const answer = parse(text);
  if (response.ok) return answer;
  const error = (answer as { error?: { code?: unknown; message?: unknown } } | undefined)?.error;
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

/** What to tell a person of an error. */
export const messageOf = (error: unknown): string =>
  error instanceof ApiError ? error.message : "Something went wrong. Try again.";
