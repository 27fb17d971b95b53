/**
 * The adapters on real engines: the contract every adapter keeps, and what can go wrong only with a
 * server in between.
 */
import { randomBytes } from "node:crypto";
import { createConnection } from "node:net";
import {
  type AdapterFactory,
  type AdapterHealth,
  type EngineAdapterOptions,
  natsAdapter,
  PubSub,
  redisAdapter,
} from "simurgh/pubsub";
import { createNode, type Report, type RuntimeNode, receive, trapExit } from "simurgh/runtime";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { adapterContract } from "../pubsub/cluster/adapter-contract.js";
import { type EngineServer, startNats, startRedis } from "../support/engines.js";
import { ListeningNode } from "../support/listening-node.js";
import { describeWith } from "../support/requirements.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { waitFor } from "../support/wait.js";

const LIMIT = 983_040;
const NAME = "engines";

/** "ok", or what a failed start says. */
async function startAttempt(factory: AdapterFactory): Promise<string> {
  const node = createNode({ onReport() {} });
  try {
    const result = await node.run(() => {
      trapExit(true);
      return PubSub.startLink({ name: NAME, adapter: factory });
    });
    return result[0] === "ok"
      ? "ok"
      : JSON.stringify(result, (_key, value) => (value instanceof Error ? value.message : value));
  } finally {
    await node.stop();
  }
}

const engines = {
  NATS: { start: startNats, adapter: natsAdapter, scheme: "nats" },
  Redis: { start: startRedis, adapter: redisAdapter, scheme: "redis" },
} as const;

describe.each(["NATS", "Redis"] as const)("%s", (kind) => {
  const { start, adapter, scheme } = engines[kind];

  describeWith(kind, "the contract", () => {
    adapterContract(kind, {
      patience: 60_000,
      open: async () => {
        const server = await start();
        return {
          adapter: (nodeName) => adapter({ url: server.url, nodeName }),
          limit: LIMIT,
          stop: () => server.end(),
          start: () => server.restart(),
          close: () => server.stop(),
        };
      },
    });
  });

  describeWith(kind, "a server in between", () => {
    let server: EngineServer;
    let proxy: TcpProxy;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());
    const nodes: RuntimeNode[] = [];
    afterEach(async () => {
      for (const node of nodes.splice(0)) await node.stop();
      await proxy?.stop().catch(() => {});
    });

    interface TestNode {
      readonly node: RuntimeNode;
      readonly reports: Report[];
      listen(topic: string): Promise<unknown[]>;
      say(topic: string, message: unknown): Promise<unknown>;
      status(): Promise<string>;
      health(): Promise<AdapterHealth>;
      texts(): string[];
    }

    async function startNode(
      nodeName: string,
      { port = server.port, ...options }: Partial<EngineAdapterOptions> & { port?: number } = {},
      factory?: AdapterFactory,
    ): Promise<TestNode> {
      const reports: Report[] = [];
      const node = createNode({ onReport: (report) => void reports.push(report) });
      nodes.push(node);
      const url = `${scheme}://127.0.0.1:${port}`;
      const started = await node.run(() =>
        PubSub.startLink({
          name: NAME,
          adapter: factory ?? adapter({ url, nodeName, heartbeatMs: 500, ...options }),
        }),
      );
      if (started[0] !== "ok") throw started[1];
      return {
        node,
        reports,
        async listen(topic) {
          const got: unknown[] = [];
          await new Promise<void>((ready) => {
            node.spawn(async () => {
              await PubSub.subscribe(NAME, topic);
              ready();
              for (;;) got.push((await receive((message) => ({ message }))).message);
            });
          });
          return got;
        },
        say: (topic, message) => node.run(() => PubSub.broadcast(NAME, topic, message)),
        status: () => node.run(() => PubSub.status(NAME)),
        health: () => node.run(async () => (await PubSub.health(NAME)) as AdapterHealth),
        texts: () => reports.flatMap((report) => (report.kind === "notice" ? [report.text] : [])),
      };
    }

    const names = async ({ health }: TestNode): Promise<string> =>
      (await health()).nodes
        .map(({ name }) => name)
        .sort()
        .join();

    test("nodes know each other by name, and say when one comes and goes", async () => {
      const [a, b] = [await startNode("a"), await startNode("b")];
      await waitFor("they know each other", async () => (await names(a)) === "b" && (await names(b)) === "a");
      await b.node.stop();
      await waitFor("a knows that b left", async () => (await names(a)) === "");
      expect(a.texts()).toEqual(expect.arrayContaining(["node b has joined"]));
      expect(a.texts().filter((text) => text.startsWith("node b "))).toHaveLength(2);
    });

    test("of two nodes by one name the younger says that its name is taken (P-034)", async () => {
      const first = await startNode("same");
      await waitFor("it is up", async () => (await first.status()) === "up");
      const second = await startNode("same");
      await waitFor("the younger knows", async () => (await second.health()).isDuplicateName);
      expect((await first.health()).isDuplicateName).toBe(false);
      expect(second.texts().join()).toMatch(/another node is named same as well/);
    });

    test("a cut connection is made again, with one gap reported", async () => {
      proxy = await TcpProxy.start(server.port);
      const [a, b] = [await startNode("a"), await startNode("b", { port: proxy.port })];
      const [got, events] = [await b.listen("t"), await b.listen(PubSub.EVENTS)];
      await a.say("t", 1);
      await waitFor("the first", () => got.length === 1);
      proxy.refuse(true);
      proxy.cut();
      await waitFor("b is down", async () => (await b.status()) === "down");
      await a.say("t", 2);
      await a.say("t", 3);
      const here = await b.listen("own");
      await b.say("own", "local delivery continues");
      await waitFor("local delivery", () => here.length === 1);
      proxy.refuse(false);
      await waitFor("b is up", async () => (await b.status()) === "up");
      await a.say("t", 4);
      await waitFor("the fourth", () => got.length === 2);
      expect(got).toEqual([1, 4]);
      expect(events.filter((event) => ((event as unknown[])[1] as unknown[])[0] === "gap")).toEqual([
        ["adapter", ["gap", "a", 2, 3]],
      ]);
      const health = await b.health();
      expect([health.lost, health.duplicates, health.droppedDown]).toEqual([2, 0, 1]);
      expect(b.texts().filter((text) => /connected (to|from) the other nodes/.test(text))).toEqual([
        `${NAME} is connected to the other nodes`,
        `${NAME} is disconnected from the other nodes; delivery on this node continues`,
        `${NAME} is connected to the other nodes`,
      ]);
    });

    test("a connection that dies silently is noticed and made again", async () => {
      proxy = await TcpProxy.start(server.port);
      const b = await startNode("b", { port: proxy.port });
      const a = await startNode("a");
      const got = await b.listen("t");
      await a.say("t", 1);
      await waitFor("the first", () => got.length === 1);
      const links = proxy.accepted;
      proxy.stall();
      await waitFor("b makes new connections", () => proxy.accepted > links, 30_000);
      proxy.resume();
      await waitFor("b is up again", async () => (await b.status()) === "up", 30_000);
      await waitFor(
        "b receives a again",
        async () => {
          await a.say("t", "again");
          return got.includes("again");
        },
        30_000,
      );
      expect((await b.health()).duplicates).toBe(0);
    });

    test("a frozen node delays no other, and wakes with one gap and no duplicate (P-649)", async () => {
      const frozen = await ListeningNode.start(scheme, server.url, "t");
      const [a, c] = [await startNode("a"), await startNode("c")];
      const received = (await c.listen("t")) as [number, ...unknown[]][];
      let said = 0;
      const say = async (payload: Uint8Array): Promise<void> => {
        said += 1;
        expect(await a.say("t", [said, payload])).toBe("ok");
      };
      const [small, large] = [randomBytes(10), randomBytes(128 * 1024)];
      for (let n = 0; n < 10; n += 1) await say(small);
      await waitFor("all hear the first", () => frozen.got.length === 10 && received.length === 10);
      frozen.signal("SIGSTOP");
      let [slowest, unsent] = [0, 0];
      // More than any buffer on its way holds, and for longer than the engine waits for it.
      const from = performance.now();
      for (
        let bytes = 0;
        bytes < 128 * 1024 * 1024 || performance.now() - from < 6000;
        bytes += 8 * 128 * 1024
      ) {
        const began = performance.now();
        for (let n = 0; n < 8; n += 1) await say(large);
        unsent = Math.max(unsent, (await a.health()).unsentBytes);
        await waitFor("the other receives it", () => received.at(-1)?.[0] === said);
        slowest = Math.max(slowest, performance.now() - began);
        received.splice(0);
      }
      frozen.signal("SIGCONT");
      const asleep = said;
      await waitFor("it receives again", async () => {
        await say(small);
        return (frozen.got.at(-1) as number) > asleep;
      });
      await say(small);
      await waitFor("it has received all", () => frozen.got.at(-1) === said);
      await frozen.stop();
      expect(slowest).toBeLessThan(2500);
      expect(unsent).toBeLessThan(8 * 1024 * 1024);
      expect((await a.health()).droppedUnsent).toBe(0);
      // What it got is in order, once each; what it did not get is the one gap it was notified of.
      const all = Array.from({ length: said }, (_, n) => n + 1);
      const lost = all.filter((n) => !frozen.got.includes(n));
      expect(frozen.got).toEqual(all.filter((n) => !lost.includes(n)));
      expect(frozen.gaps).toEqual([["gap", "a", lost[0], lost.at(-1)]]);
      expect(lost.length).toBe((lost.at(-1) as number) - (lost[0] as number) + 1);
    });

    test("a slot is listened to while it has subscribers, and for a while after (P-026)", async () => {
      const [a, b] = [await startNode("a"), await startNode("b", { lingerMs: 300 })];
      const said = async (): Promise<number> => {
        const before = (await b.health()).received;
        const received = await b.listen("received");
        await a.say("t", "hello");
        await a.say("received", "end");
        await waitFor("the end", () => received.length === 1);
        return (await b.health()).received - before;
      };
      expect(await said()).toBe(1);
      await b.node.run(async () => {
        await PubSub.subscribe(NAME, "t");
        await PubSub.unsubscribe(NAME, "t");
      });
      expect(await said()).toBe(2);
      await waitFor("the interest has ended", async () => (await b.health()).slots <= 1);
      expect(await said()).toBe(1);
    });

    test("a wrong address or no server fails the start with a line that says what to do", async () => {
      const errorOf = (url: string) => startAttempt(adapter({ url, nodeName: "x" }));
      expect(await errorOf(`${scheme}://user:secret@127.0.0.1:1`)).toMatch(
        /cannot be reached \(.*check the url/,
      );
      expect(await errorOf(`${scheme}://user:secret@127.0.0.1:1`)).not.toMatch(/secret/);
      expect(await errorOf("http://127.0.0.1:1")).toMatch(new RegExp(`must look like ${scheme}://`));
    });

    test("with patience a node starts without its engine, and joins when it is there", async () => {
      const own = await start();
      await own.end();
      const a = await startNode("a", { port: own.port, connectLazily: true });
      expect(await a.status()).toBe("down");
      const got = await a.listen("t");
      await a.say("t", "alone");
      await waitFor("local delivery", () => got.length === 1);
      await own.restart();
      await waitFor("it is up", async () => (await a.status()) === "up");
      const b = await startNode("b", { port: own.port });
      await b.say("t", "together");
      await waitFor("it receives b", () => got.length === 2);
      expect(a.texts().filter((text) => /cannot be reached/.test(text))).toHaveLength(1);
      for (const { node } of [a, b]) await node.stop();
      await own.stop();
    });

    test("what others put on its channels ends nothing and is counted (P-025)", async () => {
      const a = await startNode("a");
      const b = await startNode("b");
      const got = await a.listen("t");
      await b.say("t", 1);
      await waitFor("the first", () => got.length === 1);
      const garbage = createConnection(server.port, "127.0.0.1");
      const text = "\u0001not an envelope";
      const { slot } = await import("#pubsub");
      if (kind === "NATS")
        garbage.write(
          `CONNECT {"verbose":false}\r\nPUB simurgh.b.${slot("t")} ${text.length}\r\n${text}\r\nPUB simurgh.h 3\r\nabc\r\n`,
        );
      else
        garbage.write(
          `PUBLISH simurgh:b:${slot("t")} "garbage"\r\nPUBLISH simurgh:b.${slot("t")} "12345678\\x00\\x00\\x00\\x03abc"\r\nPUBLISH simurgh:h "12345678\\x00\\x00\\x00\\x03abc"\r\n`,
        );
      await waitFor("both are counted", async () => (await a.health()).unreadable === 2);
      garbage.destroy();
      await b.say("t", 2);
      await waitFor("the second", () => got.length === 2);
    });
  });

  describeWith(kind, "credentials", () => {
    test("wrong credentials fail the start, and right ones are used", async () => {
      const server = await start({
        config:
          kind === "NATS"
            ? 'authorization { user: "u", password: "p@ss/word" }'
            : "user default off\nuser u on >p@ss/word ~* &* +@all",
      });
      onTestFinished(() => server.stop());
      const { port } = server;
      const attempt = (options: object) => startAttempt(adapter({ nodeName: "a", ...options } as never));
      const bare = `${scheme}://127.0.0.1:${port}`;
      for (const url of [bare, `${scheme}://u:wrong@127.0.0.1:${port}`]) {
        const refused = await attempt({ url });
        expect(refused).toMatch(/refuses these credentials/);
        expect(refused).not.toMatch(/wrong/);
      }
      expect(await attempt({ url: `${scheme}://u:p%40ss%2Fword@127.0.0.1:${port}` })).toBe("ok");
      const beside =
        kind === "NATS" ? { user: "u", pass: "p@ss/word" } : { username: "u", password: "p@ss/word" };
      expect(await attempt({ url: bare, ...beside })).toBe("ok");
    });
  });
});

/**
 * An engine on which node b can be kept from hearing anything, while its connections stay open and
 * take what it says.
 */
interface Deafening {
  readonly urls: { readonly a: string; readonly b: string };
  deafen(): Promise<void> | void;
  restore(): Promise<void> | void;
  stop(): Promise<void>;
}

const deafening: Readonly<Record<"NATS" | "Redis", () => Promise<Deafening>>> = {
  async NATS() {
    const permissions = (subscribe: string): string =>
      `authorization { users: [
        { user: "a", password: "a" },
        { user: "b", password: "b", permissions: { publish: ">", subscribe: ${subscribe} } }
      ] }`;
    const server = await startNats({ config: permissions('">"') });
    const url = (name: string): string => `nats://${name}:${name}@127.0.0.1:${server.port}`;
    return {
      urls: { a: url("a"), b: url("b") },
      // The server drops what may not be listened to any more.
      deafen: () => server.reconfigure(permissions('"none"')),
      restore: () => server.reconfigure(permissions('">"')),
      stop: () => server.stop(),
    };
  },
  async Redis() {
    const server = await startRedis();
    const proxy = await TcpProxy.start(server.port);
    return {
      urls: { a: server.url, b: `redis://127.0.0.1:${proxy.port}` },
      // The first connection speaks, the second one listens. Listening again there is in vain; a
      // new one works.
      deafen: () => proxy.mute(2),
      restore() {},
      async stop() {
        await proxy.stop();
        await server.stop();
      },
    };
  },
};

describe.each(["NATS", "Redis"] as const)("%s", (kind) => {
  describeWith(kind, "deafness", () => {
    test("a node that is not receiving reports it, resubscribes and receives again (P-733, P-036)", async () => {
      const { urls, deafen, restore, stop } = await deafening[kind]();
      onTestFinished(stop);
      const reports: string[] = [];
      const make = async (nodeName: "a" | "b"): Promise<RuntimeNode> => {
        const node = createNode({
          onReport: (report) => void (report.kind === "notice" && reports.push(report.text)),
        });
        onTestFinished(() => node.stop());
        const adapter = engines[kind].adapter({ url: urls[nodeName], nodeName, heartbeatMs: 500 });
        const started = await node.run(() => PubSub.startLink({ name: NAME, adapter }));
        expect(started[0]).toBe("ok");
        return node;
      };
      const [a, b] = [await make("a"), await make("b")];
      const listen = async (node: RuntimeNode): Promise<unknown[]> => {
        const got: unknown[] = [];
        await new Promise<void>((ready) => {
          node.spawn(async () => {
            await PubSub.subscribe(NAME, "t");
            ready();
            for (;;) got.push((await receive((message) => ({ message }))).message);
          });
        });
        return got;
      };
      const [atA, atB] = [await listen(a), await listen(b)];
      await a.run(() => PubSub.broadcast(NAME, "t", 1));
      await waitFor("the first", () => atB.length === 1);
      await deafen();
      await waitFor("b knows that it is notReceiving", async () =>
        b.run(
          async () =>
            (await PubSub.health(NAME))?.notReceiving === true && PubSub.status(NAME) === "degraded",
        ),
      );
      // It is received all the while.
      await b.run(() => PubSub.broadcast(NAME, "t", "from the notReceiving"));
      await waitFor("a receives it", () => atA.includes("from the notReceiving"));
      await restore();
      await waitFor("b receives again", () => b.run(() => PubSub.status(NAME) === "up"), 20_000);
      await waitFor(
        "and gets messages",
        async () => {
          await a.run(() => PubSub.broadcast(NAME, "t", 2));
          return atB.includes(2);
        },
        20_000,
      );
      expect(reports.join("\n")).toMatch(/takes messages but delivers none/);
    });
  });
});

describeWith("NATS", "NATS alone", () => {
  test("a server that carries too little is refused, and says what to raise", async () => {
    const server = await startNats({ config: "max_payload: 65536" });
    expect(await startAttempt(natsAdapter({ url: server.url, nodeName: "a" }))).toMatch(
      /65536 bytes at most; allow at least 327680/,
    );
    await server.stop();
  });
});
