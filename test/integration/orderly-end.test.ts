/**
 * A node of a cluster ends in order: the people who were connected to it leave the lists of the
 * other nodes at once.
 */
import { type ClusterOptions, startHub } from "simurgh/pubsub";
import { Supervisor } from "simurgh/runtime";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { threadName } from "#runtime";
import { RawClient, startServer, type TestServer } from "../channels/support.js";
import { AppCluster } from "../support/app-cluster.js";
import { type EngineServer, startNats, startRedis } from "../support/engines.js";
import { Participant } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

/** Far below the 30 s after which a silent node counts as down. */
const SOON = { timeout: 15_000 };
const TOPICS = Array.from({ length: 6 }, (_, n) => `room:${n}`);
const SOCKET = new URL("../support/fixtures/processes-socket.ts", import.meta.url);

interface Engine {
  readonly cluster: (nodeName: string) => ClusterOptions;
  readonly server: EngineServer | undefined;
  stop(): Promise<void>;
}

async function onHub(): Promise<Engine> {
  const hub = await startHub();
  return {
    cluster: (nodeName) => ({ adapter: "hub", path: hub.path, nodeName }),
    server: undefined,
    stop: () => hub.close(),
  };
}

const on = (adapter: "nats" | "redis", start: () => Promise<EngineServer>) => async (): Promise<Engine> => {
  const server = await start();
  return {
    cluster: (nodeName) => ({ adapter, url: server.url, nodeName }),
    server,
    stop: () => server.stop(),
  };
};

/** Everyone in a room, as one of its clients knows it from the state and the diffs. */
class Watcher {
  readonly #client: RawClient;
  private constructor(client: RawClient) {
    this.#client = client;
  }

  static async at(server: TestServer, user: string): Promise<Watcher> {
    const client = await RawClient.connect(`${server.url}&user=${user}`);
    for (const topic of TOPICS) client.send(topic, topic, topic, "phx_join", {});
    return new Watcher(client);
  }

  /** The names in each of the rooms. */
  get names(): string {
    return [...new Set(TOPICS.map((topic) => this.#in(topic)))].join(" | ");
  }

  #in(topic: string): string {
    const there = new Set<string>();
    for (const [, , of, event, payload] of this.#client.frames as [0, 0, string, string, never][]) {
      if (of !== topic) continue;
      if (event === "presence_state") for (const name of Object.keys(payload)) there.add(name);
      if (event !== "presence_diff") continue;
      for (const name of Object.keys((payload as { leaves: object }).leaves)) there.delete(name);
      for (const name of Object.keys((payload as { joins: object }).joins)) there.add(name);
    }
    return [...there].sort().join();
  }

  close(): void {
    this.#client.close();
  }
}

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

for (const [need, open] of [
  [undefined, onHub],
  ["NATS", on("nats", startNats)],
  ["Redis", on("redis", startRedis)],
] as const)
  describeWith(need, `two nodes on ${need ?? "a hub"}`, () => {
    let engine: Engine;
    let there: TestServer;
    let stays: Watcher;
    let nodes = 0;
    const node = (shards: number): Promise<TestServer> => {
      nodes += 1;
      return startServer({
        sockets: { "/socket": { module: SOCKET } },
        shardTree: { module: SOCKET },
        secret: "the same secret on both of the nodes",
        shards,
        cluster: engine.cluster(`node ${nodes}`),
      });
    };
    beforeAll(async () => {
      engine = await open();
      there = await node(0);
      stays = await Watcher.at(there, "stays");
    });
    afterAll(async () => {
      stays?.close();
      await there?.stop();
      await engine?.stop();
    });

    /** A node with one client in every room, seen by the client of the other node. */
    const together = async (shards: number): Promise<TestServer> => {
      const here = await node(shards);
      const goes = await Watcher.at(here, "goes");
      undo.push(() => goes.close());
      for (const watcher of [stays, goes]) await expect.poll(() => watcher.names, SOON).toBe("goes,stays");
      return here;
    };

    test.each([0, 1, 3])("an endpoint with %i shards is stopped", async (shards) => {
      const here = await together(shards);
      await here.stop();
      await expect.poll(() => stays.names, SOON).toBe("stays");
    });

    test("one of its threads is stopped on purpose", async () => {
      const here = await together(3);
      undo.push(() => here.stop());
      const stop = (thread: number) =>
        here.run(() => Supervisor.terminateChild("endpoint.shards", threadName(thread)));
      // The last one standing carries what the trackers of the others say.
      for (const thread of [2, 1, 3]) expect(await stop(thread)).toBe("ok");
      await expect.poll(() => stays.names, SOON).toBe("stays");
    });

    if (need === undefined) return;

    test.each([0, 2])("an endpoint with %i shards is stopped while the engine is slow", async (shards) => {
      const here = await together(shards);
      engine.server?.signal("SIGSTOP");
      const stopping = here.stop();
      const resume = setTimeout(() => engine.server?.signal("SIGCONT"), 1000);
      undo.push(() => clearTimeout(resume));
      await stopping;
      await expect.poll(() => stays.names, SOON).toBe("stays");
    });
  });

describeWith("NATS", "PhoenixPair", () => {
  test("a node that gets SIGTERM takes its people along", async () => {
    const cluster = await AppCluster.start("NATS", [0, 2], { PRESENCE_DOWN_MS: "120000" });
    undo.push(() => cluster.stop());
    const [first, second] = [cluster.node(0), cluster.node(1)];
    const [stays, goes] = [await first.server.signUp("Stays"), await first.server.signUp("Goes")];
    const watcher = new Participant(first.server, stays.token, 1);
    const leaver = new Participant(second.server, goes.token, 1);
    undo.push(() => leaver.leave());
    undo.push(() => watcher.leave());
    await watcher.join();
    await leaver.join();
    await waitFor("both are there", () => watcher.names.join() === "Goes,Stays", 30_000);
    await second.server.end("SIGTERM");
    await waitFor("one is gone", () => watcher.names.join() === "Stays", 30_000);
  });
});
