import { describe, expect, test } from "vitest";
import {
  type Admission,
  SessionLimits,
} from "../../../../src/channels/transports/long-poll/session-limits.js";

const admitted = (admission: Admission): (() => void) => {
  if (!admission.ok) throw new Error(`refused for ${admission.retryAfterMs} ms`);
  return admission.release;
};
const limits = (options: object): SessionLimits =>
  new SessionLimits({
    maxSessionsPerNetwork: false,
    maxSessionsPerId: false,
    sessionRate: false,
    ...options,
  });

describe("limits of long-poll sessions", () => {
  test("a network may have so many at once; one that has ended makes room, once", () => {
    const two = limits({ maxSessionsPerNetwork: 2 });
    const release = admitted(two.ofNetwork("a", 0));
    admitted(two.ofNetwork("a", 0));
    expect(two.ofNetwork("a", 0)).toMatchObject({ ok: false, retryAfterMs: expect.any(Number) });
    admitted(two.ofNetwork("b", 0));
    release();
    release();
    admitted(two.ofNetwork("a", 0));
    expect(two.ofNetwork("a", 0).ok).toBe(false);
  });

  test("a socket id may have so many at once; sockets without one are not counted", () => {
    const one = limits({ maxSessionsPerId: 1 });
    admitted(one.ofId("users:1"));
    expect(one.ofId("users:1").ok).toBe(false);
    admitted(one.ofId("users:2"));
    admitted(one.ofId(null));
    admitted(one.ofId(null));
  });

  test("a network that tries too fast is told when to come back, and may then", () => {
    const paced = limits({ sessionRate: { perSecond: 2, burst: 3 } });
    for (let n = 0; n < 3; n += 1) admitted(paced.ofNetwork("a", 1000))();
    expect(paced.ofNetwork("a", 1000)).toEqual({ ok: false, retryAfterMs: 500 });
    admitted(paced.ofNetwork("b", 1000));
    admitted(paced.ofNetwork("a", 1500));
  });
});
