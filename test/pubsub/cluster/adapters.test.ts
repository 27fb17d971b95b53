import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { type AdapterHealth, hubAdapter, MemoryNetwork, PubSub, startHub } from "simurgh/pubsub";
import { createNode, type RuntimeNode, receive } from "simurgh/runtime";
import { afterEach, describe, expect, test } from "vitest";
import { type Envelope, Receiver, Sender, singleNodeAdapter, slot } from "#pubsub";
import { adapterContract } from "./adapter-contract.js";

const LIMIT = 983_040;

adapterContract("local", { joins: false, open: () => ({ adapter: singleNodeAdapter, limit: LIMIT }) });
adapterContract("memory", {
  open: () => {
    const network = new MemoryNetwork();
    return {
      adapter: (name) => network.adapter(name),
      limit: LIMIT,
      stop() {
        network.up = false;
      },
      start() {
        network.up = true;
      },
    };
  },
});
adapterContract("hub", {
  patience: 60_000,
  open: async () => {
    const path = join(await mkdtemp(join(tmpdir(), "simurgh-test-")), "hub");
    let hub = await startHub({ path });
    return {
      adapter: (nodeName) => hubAdapter({ path, nodeName }),
      limit: LIMIT,
      stop: () => hub.close(),
      async start() {
        hub = await startHub({ path });
      },
      async close() {
        await hub.close();
        await rm(dirname(path), { recursive: true });
      },
    };
  },
});
adapterContract("memory with echo and repetition", {
  open: () => {
    const network = new MemoryNetwork({ echo: true });
    network.repeats = 2;
    return { adapter: (name) => network.adapter(name), limit: LIMIT };
  },
});

const nodes: RuntimeNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
});

async function start(network: MemoryNetwork, name: string): Promise<RuntimeNode> {
  const node = createNode({ onReport() {} });
  nodes.push(node);
  await node.run(() => PubSub.startLink({ name: "p", adapter: network.adapter(name) }));
  return node;
}

async function listen(node: RuntimeNode, topic: string): Promise<unknown[]> {
  const got: unknown[] = [];
  await new Promise<void>((ready) => {
    node.spawn(async () => {
      await PubSub.subscribe("p", topic);
      ready();
      for (;;) got.push((await receive((message) => ({ message }))).message);
    });
  });
  return got;
}

describe("the connection between nodes", () => {
  test("a message is encoded once, and not sent without subscribers in its slot (P-026)", async () => {
    const network = new MemoryNetwork();
    const names = ["a", "b", "c", "d", "e"];
    const [a, ...others] = await Promise.all(names.map((name) => start(network, name)));
    const got = [await listen(others[0] as RuntimeNode, "t"), await listen(others[1] as RuntimeNode, "t")];
    await (a as RuntimeNode).run(() => PubSub.broadcast("p", "t", "hello"));
    await expect.poll(() => got.flat()).toEqual(["hello", "hello"]);
    expect([network.encoded, network.carried]).toEqual([1, 2]);
  });

  test("an unsubscribed node gets nothing, and later sees no gap (P-026)", async () => {
    const network = new MemoryNetwork();
    const [a, b] = [await start(network, "a"), await start(network, "b")];
    const events = await listen(b, PubSub.EVENTS);
    const got: unknown[] = [];
    await b.run(async () => {
      const next = async (): Promise<void> => {
        got.push(await receive((message) => message as unknown));
      };
      await PubSub.subscribe("p", "t");
      await a.run(() => PubSub.broadcast("p", "t", 1));
      await next();
      await PubSub.unsubscribe("p", "t");
      await a.run(() => PubSub.broadcast("p", "t", 2));
      await PubSub.subscribe("p", "t");
      await a.run(() => PubSub.broadcast("p", "t", 3));
      await next();
    });
    expect([got, events]).toEqual([[1, 3], []]);
    expect(network.carried).toBe(2);
  });

  test("lost messages are reported as a gap (P-022, P-113)", async () => {
    const network = new MemoryNetwork();
    const [a, b] = [await start(network, "a"), await start(network, "b")];
    const [got, events] = [await listen(b, "t"), await listen(b, PubSub.EVENTS)];
    let sent = 0;
    network.loses = () => {
      sent += 1;
      return sent === 2 || sent === 3;
    };
    for (let n = 1; n <= 4; n += 1) await a.run(() => PubSub.broadcast("p", "t", n));
    await expect.poll(() => got).toEqual([1, 4]);
    await expect.poll(() => events).toEqual([["adapter", ["gap", "a", 2, 3]]]);
  });

  test("messages waiting for delivery are bounded, and more count as lost (P-022, P-037)", async () => {
    const network = new MemoryNetwork();
    const node = createNode({ onReport() {} });
    nodes.push(node);
    const limits = { maxWaiting: 10, maxWaitingBytes: 100_000 };
    await node.run(() => PubSub.startLink({ name: "p", adapter: network.adapter("a", limits) }));
    const [got, events] = [await listen(node, "t"), await listen(node, PubSub.EVENTS)];
    const other = new Sender("b");
    const say = (message: unknown): void =>
      network.inject("a", other.encode("b", "t", message, "bare", LIMIT) as Uint8Array);
    const health = () => node.run(async () => (await PubSub.health("p")) as AdapterHealth);
    // Faster than this process can take them: no one gets a turn between.
    for (let n = 1; n <= 50; n += 1) say(n);
    await expect.poll(() => got).toEqual(Array.from({ length: 10 }, (_, n) => n + 1));
    say(51);
    await expect.poll(() => got.at(-1)).toBe(51);
    // Forty thousand bytes each: the third is too many, but one alone never is.
    for (let n = 52; n <= 54; n += 1) say("x".repeat(40_000));
    await expect.poll(() => got.length).toBe(13);
    say("y".repeat(200_000));
    await expect.poll(() => got.length).toBe(14);
    expect(events.map((event) => (event as readonly unknown[])[1])).toEqual([
      ["status", "degraded"],
      ["status", "up"],
      ["gap", "b", 11, 50],
      ["status", "degraded"],
      ["status", "up"],
      ["gap", "b", 54, 54],
    ]);
    expect(await health()).toMatchObject({ droppedOverload: 41, lost: 41, received: 14, status: "up" });
  });

  test("a change of the engine's state is reported (P-036, P-062)", async () => {
    const network = new MemoryNetwork();
    const a = await start(network, "a");
    const events = await listen(a, PubSub.EVENTS);
    network.up = false;
    network.up = false;
    network.up = true;
    await expect.poll(() => events.length).toBe(2);
    expect(events).toEqual([
      ["adapter", ["status", "down"]],
      ["adapter", ["status", "up"]],
    ]);
  });

  test("two nodes by one name hear each other well enough to notice, and say so (P-034, P-645, P-710)", async () => {
    const network = new MemoryNetwork();
    const [a, duplicate, b] = [
      await start(network, "a"),
      await start(network, "a"),
      await start(network, "b"),
    ];
    const [atA, atB] = [await listen(a, PubSub.EVENTS), await listen(b, PubSub.EVENTS)];
    const got = await listen(a, "t");
    await listen(b, "t");
    await duplicate.run(() => PubSub.broadcast("p", "t", "from the duplicate"));
    await expect.poll(() => got).toEqual(["from the duplicate"]);
    await expect.poll(() => atA).toEqual([["adapter", ["duplicate_name", "a"]]]);
    await a.run(() => PubSub.broadcast("p", "t", "from a"));
    await duplicate.run(() => PubSub.broadcast("p", "t", "again"));
    await expect.poll(() => atB).toEqual([["adapter", ["duplicate_name", "a"]]]);
  });

  test("a hundred thousand random frames are dropped and end nothing (P-025, P-639)", async () => {
    const network = new MemoryNetwork();
    const a = await start(network, "a");
    const got = await listen(a, "t");
    const [random] = fc.sample(fc.uint8Array({ minLength: 65_536, maxLength: 65_536 }), {
      numRuns: 1,
      seed: 1,
    }) as [Uint8Array];
    for (let n = 0; n < 100_000; n += 1) {
      // Another place and another length each time.
      const from = (n * 31) % 65_000;
      network.inject("a", random.subarray(from, from + (n % 61)));
    }
    const sealed = new Sender("x").encode("b.1", "t", "real", "bare", LIMIT) as Uint8Array;
    for (let cut = 0; cut < sealed.length; cut += 1) network.inject("a", sealed.subarray(0, cut));
    network.inject("a", sealed);
    await expect.poll(() => got, { timeout: 60_000 }).toEqual(["real"]);
  }, 90_000);

  test("decoding reverses encoding, and other versions are counted (P-025, P-112)", () => {
    const sender = new Sender("a");
    const receiver = new Receiver(new Sender("b"), () => {});
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), fc.uint8Array(), (topic, value, bytes) => {
        const sealed = sender.encode("s", topic, [value, bytes], "d", LIMIT) as Uint8Array;
        const envelope = receiver.decode(sealed);
        expect(envelope).toMatchObject({ node: "a", stream: "s", topic, dispatcher: "d" });
        const [, got] = (envelope as Envelope).message as [unknown, Uint8Array];
        expect([...got]).toEqual([...bytes]);
      }),
    );
    expect(receiver.unreadable).toBe(0);
    expect(receiver.decode(Uint8Array.of(0x92, 0x02, 0x01))).toBeUndefined();
    expect(receiver.decode(Uint8Array.of(0x91, 0x01))).toBeUndefined();
    expect(receiver.decode(new Uint8Array(0))).toBeUndefined();
    expect(receiver.unreadable).toBe(3);
  });

  test("what comes twice, late or back is not delivered again (P-022, P-637, P-650)", () => {
    const [own, other] = [new Sender("me"), new Sender("other")];
    const events: unknown[] = [];
    const receiver = new Receiver(own, (event) => void events.push(event));
    const envelopes = [1, 2, 3].map((n) =>
      receiver.decode(other.encode("s", "t", n, "d", LIMIT) as Uint8Array),
    );
    const verdicts = [0, 0, 2, 1, 2].map((n) => receiver.classify(envelopes[n] as never));
    expect(verdicts).toEqual(["deliver", "duplicate", "deliver", "duplicate", "duplicate"]);
    expect(events).toEqual([["gap", "other", 2, 2]]);
    expect(receiver.duplicates).toBe(3);
    expect(
      receiver.classify(receiver.decode(own.encode("s", "t", 1, "d", LIMIT) as Uint8Array) as never),
    ).toBe("echo");
  });

  describe("a copy is not delivered, however late (P-022, P-637)", () => {
    const RECALL_MS = 60_000;
    let now = 0;
    const receiverOf = (events: unknown[]) =>
      new Receiver(new Sender("me"), (event) => void events.push(event), { now: () => now });
    const say = (sender: Sender, stream = "s"): Envelope =>
      new Receiver(sender, () => {}).decode(
        sender.encode(stream, "t", 1, "d", LIMIT) as Uint8Array,
      ) as Envelope;

    test("behind the news that its node has left, or that a new life of it has begun", () => {
      const events: unknown[] = [];
      const receiver = receiverOf(events);
      const other = new Sender("other");
      const [first, , third] = [say(other), say(other), say(other)];
      expect(receiver.classify(first)).toBe("deliver");
      receiver.nodeLeft("other");
      expect(receiver.classify(first)).toBe("duplicate");
      // It speaks again, so it was not gone, and something is missing.
      expect(receiver.classify(third)).toBe("deliver");
      expect(events).toEqual([["gap", "other", 2, 2]]);
      now += 2 * RECALL_MS;
      receiver.nodeLeft("someone else");
      expect(receiver.classify(third)).toBe("duplicate");
    });

    test("after the first message of the next sender in its thread", () => {
      const events: unknown[] = [];
      const receiver = receiverOf(events);
      const lives = ["1", "1", "2", "3"].map((bootId) => new Sender("other", { bootId }));
      const first = lives.map((sender) => say(sender));
      expect(first.map((envelope) => receiver.classify(envelope))).toEqual(first.map(() => "deliver"));
      expect(first.map((envelope) => receiver.classify(envelope))).toEqual(first.map(() => "duplicate"));
      // A copy of what an earlier life said does not mean that it is there.
      expect(events).toEqual([]);
    });

    test("after a time in which its stream was not subscribed", () => {
      const events: unknown[] = [];
      const receiver = receiverOf(events);
      const other = new Sender("other");
      const [first, , third, , fifth] = [say(other), say(other), say(other), say(other), say(other)];
      expect(receiver.classify(first)).toBe("deliver");
      receiver.pause("s");
      expect([first, third].map((envelope) => receiver.classify(envelope))).toEqual(["duplicate", "deliver"]);
      expect(events).toEqual([]);
      expect(receiver.classify(fifth)).toBe("deliver");
      expect(events).toEqual([["gap", "other", 4, 4]]);
    });

    test("who has been gone for long is forgotten", () => {
      const receiver = receiverOf([]);
      const message = say(new Sender("other"));
      expect(receiver.classify(message)).toBe("deliver");
      receiver.nodeLeft("other");
      now += RECALL_MS + 1;
      receiver.nodeLeft("someone else");
      expect(receiver.classify(message)).toBe("deliver");
    });
  });
});

test("a slot moves to another thread, which delivers buffered messages once", async () => {
  const network = new MemoryNetwork();
  const node = createNode();
  const topic = "room:1";
  await node.run(async () => {
    const open = async (name: string, thread: number) => {
      const received: unknown[] = [];
      const make = network.adapter(name, { bootId: `boot of ${name}`, thread, isLeader: thread === 0 });
      const adapter = await make(
        (_topic, message) => void received.push(message),
        () => {},
        { messages: 0, bytes: 0 },
      );
      return { adapter, received };
    };
    const [other, former, next] = [await open("other", 0), await open("here", 0), await open("here", 1)];
    const arrived = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    const said = async (n: number): Promise<void> => {
      other.adapter.broadcast(topic, n, "d");
      await arrived();
    };
    await former.adapter.interest?.(slot(topic), true);
    await said(1);
    next.adapter.freeze?.([slot(topic)]);
    await next.adapter.interest?.(slot(topic), true);
    await said(2);
    former.adapter.broadcast(topic, "of the former owner, who has delivered it here", "d");
    await former.adapter.flush?.();
    const positions = former.adapter.freeze?.([slot(topic)]) ?? [];
    await said(3);
    expect([former.received, next.received]).toEqual([[1, 2], []]);
    next.adapter.release?.(positions);
    await said(4);
    expect(next.received).toEqual([3, 4]);
    // The move is given up: it continues where it was.
    former.adapter.release?.([]);
    await said(5);
    expect(former.received).toEqual([1, 2, 3, 4, 5]);
    for (const { adapter } of [former, next]) {
      expect(adapter.health?.()).toMatchObject({ gaps: 0, lost: 0 });
      await adapter.stop?.();
    }
  });
  await node.stop();
});
