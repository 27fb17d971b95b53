/**
 * Who may change something (OWASP's CSRF defence by origin): pages of this server or of an allowed origin, and programs,
 * which send no `Origin`. Reading is not looked at: no GET changes anything, and no answer is given to other origins' pages.
 */
import type { MiddlewareHandler } from "hono";
import { ApiError } from "./errors.js";
import type { Way } from "./request.js";

const READS = ["GET", "HEAD", "OPTIONS"];

export const sameOrigin =
  (way: Way, allowed: readonly string[] = []): MiddlewareHandler =>
  async (context, next) => {
    const origin = context.req.header("origin")?.toLowerCase();
    const site = context.req.header("sec-fetch-site");
    if (!READS.includes(context.req.method)) {
      const own = origin === undefined || origin === way.origin(context) || matches(allowed, origin);
      if (!own || (origin === undefined && site !== undefined && !["same-origin", "none"].includes(site)))
        throw new ApiError(403, "forbidden_origin", "Pages of another origin may not change anything here.");
    }
    await next();
  };

/** An allowed origin may leave its scheme out: `//example.com`. */
const matches = (allowed: readonly string[], origin: string): boolean =>
  allowed.some((one) => origin === one.toLowerCase() || origin.endsWith(`:${one.toLowerCase()}`));
