/** Headers that every answer has. */
import type { MiddlewareHandler } from "hono";

const HEADERS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/** What is not our page may not do anything, should a browser be made to show it. */
const NOTHING = "default-src 'none'; frame-ancestors 'none'";

export const securityHeaders: MiddlewareHandler = async (context, next) => {
  await next();
  for (const [name, value] of Object.entries(HEADERS)) context.res.headers.set(name, value);
  if (!context.res.headers.has("content-security-policy"))
    context.res.headers.set("content-security-policy", NOTHING);
};
