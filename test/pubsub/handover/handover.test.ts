/**
 * Slots move between simulated threads while everyone publishes, under many seeds: who runs next,
 * how long a posting is on its way, what moves where, and what breaks meanwhile are all the seed's.
 */

import { PubSub, type ReassignResult, type SlotOwners } from "simurgh/pubsub";
import { exit, type Pid, receive, Supervisor, sleep, trapExit, whereis } from "simurgh/runtime";
import { type Simulation, simulate } from "simurgh/testing";
import { expect, test } from "vitest";
import { slot } from "#pubsub";

const PUBSUB = "moving";
/** The main thread owns nothing, as in an endpoint. */
const SHARDS = [1, 2, 3];
const ALL = [0, ...SHARDS];
const TOPICS = Array.from({ length: 6 }, (_, n) => `room:${n}`);
const MESSAGES = 20;

type Said = readonly [topic: string, publisher: number, n: number];

class World {
  readonly sim: Simulation;
  /** What a thread that starts now begins with. */
  layout: readonly number[] = Array.from({ length: 256 }, (_, n) => SHARDS[n % SHARDS.length] as number);
  /** By topic and subscriber's thread. */
  readonly received = new Map<string, Said[]>();
  /** Threads in which something has ended: what they had to say, or to hear, may be lost. */
  readonly broken = new Set<number>();
  readonly owned = new Map<string, Set<number>>(TOPICS.map((topic) => [topic, new Set()]));

  constructor(sim: Simulation) {
    this.sim = sim;
    this.#note();
  }

  /** As in a thread of an endpoint: a supervisor that restarts the PubSub. */
  async start(thread: number, current = this.layout): Promise<void> {
    const owners: SlotOwners = { current };
    await new Promise<void>((resolve) => {
      this.sim.node(thread).spawn(async () => {
        trapExit(true);
        await Supervisor.startLink([PubSub.childSpec({ name: PUBSUB, owners })], {
          strategy: "one_for_one",
          intensity: 100,
          period: 1,
        });
        resolve();
        await receive(() => "never");
      });
    });
  }

  /** A process of that thread receives every topic. */
  async listen(thread: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.sim.node(thread).spawn(async () => {
        for (const topic of TOPICS) {
          this.received.set(`${topic} in ${thread}`, []);
          await PubSub.subscribe(PUBSUB, topic);
        }
        resolve();
        for (;;) {
          const said = await receive((message) => message as Said);
          this.received.get(`${said[0]} in ${thread}`)?.push(said);
        }
      });
    });
  }

  /** A process of that thread says all it has to say to every topic. */
  publish(thread: number): Promise<void> {
    return new Promise((resolve) => {
      const pid = this.sim.node(thread).spawn(async () => {
        for (let n = 1; n <= MESSAGES; n += 1) {
          for (const topic of TOPICS) PubSub.broadcast(PUBSUB, topic, [topic, thread, n] satisfies Said);
          if (this.sim.random.chance(0.7)) await sleep(this.sim.random.below(8));
        }
        resolve();
        await receive(() => "never");
      });
      // Its thread may end before it has said it all.
      this.ended.push(() => resolve());
      void pid;
    });
  }
  readonly ended: (() => void)[] = [];

  /** Some of the topics go elsewhere. */
  async move(): Promise<ReassignResult> {
    const { random } = this.sim;
    const to = [...this.layout];
    for (const topic of TOPICS) if (random.chance(0.5)) to[slot(topic)] = random.pick(SHARDS);
    const result = await PubSub.reassign(PUBSUB, to, ALL, () => {
      this.layout = to;
    });
    this.#note();
    return result;
  }

  #note(): void {
    for (const topic of TOPICS) this.owned.get(topic)?.add(this.layout[slot(topic)] as number);
  }

  /** What each thread holds to be the owners. */
  ownersIn(thread: number): Promise<readonly number[] | undefined> {
    return this.sim.on(thread, () => PubSub.owners(PUBSUB));
  }

  /** Nothing came twice or too late; and where nothing broke, nothing is missing. */
  check(): void {
    for (const [place, said] of this.received) {
      const [topic, thread] = place.split(" in ") as [string, string];
      const touched = [Number(thread), ...(this.owned.get(topic) as Set<number>)];
      for (const publisher of ALL) {
        const numbers = said.filter(([, from]) => from === publisher).map(([, , n]) => n);
        const why = `${place}, said in ${publisher}: ${numbers}`;
        expect(new Set(numbers).size, why).toBe(numbers.length);
        expect(
          numbers.every((n, at) => at === 0 || n > (numbers[at - 1] as number)),
          why,
        ).toBe(true);
        if (![publisher, ...touched].some((each) => this.broken.has(each)))
          expect(numbers, why).toEqual(Array.from({ length: MESSAGES }, (_, n) => n + 1));
      }
    }
  }
}

async function begin(sim: Simulation): Promise<{ world: World; said: Promise<unknown> }> {
  const world = new World(sim);
  for (const thread of ALL) await world.start(thread);
  for (const thread of ALL) await world.listen(thread);
  return { world, said: Promise.all(ALL.map((thread) => world.publish(thread))) };
}

/** Virtual milliseconds after which everything on its way has arrived. */
const settled = (): Promise<void> => sleep(200);

const OPTIONS = { threads: 3, maxSteps: 400_000 };

test(
  "topics move repeatedly: each subscriber gets each message once, in order",
  () =>
    simulate({ ...OPTIONS, runs: 15 }, async (sim) => {
      const { world, said } = await begin(sim);
      for (let moves = 0; moves < 3; moves += 1) {
        expect(await world.move()).toBe("ok");
        await sleep(sim.random.below(20));
      }
      await said;
      await settled();
      world.check();
      for (const thread of ALL) expect(await world.ownersIn(thread)).toEqual(world.layout);
    }),
  120_000,
);

test(
  "a thread that stalls delays or ends a move, and nothing is lost",
  () =>
    simulate({ ...OPTIONS, runs: 15 }, async (sim) => {
      const { world, said } = await begin(sim);
      const moved = world.move();
      await sleep(sim.random.below(10));
      const frozen = sim.random.pick(SHARDS);
      sim.freeze(frozen);
      // A step may take 5 s.
      await sleep(sim.random.pick([100, 4000, 6000]));
      sim.thaw(frozen);
      await moved;
      await said;
      await settled();
      world.check();
      for (const thread of ALL) expect(await world.ownersIn(thread)).toEqual(world.layout);
    }),
  120_000,
);

test(
  "a thread restarts during a move: no duplicates, and all agree on owners",
  () =>
    simulate({ ...OPTIONS, runs: 40 }, async (sim) => {
      const { world, said } = await begin(sim);
      const moved = world.move();
      await sleep(sim.random.below(25));
      const lost = sim.random.pick(SHARDS);
      world.broken.add(lost);
      await sim.kill(lost);
      for (const resolve of world.ended) resolve();
      // What it starts with is decided before it is there.
      const { layout } = world;
      await sleep(sim.random.below(60));
      sim.restart(lost);
      await world.start(lost, layout);
      await moved;
      await said;
      await settled();
      world.check();
      for (const thread of ALL) expect(await world.ownersIn(thread)).toEqual(world.layout);
    }),
  120_000,
);

test(
  "a PubSub that restarts during a move knows the present owners",
  () =>
    simulate({ ...OPTIONS, runs: 40 }, async (sim) => {
      const { world, said } = await begin(sim);
      const moved = world.move();
      await sleep(sim.random.below(25));
      const hit = sim.random.pick(ALL.slice(1));
      world.broken.add(hit);
      await sim.on(hit, () => exit(whereis(PUBSUB) as Pid, "kill"));
      await moved;
      await world.move();
      await said;
      await settled();
      world.check();
      for (const thread of ALL) expect(await world.ownersIn(thread)).toEqual(world.layout);
      await sim.on(hit, () => exit(whereis(PUBSUB) as Pid, "kill"));
      await settled();
      expect(await world.ownersIn(hit)).toEqual(world.layout);
    }),
  120_000,
);
