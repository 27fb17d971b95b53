/**
 * How fast one person may make requests, by the access token they show, whatever addresses and sessions they use. Lists and
 * searches look through many rows, so that they have a slower rate besides. Requests without a token are limited by
 * network (anonymous-rate.ts). Counts are those of one gateway.
 */
import type { MiddlewareHandler } from "hono";
import { RateLimiter } from "simurgh/channels";
import { type SigningKeys, verifyToken } from "../auth/tokens.js";
import { ApiError } from "./errors.js";
import { bearerToken } from "./request.js";

/** What a script or a test may do at once. */
const BURST_SECONDS = 10;
/** Lists and searches are so many times as rare. */
const LISTS_SHARE = 10;

const isList = (method: string, path: string): boolean =>
  method === "GET" && /^\/api\/challenges\/?$/.test(path);

export function personRate(
  keys: SigningKeys,
  perSecond: number,
  now: () => number = () => performance.now(),
): MiddlewareHandler {
  const rate = (share: number) =>
    new RateLimiter({ perSecond: perSecond / share, burst: Math.ceil((perSecond / share) * BURST_SECONDS) });
  const [all, lists] = [rate(1), rate(LISTS_SHARE)];
  return async (context, next) => {
    const claims = verifyToken(bearerToken(context), keys);
    if (claims !== undefined) {
      const person = String(claims.userId);
      const time = now();
      const waitMs =
        all.take(person, time) ||
        (isList(context.req.method, context.req.path) ? lists.take(person, time) : 0);
      if (waitMs > 0) {
        const seconds = Math.ceil(waitMs / 1000);
        throw new ApiError(429, "too_many_requests", `You ask too often; try again in ${seconds} s.`, {
          "retry-after": String(seconds),
        });
      }
    }
    await next();
  };
}
