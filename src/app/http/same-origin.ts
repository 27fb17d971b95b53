/**
 * Who may change something (OWASP's CSRF defence by origin): pages of this server or of an allowed
 * origin, and programs, which send no `Origin`. Reading is not looked at: no GET changes anything,
 * and no answer is given to other origins' pages.
 */
import type { MiddlewareHandler } from "hono";
import { originAllowed } from "simurgh/channels";
import { ApiError } from "./errors.js";
import type { RequestReader } from "./request.js";

const READS = ["GET", "HEAD", "OPTIONS"];

export const sameOrigin =
  (requests: RequestReader, allowed: readonly string[] = []): MiddlewareHandler =>
  async (context, next) => {
    const origin = context.req.header("origin");
    const site = context.req.header("sec-fetch-site");
    if (!READS.includes(context.req.method)) {
      const address = requests.origin(context);
      // An allowed origin may leave its scheme out: `//example.com`.
      const own =
        originAllowed("conn", origin, address, null) || originAllowed(allowed, origin, address, null);
      if (!own || (origin === undefined && site !== undefined && !["same-origin", "none"].includes(site)))
        throw new ApiError(403, "forbidden_origin", "Pages of another origin may not change anything here.");
    }
    await next();
  };
