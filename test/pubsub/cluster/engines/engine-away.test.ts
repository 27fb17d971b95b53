/** Subscribers, and an engine that does not answer: how long they wait in all. */
import { PubSub } from "simurgh/pubsub";
import { createNode, type RuntimeNode } from "simurgh/runtime";
import { VirtualClock } from "simurgh/testing";
import { afterEach, expect, test } from "vitest";
import type { Engine, EngineEvents } from "../../../../src/pubsub/cluster/engine.js";
import { engineAdapter } from "../../../../src/pubsub/cluster/engine-adapter.js";

/** A engine to an engine that takes everything and answers nothing while it is frozen. */
class FrozenEngine implements Engine {
  readonly limit = 1_000_000;
  readonly events: EngineEvents;
  frozen = false;
  readonly #receive = new Map<string, (bytes: Uint8Array) => void>();

  constructor(events: EngineEvents) {
    this.events = events;
  }

  subscribe(channel: string, receive: (bytes: Uint8Array) => void): Promise<void> {
    this.#receive.set(channel, receive);
    return this.flushed();
  }

  flushed(): Promise<void> {
    return this.frozen ? new Promise(() => {}) : Promise.resolve();
  }

  probe(channel: string, bytes: Uint8Array): Promise<void> {
    if (!this.frozen) this.#receive.get(channel)?.(bytes);
    return this.flushed();
  }

  publish(): void {}
  unsubscribe(): void {}
  resubscribe(): void {}
  reconnect(): void {}
  async close(): Promise<void> {}
}

let node: RuntimeNode;
let clock: VirtualClock;
let engine: FrozenEngine;
afterEach(() => node.stop());

async function start(up: boolean): Promise<void> {
  clock = new VirtualClock();
  node = createNode({ clock, onReport() {} });
  const open = async (events: EngineEvents): Promise<Engine> => {
    engine = new FrozenEngine(events);
    if (up) events.up();
    return engine;
  };
  const adapter = engineAdapter("test", open, { nodeName: "here", connectLazily: true, heartbeatMs: 0 });
  await new Promise<void>((resolve) => {
    node.spawn(async () => {
      await PubSub.startLink({ name: "pubsub", adapter });
      resolve();
      await new Promise(() => {});
    });
  });
}

let topics = 0;
/** Virtual ms that a number of subscribers wait, in topics of as many slots, all at once. */
async function waits(count: number): Promise<number> {
  const from = clock.now();
  let done = 0;
  for (let n = 0; n < count; n += 1) {
    topics += 1;
    const topic = `topic ${topics}`;
    node.spawn(async () => {
      await PubSub.subscribe("pubsub", topic);
      done += 1;
      await new Promise(() => {});
    });
  }
  for (;;) {
    // What can happen without time has happened then.
    for (let turn = 0; turn < 50 && done < count; turn += 1) await new Promise(setImmediate);
    if (done === count) break;
    clock.advanceTo(clock.next as number);
  }
  return clock.now() - from;
}

test("thirty subscribers at once wait for a frozen engine no longer than one", async () => {
  await start(true);
  expect(await waits(1)).toBe(0);
  engine.frozen = true;
  expect(await waits(30)).toBe(2000);
});

test("after one subscriber waited in vain no other waits until something arrives", async () => {
  await start(true);
  engine.frozen = true;
  expect(await waits(1)).toBe(2000);
  for (let n = 0; n < 30; n += 1) expect(await waits(1)).toBe(0);
  engine.frozen = false;
  engine.events.down("it was cut off");
  engine.events.up();
  engine.frozen = true;
  expect(await waits(1)).toBe(2000);
});

test("waits end when the engine goes away, and later subscribers do not wait", async () => {
  await start(true);
  engine.frozen = true;
  let done = false;
  node.spawn(async () => {
    await PubSub.subscribe("pubsub", "when it goes away");
    done = true;
    await new Promise(() => {});
  });
  await node.run(async () => void (await PubSub.health("pubsub")));
  expect(done).toBe(false);
  engine.events.down("it was cut off");
  await expect.poll(() => done).toBe(true);
  expect(await waits(30)).toBe(0);
});

test("a PubSub starts without its engine, and only first subscribers wait", async () => {
  await start(false);
  engine.frozen = true;
  expect(clock.now()).toBe(0);
  expect(await waits(30)).toBe(2000);
  expect(await waits(30)).toBe(0);
});

test("a subscriber that comes before the engine is made is served once it is", async () => {
  await start(false);
  let done = false;
  node.spawn(async () => {
    await PubSub.subscribe("pubsub", "early");
    done = true;
    await new Promise(() => {});
  });
  await node.run(async () => void (await PubSub.health("pubsub")));
  expect(done).toBe(false);
  engine.events.up();
  await expect.poll(() => done).toBe(true);
});
