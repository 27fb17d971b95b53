/**
 * The request rate limits how fast requests may come: by user where they show a valid access token,
 * whatever addresses and sessions it is used from, and by network where they show none (guesses,
 * renewals, floods of them). Lists and searches look through many rows, so a user's have a slower
 * rate besides. Counts are those of one gateway.
 */
import type { Context, MiddlewareHandler } from "hono";
import { RateLimiter } from "simurgh/channels";
import { type SigningKeys, verifyToken } from "../auth/tokens.js";
import { refuseFor } from "./errors.js";
import { bearerToken } from "./request.js";

export interface RequestRateOptions {
  readonly keys: SigningKeys;
  /** The network of a request; undefined for one that is not counted. */
  readonly network: (context: Context) => string | undefined;
  readonly anonymousPerSecond: number;
  readonly personPerSecond: number;
  /** Milliseconds of a clock that is never set back. */
  readonly now?: () => number;
}

/** What may come at once: a script or a test, or a crowd behind one address after a deploy. */
const BURST_SECONDS = 10;
/** Lists and searches are so many times as rare. */
const LISTS_SHARE = 10;

const limiter = (perSecond: number): RateLimiter =>
  new RateLimiter({ perSecond, burst: Math.ceil(perSecond * BURST_SECONDS) });

/** HEAD is answered by what answers GET. */
const isList = ({ method, path }: Context["req"]): boolean =>
  (method === "GET" || method === "HEAD") && /^\/api\/challenges\/?$/.test(path);

export function requestRate({
  keys,
  network,
  anonymousPerSecond,
  personPerSecond,
  now = () => performance.now(),
}: RequestRateOptions): MiddlewareHandler {
  const networks = limiter(anonymousPerSecond);
  const people = limiter(personPerSecond);
  const lists = limiter(personPerSecond / LISTS_SHARE);
  return async (context, next) => {
    const claims = verifyToken(bearerToken(context), keys);
    const time = now();
    if (claims === undefined) {
      const from = network(context);
      const waitMs = from === undefined ? 0 : networks.take(from, time);
      refuseFor(waitMs, "Too many requests come from your network", "too_many_requests");
    } else {
      const person = String(claims.userId);
      const waitMs = people.take(person, time) || (isList(context.req) ? lists.take(person, time) : 0);
      refuseFor(waitMs, "You ask too often", "too_many_requests");
    }
    await next();
  };
}
