/** What a request tells: its checked body, and, past the proxies that are trusted, who asks and for which address. */
import type { IncomingMessage } from "node:http";
import type { Context } from "hono";
import type { z } from "zod";
import { ApiError } from "./errors.js";

/** The body, checked. Throws an `ApiError` that says what is wrong with it. */
export async function readBody<Schema extends z.ZodType>(
  context: Context,
  schema: Schema,
): Promise<z.output<Schema>> {
  let value: unknown;
  try {
    value = JSON.parse(await context.req.text());
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "malformed_json", "The body is not valid JSON.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ApiError(422, "invalid", "The body must be a JSON object.");
  return checked(schema, value);
}

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

/** Reads requests that come through so many proxies of our own; what clients say for themselves is never believed. */
export class Way {
  readonly #proxies: number;

  constructor(proxies: number) {
    this.#proxies = proxies;
  }

  /** The address that the outermost of our proxies saw. */
  address(context: Context): string {
    const seen = this.#forwarded(context, "x-forwarded-for") ?? connection(context)?.socket.remoteAddress;
    return seen?.replace(/^::ffff:/, "") ?? "unknown";
  }

  /** Whether the address tells people apart: behind a proxy that is not declared, everybody comes from this machine. */
  tellsApart(address: string): boolean {
    return this.#proxies > 0 || !/^(127\.|::1$)/.test(address);
  }

  secure(context: Context): boolean {
    const { encrypted } = (connection(context)?.socket ?? {}) as { encrypted?: boolean };
    return encrypted === true || this.#forwarded(context, "x-forwarded-proto") === "https";
  }

  /** Scheme, host and port of the page that may ask: this server's own. */
  origin(context: Context): string {
    const host = this.#forwarded(context, "x-forwarded-host") ?? context.req.header("host");
    return `${this.secure(context) ? "https" : "http"}://${host ?? ""}`.toLowerCase();
  }

  /** Each proxy adds what it sees at the end: what stands before the outermost one's word was sent by the client. */
  #forwarded(context: Context, header: string): string | undefined {
    if (this.#proxies === 0) return undefined;
    const words = context.req.header(header)?.split(",") ?? [];
    return words[Math.max(0, words.length - this.#proxies)]?.trim() || undefined;
  }
}

const connection = (context: Context): IncomingMessage | undefined =>
  (context.env as { incoming?: IncomingMessage } | undefined)?.incoming;
