/** Two endpoints on one network: what clients of one see of what happens at the other. */
import { Endpoint, type EndpointOptions } from "simurgh/channels";
import type { MemoryNetwork } from "simurgh/pubsub";
import { receive } from "simurgh/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { networks } from "../fixtures/cluster.js";
import { RawClient, startServer, type TestServer } from "../support.js";

const clusterOf = (nodeName: string): Pick<EndpointOptions, "cluster"> => ({
  cluster: {
    adapter: { module: new URL("../fixtures/cluster.ts", import.meta.url), args: "channels" },
    nodeName,
  },
});
let a: TestServer;
let b: TestServer;
let network: MemoryNetwork;
beforeAll(async () => {
  const sockets = {
    "/socket": { module: new URL("../fixtures/socket.ts", import.meta.url), longpoll: { windowMs: 1000 } },
  };
  const secret = "a secret that both nodes have";
  a = await startServer({ ...clusterOf("a"), sockets, secret });
  b = await startServer({ ...clusterOf("b"), sockets, secret });
  network = networks.get("channels") as MemoryNetwork;
});
afterAll(async () => {
  await a.stop();
  await b.stop();
});

let topics = 0;
const fresh = (): string => {
  topics += 1;
  return `room:${topics}`;
};

async function joined(server: TestServer, topic: string, query = ""): Promise<RawClient> {
  const client = await RawClient.connect(server.url + query);
  client.send("1", "1", topic, "phx_join", { name: `at ${server === a ? "a" : "b"}` });
  await client.until(2);
  return client;
}

const event = (name: string) => (frame: readonly unknown[]) => frame[3] === name;

test("a broadcast reaches the clients of other nodes as the same frame (P-007, C-126)", async () => {
  const topic = fresh();
  const [one, two] = [await joined(a, topic), await joined(b, topic)];
  const payload = { text: 'ünï "quoted" \u2028', nested: { list: [1, null, 2.5, true] }, none: null };
  one.send("1", "2", topic, "shout", payload);
  const expected = [null, null, topic, "shout", payload];
  expect([await one.frame(event("shout")), await two.frame(event("shout"))]).toEqual([expected, expected]);
  for (const client of [one, two]) client.close();
});

test("a client of protocol 1.0.0 on another node gets its own frame of it", async () => {
  const topic = fresh();
  const one = await joined(a, topic);
  const old = await RawClient.connect(`ws://127.0.0.1:${b.port}/socket/websocket`);
  old.sendRaw(JSON.stringify({ topic, event: "phx_join", payload: {}, ref: "1" }));
  await old.until(2);
  one.send("1", "2", topic, "shout", { a: 1 });
  expect((await old.until(3))[2]).toEqual({ topic, event: "shout", payload: { a: 1 }, ref: null });
  for (const client of [one, old]) client.close();
});

test("a channel that intercepts gets the decoded payload on every node (P-018)", async () => {
  const topic = fresh();
  const [one, two] = [await joined(a, topic), await joined(b, topic)];
  one.send("1", "2", topic, "icept", { n: 1 });
  expect(await two.frame(event("icept"))).toEqual(["1", null, topic, "icept", { n: 1, via: "at b" }]);
  expect(await one.frame(event("icept"))).toEqual(["1", null, topic, "icept", { n: 1, via: "at a" }]);
  for (const client of [one, two]) client.close();
});

test("a process of another node gets the broadcast unchanged, bytes included", async () => {
  const topic = fresh();
  const got: unknown[] = [];
  await new Promise<void>((ready) => {
    b.node.spawn(async () => {
      await Endpoint.subscribe("endpoint", topic);
      ready();
      for (;;) got.push((await receive((message) => ({ message }))).message);
    });
  });
  const before = network.encoded;
  for (const payload of [{ deep: { n: 1 } }, new Uint8Array([1, 2, 3]), { bytes: new Uint8Array([4]) }])
    await a.run(() => Endpoint.broadcast("endpoint", topic, "e", payload));
  await expect.poll(() => got.length).toBe(3);
  expect(network.encoded - before).toBe(3);
  expect(got[0]).toEqual({ topic, event: "e", payload: { deep: { n: 1 } } });
  expect([...((got[1] as { payload: Uint8Array }).payload as Uint8Array)]).toEqual([1, 2, 3]);
  expect([...(got[2] as { payload: { bytes: Uint8Array } }).payload.bytes]).toEqual([4]);
});

test("disconnect by id closes the sockets of every node (C-138)", async () => {
  const [one, two, other] = [
    await joined(a, fresh(), "&user_id=7"),
    await joined(b, fresh(), "&user_id=7"),
    await joined(b, fresh(), "&user_id=8"),
  ];
  await a.run(() => Endpoint.disconnect("endpoint", "users:7"));
  expect([(await one.untilClosed()).code, (await two.untilClosed()).code]).toEqual([1001, 1001]);
  await other.settle();
  expect(other.closed).toBeUndefined();
  other.close();
});

test("health lists the nodes and says whether moving clients would help (P-733)", async () => {
  const health = (server: TestServer) => server.run(() => Endpoint.health("endpoint"));
  await expect.poll(async () => (await health(a)).nodes.map(({ name }) => name)).toEqual(["b"]);
  expect(await health(a)).toMatchObject({ node: "a", status: "up", ready: true, reason: undefined });
  network.up = false;
  expect(await health(a)).toMatchObject({ status: "down", ready: true });
  network.up = true;
  await expect.poll(async () => (await health(a)).status).toBe("up");
  const alone = await startServer();
  expect(await health(alone)).toEqual({
    node: undefined,
    status: "up",
    ready: true,
    reason: undefined,
    nodes: [],
    threads: {},
  });
  await alone.stop();
});

test("a long-poll session is reached through any node (C-167)", async () => {
  const topic = fresh();
  const ask = async (server: TestServer, method: string, token = "", body?: unknown) => {
    const url = `http://127.0.0.1:${server.port}/socket/longpoll?vsn=2.0.0&token=${token}`;
    const response = await fetch(url, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await response.json()) as { status: number; token: string; messages: string[] };
  };
  const { status, token } = await ask(a, "GET");
  expect(status).toBe(410);
  expect((await ask(b, "POST", token, ["1", "1", topic, "phx_join", { name: "far" }])).status).toBe(200);
  const frames: unknown[][] = [];
  const poll = async (server: TestServer): Promise<void> => {
    const answer = await ask(server, "GET", token);
    expect([200, 204]).toContain(answer.status);
    frames.push(...(answer.messages ?? []).map((text) => JSON.parse(text) as unknown[]));
  };
  while (!frames.some(event("welcome"))) await poll(b);
  const large = "x".repeat(200_000);
  for (const n of [1, 2, 3]) await b.run(() => Endpoint.broadcast("endpoint", topic, "large", { n, large }));
  while (frames.filter(event("large")).length < 3) await poll(b);
  expect(frames.filter(event("large")).map((frame) => (frame[4] as { n: number }).n)).toEqual([1, 2, 3]);
  expect((await ask(b, "POST", token, ["1", "2", topic, "shout", { n: 1 }])).status).toBe(200);
  while (!frames.some(event("shout"))) await poll(a);
  const forged = `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`;
  expect((await ask(b, "POST", forged, ["1", "3", topic, "shout", {}])).status).toBe(410);
  const unknown = await ask(b, "GET", "");
  expect(unknown.status).toBe(410);
});

test("without the engine the clients of a node still hear each other", async () => {
  const topic = fresh();
  const [one, two, far] = [await joined(a, topic), await joined(a, topic), await joined(b, topic)];
  network.up = false;
  one.send("1", "2", topic, "shout", { n: 1 });
  expect(await two.frame(event("shout"))).toEqual([null, null, topic, "shout", { n: 1 }]);
  network.up = true;
  one.send("1", "3", topic, "shout", { n: 2 });
  expect(await far.frame(event("shout"))).toEqual([null, null, topic, "shout", { n: 2 }]);
  for (const client of [one, two, far]) client.close();
});

test("what can never work is refused at the start, and says what to write", async () => {
  const refused = (cluster: unknown): Promise<string> =>
    startServer({ cluster: cluster as never }).then(
      () => "started",
      (error: Error) => error.message,
    );
  expect(await refused({ adapter: "rabbit", url: "x" })).toMatch(
    /must be \\"nats\\", \\"redis\\", \\"hub\\" or/,
  );
  expect(await refused({ adapter: "nats" })).toMatch(/cluster.url is missing: write nats:/);
  expect(await refused({ adapter: "nats", url: "nats://127.0.0.1", nodeName: "" })).toMatch(
    /a node name must be/,
  );
  expect(await refused({ adapter: "nats", url: "nats://127.0.0.1", prefix: "a.b" })).toMatch(
    /cluster.prefix must/,
  );
});
