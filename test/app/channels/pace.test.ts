import { type ChannelSocket, reply } from "simurgh/channels";
import { expect, test } from "vitest";
import { PACES, withPaces } from "../../../src/app/channels/pace.js";

const socketOf = (userId: number): ChannelSocket => ({ assigns: { userId } }) as unknown as ChannelSocket;

/** How many of so many calls at once are handled, and what the others are answered. */
function at(event: string, calls: number, users: readonly number[]) {
  let handled = 0;
  const handlers = withPaces({ [event]: (): unknown => (handled += 1) });
  const handle = handlers[event] as (payload: unknown, socket: ChannelSocket) => unknown;
  let last: unknown;
  for (let n = 0; n < calls; n += 1) last = handle({}, socketOf(users[n % users.length] as number));
  return { handled, last };
}

test.each(Object.keys(PACES).map((event, n) => [event, 100 + n] as const))(
  "%s of one user share a pace over all connections",
  (event, userId) => {
    const { burst, perSecond } = PACES[event] as (typeof PACES)[string];
    const calls = burst * 20;
    const { handled, last } = at(event, calls, [userId]);
    expect(handled).toBeGreaterThanOrEqual(burst);
    expect(handled).toBeLessThan(calls);
    const socket = socketOf(userId);
    const refusal = JSON.stringify(reply("error", { reason: "rate", retry_after_ms: 0 }, socket));
    expect(JSON.stringify(last).replace(/("retry_after_ms":)\d+/, "$10")).toBe(refusal);
    const wait = Number(/"retry_after_ms":(\d+)/.exec(JSON.stringify(last))?.[1]);
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThanOrEqual(Math.ceil(1000 / perSecond));
  },
);

test("one person does not use up the pace of another", () => {
  at("chat:history", 1000, [1]);
  expect(at("chat:history", 10, [2]).handled).toBe(10);
});

test("an event without a pace is handled as it comes", () => {
  expect(at("y:awareness", 5000, [1]).handled).toBe(5000);
});
