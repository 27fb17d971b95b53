/** Headers that every answer has. */
import type { MiddlewareHandler } from "hono";
import type { RequestReader } from "./request.js";

const HEADERS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/** What is not our page may not do anything, should a browser be made to show it. */
const NOTHING = "default-src 'none'; frame-ancestors 'none'";

/** For two years this host is not asked without TLS again. Said only where TLS was used. */
const HSTS = "max-age=63072000";

export const securityHeaders =
  (requests: RequestReader): MiddlewareHandler =>
  async (context, next) => {
    await next();
    const { headers } = context.res;
    for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
    if (requests.secure(context)) headers.set("strict-transport-security", HSTS);
    if (!headers.has("content-security-policy")) headers.set("content-security-policy", NOTHING);
  };
