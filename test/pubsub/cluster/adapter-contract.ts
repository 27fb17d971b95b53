/**
 * The contract of adapters: one suite that runs for each engine.
 *
 *     adapterContract("memory", { open: async () => ({ adapter: … }) });
 */
import { type AdapterFactory, type Dispatcher, PubSub, registerDispatcher } from "simurgh/pubsub";
import { createNode, type RuntimeNode, receive, self } from "simurgh/runtime";
import { afterEach, describe, expect, test } from "vitest";

export interface Engine {
  /** The adapter of a node with this name. */
  adapter(name: string): AdapterFactory;
  /** Bytes that a message may have once it is in its envelope. */
  readonly limit: number;
  /** Takes the engine away, and brings it back. Left out where that cannot be done. */
  stop?(): Promise<void> | void;
  start?(): Promise<void> | void;
  close?(): Promise<void> | void;
}

export interface ContractOptions {
  /** Default true: false for an adapter that joins no nodes. */
  readonly joins?: boolean;
  readonly open: () => Promise<Engine> | Engine;
  /** How long to wait for a message. Default 2,000 ms. */
  readonly patience?: number;
}

const NAME = "contract";

const noted: Dispatcher = {
  name: "contract-noted",
  dispatch(topic, from, message) {
    for (const { pid, metadata } of topic.subscriptions())
      PubSub.localBroadcast(NAME, `noted ${pid}`, [topic.topic, metadata, from, message]);
  },
};

const thrower: Dispatcher = {
  name: "contract-thrower",
  dispatch() {
    throw new Error("thrown by a dispatcher");
  },
};

export function adapterContract(
  title: string,
  { open, joins = true, patience = 2000 }: ContractOptions,
): void {
  const nodes: RuntimeNode[] = [];
  let engine: Engine | undefined;
  afterEach(async () => {
    for (const node of nodes.splice(0)) await node.stop();
    await engine?.close?.();
    engine = undefined;
  });

  /** Starts a node that runs a PubSub on the engine. */
  const start = async (name: string): Promise<RuntimeNode> => {
    engine ??= await open();
    const node = createNode({ onReport() {} });
    nodes.push(node);
    const adapter = engine.adapter(name);
    // A server that does not trap exits outlives who started it and ended normally.
    const started = await node.run(() => PubSub.startLink({ name: NAME, adapter }));
    expect(started).toEqual(["ok", expect.anything()]);
    return node;
  };

  /** A process on that node that collects what it gets on the topics. */
  const listen = async (node: RuntimeNode, topics: readonly string[], times = 1): Promise<unknown[]> => {
    const got: unknown[] = [];
    await new Promise<void>((subscribed) => {
      node.spawn(async () => {
        for (let n = 0; n < times; n += 1)
          for (const topic of topics) await PubSub.subscribe(NAME, topic, { metadata: n });
        subscribed();
        for (;;) got.push((await receive((message) => ({ message }))).message);
      });
    });
    return got;
  };
  const count = (got: readonly unknown[], wanted: number): Promise<void> =>
    expect
      .poll(() => got.length, { timeout: patience, interval: 5 })
      .toBe(wanted) as unknown as Promise<void>;
  const say = (
    node: RuntimeNode,
    topic: string,
    message: unknown,
    dispatcher?: Dispatcher,
  ): Promise<unknown> => node.run(() => PubSub.broadcast(NAME, topic, message, dispatcher));
  const sayTo = (node: RuntimeNode, to: string, topic: string, message: unknown): Promise<unknown> =>
    node.run(() => PubSub.directBroadcast(NAME, to, topic, message));

  /** What only makes sense where there are other nodes. */
  const it = (what: string, body: () => Promise<void>): void => {
    if (joins) test(what, body);
  };

  describe(`the adapter contract: ${title}`, () => {
    test("it has the name of its node (P-035, P-013, P-030)", async () => {
      const a = await start("a@contract");
      expect(await a.run(() => PubSub.nodeName(NAME))).toBe("a@contract");
    });

    test("a local broadcast stays here, and a broadcast reaches here once (P-035, P-010, P-030)", async () => {
      const a = await start("a@contract");
      const got = await listen(a, ["t"]);
      expect(await say(a, "t", "all")).toBe("ok");
      expect(await a.run(() => PubSub.localBroadcast(NAME, "t", "local"))).toBe("ok");
      await count(got, 2);
      expect(got).toEqual(["all", "local"]);
    });

    test("directBroadcast to the own node is delivered once, to an unknown one nowhere (P-035, P-011)", async () => {
      const a = await start("a@contract");
      const got = await listen(a, ["t"]);
      expect(await sayTo(a, "a@contract", "t", "me")).toBe("ok");
      expect(await sayTo(a, "noOne@contract", "t", "no one")).toBe("ok");
      expect(await say(a, "t", "end")).toBe("ok");
      await count(got, 2);
      expect(got).toEqual(["me", "end"]);
    });

    it("a broadcast reaches every other node once, and none twice (P-035, P-007, P-022, P-030)", async () => {
      const [a, b, c] = [await start("a@contract"), await start("b@contract"), await start("c@contract")];
      const here = await listen(a, ["t", "end"]);
      const there = [await listen(b, ["t", "end"]), await listen(c, ["t", "end"])];
      expect(await say(a, "t", { any: ["plain", 1, null, true] })).toBe("ok");
      expect(await say(a, "end", "end")).toBe("ok");
      for (const got of [here, ...there]) {
        await count(got, 2);
        expect(got).toEqual([{ any: ["plain", 1, null, true] }, "end"]);
      }
    });

    it("directBroadcast reaches that node alone (P-035, P-011)", async () => {
      const [a, b, c] = [await start("a@contract"), await start("b@contract"), await start("c@contract")];
      const [atA, atB, atC] = [await listen(a, ["t"]), await listen(b, ["t"]), await listen(c, ["t"])];
      expect(await sayTo(a, "b@contract", "t", "for b")).toBe("ok");
      expect(await say(a, "t", "end")).toBe("ok");
      await count(atB, 2);
      await count(atC, 1);
      expect([atA, [...atB].sort(), atC]).toEqual([["end"], ["end", "for b"], ["end"]]);
    });

    it("topics are compared exactly there too, and may be any text (P-035, P-002)", async () => {
      const [a, b] = [await start("a@contract"), await start("b@contract")];
      const odd = ["", "room:*", "a b.c>d\n", "ünï→코드", "x".repeat(1000)];
      const got = await listen(b, odd);
      for (const topic of ["room:1", ...odd]) expect(await say(a, topic, topic)).toBe("ok");
      await count(got, odd.length);
      expect([...got].sort()).toEqual([...odd].sort());
    });

    it("subscriptions, their number and who is left out are each node's own affair (P-035, P-004, P-009, P-015)", async () => {
      const [a, b] = [await start("a@contract"), await start("b@contract")];
      const twice = await listen(b, ["t"], 2);
      expect(await a.run(() => PubSub.broadcastFrom(NAME, self(), "t", "from"))).toBe("ok");
      await count(twice, 2);
      expect(twice).toEqual(["from", "from"]);
    });

    it("a registered dispatcher runs there, and an unknown one is counted (P-035, P-016, P-032)", async () => {
      registerDispatcher(noted);
      const [a, b] = [await start("a@contract"), await start("b@contract")];
      const got: unknown[] = [];
      await new Promise<void>((ready) => {
        b.spawn(async () => {
          await PubSub.subscribe(NAME, "t", { metadata: "mine" });
          await PubSub.subscribe(NAME, `noted ${self()}`);
          ready();
          for (;;) got.push((await receive((message) => ({ message }))).message);
        });
      });
      expect(await say(a, "t", "hello", { ...noted, name: "no one knows it" })).toBe("ok");
      expect(await a.run(() => PubSub.broadcastFrom(NAME, self(), "t", "hello", noted))).toBe("ok");
      await count(got, 1);
      expect(got).toEqual([["t", "mine", undefined, "hello"]]);
      expect(await b.run(() => PubSub.dropped(NAME).dispatcher)).toBe(1);
    });

    it("a dispatcher that throws there is counted, and later messages arrive (P-035, P-019)", async () => {
      registerDispatcher(thrower);
      const [a, b] = [await start("a@contract"), await start("b@contract")];
      const got = await listen(b, ["t"]);
      await say(a, "t", "bad", thrower);
      await say(a, "t", "good");
      await count(got, 1);
      expect(got).toEqual(["good"]);
      expect(await b.run(() => PubSub.dropped(NAME).failed)).toBe(1);
    });

    it("payloads up to the limit arrive unchanged, larger ones are refused (P-035)", async () => {
      const [a, b] = [await start("a@contract"), await start("b@contract")];
      const got = await listen(b, ["t"]);
      const here = await listen(a, ["t"]);
      const { limit } = engine as Engine;
      const random = Uint8Array.from({ length: 256 }, (_, n) => n);
      const large = "x".repeat(limit - 400);
      for (const message of ["", "x", random, new Uint8Array(0), large])
        expect(await say(a, "t", message)).toBe("ok");
      const refused = (await say(a, "t", "x".repeat(limit))) as readonly [
        string,
        readonly [string, number, number],
      ];
      expect(refused).toEqual(["error", ["too_large", expect.any(Number), limit]]);
      expect(refused[1][1]).toBeGreaterThan(limit);
      await count(got, 5);
      const bytes = got[2] as Uint8Array;
      expect([
        got[0],
        got[1],
        [...bytes],
        (got[3] as Uint8Array).length,
        (got[4] as string) === large,
      ]).toEqual(["", "x", [...random], 0, true]);
      await count(here, 5);
    });

    it("what cannot be encoded is an error, and nothing is delivered (P-035, P-008)", async () => {
      const a = await start("a@contract");
      const got = await listen(a, ["t"]);
      const circular: Record<string, unknown> = {};
      Object.defineProperty(circular, "broken", {
        enumerable: true,
        get() {
          throw new Error("cannot be read");
        },
      });
      const result = await a.run(() => {
        try {
          return PubSub.broadcast(NAME, "t", circular);
        } catch (error) {
          return ["thrown", error];
        }
      });
      expect(result).toEqual(["error", ["not_encodable", "cannot be read"]]);
      await say(a, "t", "end");
      await count(got, 1);
      expect(got).toEqual(["end"]);
    });

    it("a hundred thousand messages of one process arrive in order, on several topics (P-035, P-020, P-021, P-023)", async () => {
      const [a, b] = [await start("a@contract"), await start("b@contract")];
      const topics = ["x", "y", "z"];
      const got = await listen(b, topics);
      await a.run(async () => {
        for (let n = 0; n < 100_000; n += 1) {
          PubSub.broadcast(NAME, topics[n % 3] as string, n);
          if (n % 1000 === 999) await new Promise((resolve) => setImmediate(resolve));
        }
      });
      await count(got, 100_000);
      for (const topic of [0, 1, 2]) {
        const ofTopic = got.filter((n) => (n as number) % 3 === topic) as number[];
        expect(ofTopic.every((n, index) => n === index * 3 + topic)).toBe(true);
      }
    });

    it("without the engine a broadcast is ok and delivered here (P-035, P-037, P-008)", async () => {
      const [a, b] = [await start("a@contract"), await start("b@contract")];
      const { stop, start: restart } = engine as Engine;
      if (stop === undefined || restart === undefined) return;
      const [here, there] = [await listen(a, ["t"]), await listen(b, ["t"])];
      await say(a, "t", "before");
      await count(there, 1);
      await stop.call(engine);
      await expect.poll(() => a.run(() => PubSub.status(NAME)), { timeout: 20_000 }).not.toBe("up");
      expect(await say(a, "t", "during")).toBe("ok");
      await count(here, 2);
      await restart.call(engine);
      await expect.poll(() => a.run(() => PubSub.status(NAME)), { timeout: 20_000 }).toBe("up");
      await expect.poll(() => b.run(() => PubSub.status(NAME)), { timeout: 20_000 }).toBe("up");
      await say(a, "t", "after");
      await count(there, 2);
      expect([here, there]).toEqual([
        ["before", "during", "after"],
        ["before", "after"],
      ]);
    });
  });
}
