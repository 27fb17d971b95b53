/**
 * How fast one network may make requests that show no valid access token: guesses, renewals, floods of them. Signed-in
 * people are limited one by one. Counts are those of one gateway.
 */
import type { MiddlewareHandler } from "hono";
import { RateLimiter } from "simurgh/channels";
import { type SigningKeys, verifyToken } from "../auth/tokens.js";
import { ApiError } from "./errors.js";
import { bearerToken, type RequestReader } from "./request.js";

/** A crowd behind one address comes back at once after a deploy. */
const BURST_SECONDS = 10;

export function anonymousRate(
  requests: RequestReader,
  keys: SigningKeys,
  perSecond: number,
): MiddlewareHandler {
  const limiter = new RateLimiter({ perSecond, burst: perSecond * BURST_SECONDS });
  return async (context, next) => {
    const network = requests.network(context);
    if (network !== undefined && verifyToken(bearerToken(context), keys) === undefined) {
      const waitMs = limiter.take(network, performance.now());
      if (waitMs > 0) {
        const seconds = Math.ceil(waitMs / 1000);
        throw new ApiError(
          429,
          "too_many_requests",
          `Too many requests come from your network; try again in ${seconds} s.`,
          { "retry-after": String(seconds) },
        );
      }
    }
    await next();
  };
}
