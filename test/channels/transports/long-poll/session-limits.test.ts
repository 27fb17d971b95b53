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
  test("a network's sessions are bounded, and an ended one frees its place once", () => {
    const two = limits({ maxSessionsPerNetwork: 2 });
    const release = admitted(two.admitNetwork("a", 0));
    admitted(two.admitNetwork("a", 0));
    expect(two.admitNetwork("a", 0)).toMatchObject({ ok: false, retryAfterMs: expect.any(Number) });
    admitted(two.admitNetwork("b", 0));
    release();
    release();
    admitted(two.admitNetwork("a", 0));
    expect(two.admitNetwork("a", 0).ok).toBe(false);
  });

  test("a socket id's sessions are bounded, and sockets without an id are not", () => {
    const one = limits({ maxSessionsPerId: 1 });
    admitted(one.admitId("users:1"));
    expect(one.admitId("users:1").ok).toBe(false);
    admitted(one.admitId("users:2"));
    admitted(one.admitId(null));
    admitted(one.admitId(null));
  });

  test("a network that tries too fast gets the time to wait", () => {
    const paced = limits({ sessionRate: { perSecond: 2, burst: 3 } });
    for (let n = 0; n < 3; n += 1) admitted(paced.admitNetwork("a", 1000))();
    expect(paced.admitNetwork("a", 1000)).toEqual({ ok: false, retryAfterMs: 500 });
    admitted(paced.admitNetwork("b", 1000));
    admitted(paced.admitNetwork("a", 1500));
  });
});
