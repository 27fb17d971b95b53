/** What a request says: its checked body and query, and where it comes from. */
import type { IncomingMessage } from "node:http";
import type { Context, MiddlewareHandler } from "hono";
import { type RequestOrigin, requestOrigin } from "simurgh/channels";
import type { z } from "zod";
import { ApiError } from "./errors.js";

/**
 * Refuses what is not UTF-8 instead of putting other characters in its place: a password would be
 * another one.
 */
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** The body, checked. Throws an `ApiError` that says what is wrong with it. */
export async function readBody<Schema extends z.ZodType>(
  context: Context,
  schema: Schema,
): Promise<z.output<Schema>> {
  let value: unknown;
  try {
    value = JSON.parse(UTF8.decode(await context.req.arrayBuffer()));
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "malformed_json", "The body is not valid JSON in UTF-8.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ApiError(422, "invalid", "The body must be a JSON object.");
  return checked(schema, value);
}

/**
 * Waits for the body before anything is decided about a request: a body may be sent so slowly that
 * the session, or the right to do this, has ended when it is there.
 */
export const wholeBody: MiddlewareHandler = async ({ req }, next) => {
  // Kept by Hono. What cannot be read fails again where it is needed.
  if (req.method !== "GET" && req.method !== "HEAD") await req.arrayBuffer().catch(() => {});
  await next();
};

/** The query, checked likewise. */
export const readQuery = <Schema extends z.ZodType>(context: Context, schema: Schema): z.output<Schema> =>
  checked(schema, context.req.query());

function checked<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const result = schema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    const place = issue?.path.join(".") ?? "";
    const text = issue?.message ?? "The body is invalid.";
    throw new ApiError(422, "invalid", place === "" || text.startsWith(place) ? text : `${place}: ${text}`);
  }
  return result.data;
}

/** The access token that a request shows. */
export const bearerToken = (context: Context): string | undefined =>
  /^Bearer (\S+)$/i.exec(context.req.header("authorization") ?? "")?.[1];

/**
 * Reads what requests mean behind so many proxies of our own: see `requestOrigin` of
 * simurgh/channels.
 */
export class RequestReader {
  readonly #proxies: number;

  constructor(trustedProxies: number) {
    this.#proxies = trustedProxies;
  }

  /** Throws an `ApiError` for a request without a valid host. */
  origin(context: Context): RequestOrigin {
    const { incoming } = context.env as { readonly incoming: IncomingMessage };
    const origin = requestOrigin(incoming, this.#proxies);
    if (origin === undefined)
      throw new ApiError(400, "bad_host", "The request needs one valid Host header.", {
        connection: "close",
      });
    return origin;
  }

  secure(context: Context): boolean {
    return this.origin(context).scheme === "https";
  }

  /**
   * What limits count by. Undefined where it tells no clients apart: behind a proxy that is not
   * declared, all requests come from this machine.
   */
  network(context: Context): string | undefined {
    const { clientNetwork } = this.origin(context);
    return this.#tellsClientsApart(clientNetwork) ? clientNetwork : undefined;
  }

  /** What takes turns. Undefined as `network` is. */
  site(context: Context): string | undefined {
    const { clientNetwork, clientSite } = this.origin(context);
    return this.#tellsClientsApart(clientNetwork) ? clientSite : undefined;
  }

  #tellsClientsApart(network: string): boolean {
    return this.#proxies > 0 || !/^(127\.|::\/64$)/.test(network);
  }
}
