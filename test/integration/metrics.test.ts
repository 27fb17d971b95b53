/** What Prometheus sees of a node: on a port of its own, and moving with what happens. */
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { startNats } from "../support/engines.js";
import { freePort } from "../support/free-port.js";
import { Participant } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { waitFor } from "../support/wait.js";

/**
 * Figures by name; those of several threads are added up, and those with a label are also there by
 * it.
 */
type Figures = ReadonlyMap<string, number>;

function parse(text: string): Figures {
  const figures = new Map<string, number>();
  const add = (name: string, value: number) => figures.set(name, (figures.get(name) ?? 0) + value);
  for (const line of text.split("\n")) {
    const found = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (found === null) continue;
    const [, name = "", labels = "", value] = found;
    add(name, Number(value));
    for (const [, label, of] of labels.matchAll(/(\w+)="([^"]*)"/g))
      add(`${name} ${label}=${of}`, Number(value));
  }
  return figures;
}

async function scrape(port: number): Promise<Figures> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    expect.stringMatching(/^text\/plain; version=0\.0\.4/),
  ]);
  return parse(await response.text());
}

const secret = "the same on every node of the cluster";

describeWith("NATS", "metrics", () => {
  test("nodes of one and several threads export clients, rooms, presence, engine", async () => {
    const engine = await startNats();
    onTestFinished(() => engine.stop());
    const link = await TcpProxy.start(engine.port);
    onTestFinished(() => link.stop());
    const [port, otherPort] = [await freePort(), await freePort()];
    const common = { JWT_SECRET: secret, PRESENCE_DOWN_MS: "6000" };
    const first = await AppServer.start({
      ...common,
      CLUSTER_URL: `nats://127.0.0.1:${link.port}`,
      NODE_NAME: "n1",
      SHARDS: "2",
      METRICS_PORT: String(port),
    });
    onTestFinished(() => first.stop());
    const second = await AppServer.start({
      ...common,
      CLUSTER_URL: engine.url,
      NODE_NAME: "n2",
      SHARDS: "0",
      METRICS_PORT: String(otherPort),
      DATA_DIR: first.dataDir,
    });
    onTestFinished(() => second.stop());
    const seen = (what: string, check: (figures: Figures) => boolean, at = port): Promise<Figures> => {
      let last: Figures = new Map();
      return waitFor(what, async () => {
        last = await scrape(at);
        return check(last) ? last : undefined;
      }).catch((error: Error) => {
        throw new Error(`${error.message}\n${[...last].map((entry) => entry.join(" ")).join("\n")}`);
      });
    };

    const before = await seen("both know each other", (figures) => figures.get("simurgh_nodes") === 1);
    await seen("so does the other", (figures) => figures.get("simurgh_nodes") === 1, otherPort);
    // Main, storage and two shards; of the main thread no one but itself is asked.
    expect(before.get("simurgh_thread_up")).toBe(3);
    for (const thread of [0, 1, 2, 1000])
      expect(before.get(`simurgh_processes thread=${thread}`)).toBeGreaterThan(0);
    expect([...before.keys()]).toEqual(
      expect.arrayContaining(["nodejs_heap_size_used_bytes", "simurgh_event_loop_lag_seconds thread=2"]),
    );
    for (const idle of [
      "simurgh_connections",
      "simurgh_channels",
      "phoenixpair_rooms",
      "simurgh_limits_total",
    ])
      expect([idle, before.get(idle)]).toEqual([idle, 0]);

    const { token } = await first.signUp("Ann");
    const ann = new Participant(first, token, 1);
    const bob = new Participant(second, token, 1);
    onTestFinished(() => {
      ann.leave();
      bob.leave();
    });
    await Promise.all([ann.join(), bob.join()]);
    await ann.type("one");
    await waitFor("it is read on the other node", () =>
      bob.updates.some(({ response }) => response === "one"),
    );
    const during = await seen(
      "clients are seen",
      (figures) =>
        figures.get("simurgh_channels") === 1 &&
        figures.get("simurgh_presence_entries of=others") === 1 &&
        (figures.get("phoenixpair_edits_acknowledged_total") ?? 0) > 0,
    );
    expect(during.get("simurgh_connections")).toBe(1);
    expect(during.get("phoenixpair_rooms")).toBe(1);
    expect(during.get("simurgh_channels_joined_total result=ok")).toBe(1);
    expect(during.get("simurgh_presence_replicas status=up")).toBeGreaterThan(0);
    expect(during.get("simurgh_pubsub_broadcasts_total")).toBeGreaterThan(0);
    expect(during.get("simurgh_engine_sent_total")).toBeGreaterThan(
      before.get("simurgh_engine_sent_total") ?? 0,
    );
    expect(during.get("phoenixpair_log_commits_total")).toBeGreaterThan(0);
    expect(during.get("simurgh_engine_up")).toBe(2);
    const other = await scrape(otherPort);
    expect(other.get("simurgh_connections")).toBe(1);
    expect(other.get("simurgh_pubsub_from_others_total")).toBeGreaterThan(0);

    link.refuse(true);
    link.cut();
    const cutOff = await seen("the engine is away", (figures) => figures.get("simurgh_engine_up") === 0);
    expect(cutOff.get("simurgh_engine_reconnects_total")).toBe(0);
    await seen(
      "the other node is taken for gone",
      (figures) => figures.get("simurgh_presence_replicas status=down") === 2,
    );
    link.refuse(false);
    await seen(
      "all is well again",
      (figures) =>
        figures.get("simurgh_engine_up") === 2 &&
        figures.get("simurgh_engine_reconnects_total") === 2 &&
        figures.get("simurgh_presence_replicas status=down") === 0 &&
        figures.get("simurgh_presence_replica_changes_total event=replica_down") === 2,
    );
  });

  test("the public listener serves no metrics, and the port is closed by default", async () => {
    const port = await freePort();
    const server = await AppServer.start({ SHARDS: "0", METRICS_PORT: String(port) });
    onTestFinished(() => server.stop());
    // There, it is one of the pages.
    expect(await (await server.request("GET", "/metrics")).text()).not.toMatch(/simurgh_|process_cpu/);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${port}/metrics`, { method: "POST" })).status).toBe(404);
    expect((await scrape(port)).get("simurgh_connections")).toBe(0);
    expect((await server.end("SIGTERM")).code).toBe(0);
    const refused = await new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code));
      socket.on("connect", () => resolve("connected"));
    });
    expect(refused).toBe("ECONNREFUSED");
  });
});
