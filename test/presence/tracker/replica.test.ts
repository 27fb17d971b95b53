import { describe, expect, test } from "vitest";
import { refText } from "../../../src/presence/tracker/clock.js";
import {
  detectDowns,
  forgivePause,
  heartbeatReceived,
  noReplicas,
  type Outcome,
  permdownReceived,
  type Replicas,
  reinstate,
} from "../../../src/presence/tracker/replica.js";

const PERIODS = { downPeriod: 5, permdownPeriod: 10 };
const A1 = { name: "A", incarnation: "1" };
const A2 = { name: "A", incarnation: "2" };
const what = ([, changes]: Outcome): string[] => changes.map(([change, ref]) => `${change} ${refText(ref)}`);
const up = (now = 0): Replicas => heartbeatReceived(noReplicas, A1, now, PERIODS)[0];

describe("the life of replicas", () => {
  test("a heartbeat of an unknown replica takes it up, a further one keeps it (P-120)", () => {
    const [replicas, changes] = heartbeatReceived(noReplicas, A1, 7, PERIODS);
    expect(changes).toEqual([["up", A1]]);
    expect(replicas.byName.get("A")).toEqual({ ref: A1, status: "up", lastHeartbeatAt: 7 });
    const [later, none] = heartbeatReceived(replicas, A1, 9, PERIODS);
    expect([later.byName.get("A")?.lastHeartbeatAt, none]).toEqual([9, []]);
  });

  test("silence beyond the periods is down, then permdown, in that order (P-121, P-125)", () => {
    expect(what(detectDowns(up(), 5, PERIODS))).toEqual([]);
    const down = detectDowns(up(), 6, PERIODS);
    expect(what(down)).toEqual(["down A 1"]);
    expect(what(detectDowns(down[0], 10, PERIODS))).toEqual([]);
    const gone = detectDowns(down[0], 11, PERIODS);
    expect([what(gone), gone[0].byName.size]).toEqual([["permdown A 1"], 0]);
    expect(what(detectDowns(up(), 11, PERIODS))).toEqual(["down A 1", "permdown A 1"]);
  });

  test("a replica with a new heartbeat is up again, also after being forgotten (P-124)", () => {
    expect(what(heartbeatReceived(detectDowns(up(), 6, PERIODS)[0], A1, 7, PERIODS))).toEqual(["up A 1"]);
    expect(what(heartbeatReceived(detectDowns(up(), 11, PERIODS)[0], A1, 12, PERIODS))).toEqual(["up A 1"]);
  });

  test("a new incarnation ends the old one, whichever number is higher (P-126, P-127)", () => {
    for (const [first, second] of [
      [A1, A2],
      [A2, A1],
    ] as const) {
      const known = heartbeatReceived(noReplicas, first, 0, PERIODS)[0];
      const next = heartbeatReceived(known, second, 1, PERIODS);
      expect(what(next)).toEqual([
        `down ${refText(first)}`,
        `permdown ${refText(first)}`,
        `up ${refText(second)}`,
      ]);
      expect(what(heartbeatReceived(next[0], first, 2, PERIODS))).toEqual([]);
      expect(what(permdownReceived(next[0], first, 2, PERIODS))).toEqual([]);
      const afterDown = heartbeatReceived(detectDowns(known, 6, PERIODS)[0], second, 7, PERIODS);
      expect(what(afterDown)).toEqual([`permdown ${refText(first)}`, `up ${refText(second)}`]);
    }
  });

  test("when the later incarnation is silent, the earlier one is up again (P-127)", () => {
    const overtaken = heartbeatReceived(up(), A2, 1, PERIODS)[0];
    const silent = detectDowns(heartbeatReceived(overtaken, A1, 5, PERIODS)[0], 7, PERIODS)[0];
    expect(what(heartbeatReceived(silent, A1, 8, PERIODS))).toEqual(["permdown A 2", "up A 1"]);
    expect(detectDowns(overtaken, 11, PERIODS)[0].over.size).toBe(0);
  });

  test("permdown is down and forgotten at once (P-128, P-702)", () => {
    expect(what(permdownReceived(up(), A1, 1, PERIODS))).toEqual(["down A 1", "permdown A 1"]);
    const down = detectDowns(up(), 6, PERIODS)[0];
    expect(what(permdownReceived(down, A1, 7, PERIODS))).toEqual(["permdown A 1"]);
    expect(what(permdownReceived(noReplicas, A1, 7, PERIODS))).toEqual([]);
    const after = permdownReceived(up(), A1, 1, PERIODS)[0];
    expect(what(heartbeatReceived(after, A1, 2, PERIODS))).toEqual([]);
    expect(what(heartbeatReceived(detectDowns(after, 2, PERIODS)[0], A1, 3, PERIODS))).toEqual([]);
    expect(what(heartbeatReceived(reinstate(after, A1), A1, 3, PERIODS))).toEqual(["up A 1"]);
  });

  test("the own pause does not count as silence of others (P-122, P-713)", () => {
    const little = forgivePause(up(), 9, 4, 2, PERIODS);
    expect(what(detectDowns(little, 9, PERIODS))).toEqual([]);
    expect(what(detectDowns(little, 10, PERIODS))).toEqual(["down A 1"]);
    const long = forgivePause(up(), 1009, 1000, 2, PERIODS);
    expect(what(detectDowns(long, 1011, PERIODS))).toEqual([]);
    expect(what(detectDowns(long, 1013, PERIODS))).toEqual(["down A 1"]);
  });

  test("an incarnation that is over is forgotten in time, at most 1,024 per name (P-087, P-716)", () => {
    let replicas = noReplicas;
    for (let n = 0; n < 3000; n += 1)
      replicas = heartbeatReceived(replicas, { name: "A", incarnation: `${n}` }, n / 1e6, PERIODS)[0];
    expect([replicas.over.size, replicas.byName.size]).toEqual([1024, 1]);
    expect(what(heartbeatReceived(replicas, { name: "A", incarnation: "2998" }, 1, PERIODS))).toEqual([]);
    expect(detectDowns(replicas, 20, PERIODS)[0].over.size).toBe(0);
  });
});
