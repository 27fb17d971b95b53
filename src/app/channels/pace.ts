/**
 * A pace is how often something may be done: so many at once, then one in a while.
 *
 * `paced` is that of one connection, kept in the channel's assigns as one number, the time up to
 * which what was done is paid for; pure. `withPaces` is that of a person: every event of a room
 * that costs the database or the others has one, for all connections and rooms of that person on a
 * thread together. What comes faster is answered `{reason: "rate", retry_after_ms}`, before it is
 * looked at.
 */
import { type ChannelSocket, type Rate, RateLimiter, reply } from "simurgh/channels";

export interface Pace {
  readonly burst: number;
  /** Milliseconds for one more. */
  readonly everyMs: number;
}

/**
 * 0 ms and the number to keep when it may be done now; otherwise how long to wait. `now` is of a
 * monotonic clock, so that a wall clock that is set back stops no client.
 */
export function paced(
  { burst, everyMs }: Pace,
  busyUntil: unknown,
  now: number,
): { readonly waitMs: number; readonly busyUntil: number } {
  const from = Math.max(typeof busyUntil === "number" ? busyUntil : 0, now);
  return { waitMs: Math.max(0, from - now - (burst - 1) * everyMs), busyUntil: from + everyMs };
}

/** Of one person. Updates and cursors of the document are paced by the room. */
export const PACES: Readonly<Record<string, Rate>> = {
  "chat:send": { perSecond: 5, burst: 60 },
  "chat:history": { perSecond: 5, burst: 30 },
  "session:renew": { perSecond: 1, burst: 30 },
  "y:sync": { perSecond: 20, burst: 200 },
  "response:update": { perSecond: 200, burst: 1000 },
  "current_participant_typing:remove": { perSecond: 20, burst: 100 },
};

const limiters = new Map(Object.entries(PACES).map(([event, rate]) => [event, new RateLimiter(rate)]));

type Handlers<Results> = {
  readonly [Event in keyof Results]: (payload: unknown, socket: ChannelSocket) => Results[Event];
};

/** These handlers, each kept to its pace. */
export function withPaces<Results>(handlers: Handlers<Results>): Handlers<Results> {
  const paces = Object.entries(handlers) as [string, (payload: unknown, socket: ChannelSocket) => unknown][];
  return Object.fromEntries(
    paces.map(([event, handle]) => {
      const limiter = limiters.get(event);
      if (limiter === undefined) return [event, handle];
      return [
        event,
        (payload: unknown, socket: ChannelSocket) => {
          const waitMs = limiter.take(String(socket.assigns.userId), performance.now());
          return waitMs > 0
            ? reply("error", { reason: "rate", retry_after_ms: waitMs }, socket)
            : handle(payload, socket);
        },
      ];
    }),
  ) as Handlers<Results>;
}
