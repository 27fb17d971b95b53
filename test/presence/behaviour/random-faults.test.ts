/**
 * Random faults: a thousand seeds, each a cluster in which messages are lost, doubled and delayed,
 * links are cut, replicas crash, freeze, come back under their name or say permdown, and clocks
 * jump. Whatever happened, afterwards everyone lists the same: what is really there.
 *
 * A failure names its seed; SIMURGH_SEED=<seed> runs that one alone, with the same steps.
 * SIMURGH_SEEDS=<n> runs more.
 */
import { expect, test } from "vitest";
import { Cluster, type Life } from "../support/cluster.js";

const forced = process.env.SIMURGH_SEED;
const SEEDS = forced
  ? [Number(forced)]
  : Array.from({ length: Number(process.env.SIMURGH_SEEDS ?? 1000) }, (_, n) => n + 1);
const NAMES = ["A", "B", "C", "D", "E"];
const TOPICS = ["room", "lobby"];

/** Small periods: the same proportions as the defaults, more faults in a run. */
const PERIODS = { broadcastPeriod: 300, downPeriod: 6000, permdownPeriod: 30_000, maxDeltaSizes: [2, 5, 20] };

function history(seed: number): Cluster {
  const cluster = new Cluster({ seed, replicas: [], ...PERIODS });
  cluster.forgetSent();
  const { random } = cluster;
  const names = NAMES.slice(0, 2 + random.below(4));
  for (const name of names) cluster.start(name);
  cluster.loss = random.pick([0, 0, 0.05, 0.3]);
  cluster.twice = random.pick([0, 0.1]);
  cluster.latency = random.pick([
    [1, 10],
    [1, 400],
  ] as const);
  const steps = 20 + random.below(30);
  for (let step = 0; step < steps; step += 1) {
    act(cluster, names);
    cluster.run(random.pick([0, 1, 30, 300, 2000, random.below(10_000)]));
  }
  return cluster;
}

function act(cluster: Cluster, names: readonly string[]): void {
  const { random } = cluster;
  const name = random.pick(names);
  const life = cluster.life(name);
  const topic = random.pick(TOPICS);
  const pid = `p${random.below(4)}`;
  const key = `k${random.below(3)}`;
  const what = random.below(100);
  if (!life.alive) {
    if (what < 60) cluster.restart(name, { wall: random.pick([0, -3_600_000, 3_600_000]) });
  } else if (life.frozen) {
    if (what < 50) cluster.thaw(name);
  } else if (what < 30) cluster.join(name, topic, pid, key);
  else if (what < 45) cluster.update(name, topic, pid, key);
  else if (what < 55) cluster.leave(name, topic, pid, key);
  else if (what < 62) cluster.die(name, pid);
  else if (what < 70) {
    const other = random.pick(names);
    if (other !== name) cluster.cut(name, other, random.chance(0.3));
  } else if (what < 78) cluster.heal();
  else if (what < 82) cluster.crash(name);
  else if (what < 84) cluster.restart(name, { wall: random.pick([0, -3_600_000]) });
  else if (what < 86) cluster.permdown(name);
  else if (what < 89) cluster.freeze(name);
  else if (what < 92) life.wallOffset += random.pick([-3_600_000, 3_600_000]);
  else cluster.browse(name, topic);
}

function settle(cluster: Cluster): void {
  for (const { name, frozen, alive } of cluster.living) if (alive && frozen) cluster.thaw(name);
  cluster.quiet();
}

function failing(seed: number, cluster: Cluster | undefined, error: unknown): Error {
  const steps = cluster?.trace.slice(-60).join("\n") ?? "";
  return new Error(`seed ${seed} (run it alone with SIMURGH_SEED=${seed}): ${String(error)}\n${steps}`, {
    cause: error,
  });
}

test("after any faults all replicas and browsers converge without residue (P-506, P-507, P-508, P-509, P-511, P-141)", {
  timeout: 60_000,
}, () => {
  for (const seed of SEEDS) {
    let cluster: Cluster | undefined;
    try {
      cluster = history(seed);
      settle(cluster);
      cluster.checkTheLiving();
      // The crashed are shown until they have been silent for long enough.
      cluster.run(cluster.settings.downPeriod + cluster.settings.broadcastPeriod);
      cluster.checkAgreement();
      for (const { name } of cluster.living) {
        const { keptChanges, lagMs, fenced } = cluster.stats(name);
        expect({ lagMs, fenced }).toEqual({ lagMs: 0, fenced: false });
        expect(keptChanges).toBeLessThanOrEqual(20);
      }
      cluster.run(cluster.settings.permdownPeriod);
      for (const { name } of cluster.living) {
        expect(cluster.stats(name)).toMatchObject({ replicasDown: 0, residue: 0, keptChanges: 0, over: 0 });
      }
    } catch (error) {
      throw failing(seed, cluster, error);
    }
  }
});

test("the same seed takes the same steps (P-516)", () => {
  for (const seed of [3, 77, 512]) {
    const traces = [history(seed), history(seed)].map(({ trace }) => trace);
    expect(traces[0]?.length).toBeGreaterThan(20);
    expect(traces[0]).toEqual(traces[1]);
  }
  expect(history(3).trace).not.toEqual(history(4).trace);
});

test("with a third of all messages lost no replica goes down (P-738)", () => {
  const cluster = new Cluster({ seed: 738, replicas: ["A", "B", "C"] });
  cluster.run(10_000);
  cluster.loss = 0.3;
  for (let n = 0; n < 3000; n += 1) {
    const at = cluster.random.pick(["A", "B", "C"]);
    const pid = `p${cluster.random.below(30)}`;
    if (cluster.join(at, "room", pid) === "already") cluster.die(at, pid);
    cluster.run(200);
  }
  cluster.loss = 0;
  cluster.run(2 * cluster.settings.samplePeriod + 100);
  cluster.checkAgreement();
  for (const { events } of cluster.living as Life[])
    expect(events.filter(([, event]) => event !== "replica_up")).toEqual([]);
});
