/**
 * Several PhoenixPair nodes on one engine and one database, each with a link of its own to the
 * engine, which can be spoilt.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppServer } from "./app-server.js";
import { type EngineServer, startNats, startRedis } from "./engines.js";
import { TcpProxy } from "./tcp-proxy.js";
import { waitFor } from "./wait.js";

/** Short, so that who is gone is seen to be gone soon; long enough for a loaded machine. */
export const DOWN_MS = 6000;

/** For a loaded machine: three processes with their threads. */
export const START_MS = 300_000;

export interface ClusterNode {
  readonly name: string;
  readonly server: AppServer;
  /** Its way to the engine. */
  readonly link: TcpProxy;
}

export interface Readiness {
  readonly code: number;
  readonly status: string;
  readonly cluster: { readonly node: string; readonly status: string; readonly nodes: readonly string[] };
}

export class AppCluster {
  readonly engine: EngineServer;
  readonly nodes: ClusterNode[] = [];
  /** Shared by all nodes. */
  readonly dataDir: string;
  readonly #env: Record<string, string>;

  private constructor(engine: EngineServer, dataDir: string, env: Record<string, string>) {
    this.engine = engine;
    this.dataDir = dataDir;
    this.#env = env;
  }

  /** A node for each number of shards. */
  static async start(
    kind: "NATS" | "Redis",
    shards: readonly number[],
    env: Record<string, string> = {},
  ): Promise<AppCluster> {
    const engine = await (kind === "NATS" ? startNats() : startRedis());
    const cluster = new AppCluster(engine, await mkdtemp(join(tmpdir(), "pp-cluster-")), env);
    // The first makes the tables.
    const [first = 0, ...others] = shards;
    await cluster.add("n1", first);
    const rest = others.map((count, index) => cluster.#start(`n${index + 2}`, count));
    cluster.nodes.push(...(await Promise.all(rest)));
    await cluster.together();
    return cluster;
  }

  async add(name: string, shards: number): Promise<void> {
    this.nodes.push(await this.#start(name, shards));
  }

  async #start(name: string, shards: number): Promise<ClusterNode> {
    const link = await TcpProxy.start(this.engine.port);
    const server = await AppServer.start({
      DATA_DIR: this.dataDir,
      CLUSTER_URL: `${this.engine.kind}://127.0.0.1:${link.port}`,
      NODE_NAME: name,
      SHARDS: String(shards),
      JWT_SECRET: "the same on every node of the cluster",
      PRESENCE_DOWN_MS: String(DOWN_MS),
      LOG_LEVEL: "info",
      ...this.#env,
    });
    return { name, server, link };
  }

  node(index: number): ClusterNode {
    return this.nodes[index] as ClusterNode;
  }

  async readiness({ server }: ClusterNode): Promise<Readiness> {
    const response = await server.request("GET", "/readyz");
    return { code: response.status, ...((await response.json()) as Omit<Readiness, "code">) };
  }

  /** Waits until all know all. */
  async together(nodes: readonly ClusterNode[] = this.nodes): Promise<void> {
    for (const node of nodes) {
      const others = nodes.filter((other) => other !== node).map(({ name }) => name);
      await waitFor(
        `${node.name} knows ${others}`,
        async () => {
          const { cluster } = await this.readiness(node);
          if (cluster.status === "up" && cluster.nodes.join() === others.sort().join()) return true;
          throw new Error(JSON.stringify(cluster));
        },
        40_000,
      );
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(({ server }) => server.stop()));
    for (const { link } of this.nodes) await link.stop();
    await this.engine.stop();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
