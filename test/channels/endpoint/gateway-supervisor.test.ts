/**
 * Several gateway threads behind one port. The kernel decides who gets a connection, so each test
 * opens enough of them to have some at either.
 */
import { Agent, createServer, request } from "node:http";
import { Debug, Endpoint, type EndpointOptions } from "simurgh/channels";
import { exit, GenServer, type Pid, whereis } from "simurgh/runtime";
import { afterEach, expect, test, vi } from "vitest";
import { threadName } from "#runtime";
import { RawClient, startServer, type TestServer } from "../support.js";

let server: TestServer;
afterEach(() => server?.stop());

const module = new URL("../fixtures/socket.ts", import.meta.url);
const start = async (options: Partial<EndpointOptions> = {}): Promise<void> => {
  server = await startServer({ gateways: 2, shards: 1, ...options });
};
const info = () => server.run(() => Endpoint.info("endpoint"));

interface Placed {
  readonly client: RawClient;
  /** Node index of the gateway that has the connection. */
  readonly gateway: number;
}

/** Connects until each gateway has `each` connections, and says which are whose. */
async function clients(each: number): Promise<Placed[]> {
  const placed: Placed[] = [];
  const at = (gateway: number): number => placed.filter((other) => other.gateway === gateway).length;
  const name = Math.random();
  while (at(1001) < each || at(1002) < each) {
    if (placed.length > 100) throw new Error("one gateway gets no connections");
    const id = `users:${name}.${placed.length}`;
    const client = await RawClient.connect(`${server.url}&user_id=${name}.${placed.length}`);
    const sockets = await server.run(() => Debug.listSockets("endpoint"));
    const { pid } = sockets.find((socket) => socket.id === id) as { pid: Pid };
    placed.push({ client, gateway: pid.node });
  }
  return placed;
}

const join = async ({ client }: Placed, topic: string, joinRef = "1"): Promise<void> => {
  client.send(joinRef, joinRef, topic, "phx_join", {});
  await client.frame(
    (frame: unknown[]) => frame[0] === joinRef && frame[2] === topic && frame[3] === "welcome",
  );
};

const of = (placed: readonly Placed[], gateway: number): Placed[] =>
  placed.filter((other) => other.gateway === gateway);

const killThread = (index: number): Promise<void> =>
  server.run(() => void exit(whereis(threadName(index)) as Pid, "kill"));

/** An answer over a connection of its own, which may come from either gateway. */
const get = (path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const agent = new Agent({ keepAlive: false });
    request({ port: server.port, host: "127.0.0.1", path, agent }, (response) => {
      let body = "";
      response.on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () => resolve(body));
    })
      .on("error", reject)
      .end();
  });

test("both accept connections on one port, and are counted as one endpoint", async () => {
  await start();
  const placed = await clients(3);
  for (const one of placed) await join(one, "room:1");
  placed[0]?.client.send("1", "2", "room:1", "shout", {});
  for (const { client } of placed) await client.frame((frame: unknown[]) => frame[3] === "shout");
  // A lane at each.
  expect(await info()).toEqual({ gateways: 2, connections: placed.length, lanes: 2, draining: false });
  expect(await server.run(() => Endpoint.address("endpoint"))).toEqual({
    host: "127.0.0.1",
    port: server.port,
  });
});

test("each answers plain requests with a server of its own, made by the module", async () => {
  const http = { module: new URL("../fixtures/http.ts", import.meta.url), export: "which" };
  await start({ server: http, listen: { port: 0, host: "127.0.0.1" } });
  const answers = new Set<string>();
  await vi.waitFor(async () => {
    answers.add(await get("/"));
    expect([...answers].sort()).toEqual(["1001", "1002"]);
  }, 10_000);
});

test("a broadcast reaches the clients of both gateways, in one order (C-123, C-126)", async () => {
  await start();
  const placed = await clients(3);
  for (const one of placed) await join(one, "room:1");
  const [sender, ...others] = placed as [Placed, ...Placed[]];
  for (let n = 0; n < 50; n += 1)
    sender.client.send("1", `${n}`, "room:1", n % 2 ? "shout" : "shout_from", { n });
  const received = async ({ client }: Placed): Promise<unknown[]> => {
    await client.frame(
      ([, , , event, { n }]: [0, 0, 0, string, { n: number }]) => event === "shout" && n === 49,
    );
    return client.frames
      .filter((frame) => (frame as unknown[])[3] === "shout")
      .map((frame) => ((frame as unknown[])[4] as { n: number }).n);
  };
  const all = Array.from({ length: 50 }, (_, n) => n);
  for (const one of others) expect(await received(one)).toEqual(all);
  expect(await received(sender)).toEqual(all.filter((n) => n % 2));
});

test("disconnect by id closes the connections of that id at both (C-138)", async () => {
  await start();
  const placed = await clients(2);
  const same: RawClient[] = [];
  const nodes = async (): Promise<Set<number>> => {
    const sockets = await server.run(() => Debug.listSockets("endpoint"));
    return new Set(sockets.filter(({ id }) => id === "users:same").map(({ pid }) => pid.node));
  };
  while ((await nodes()).size < 2) same.push(await RawClient.connect(`${server.url}&user_id=same`));
  await server.run(() => Endpoint.disconnect("endpoint", "users:same"));
  for (const client of same) expect((await client.untilClosed()).code).toBe(1001);
  for (const { client } of placed) await client.settle();
  expect((await info()).connections).toBe(placed.length);
});

test("when a shard dies, clients of both gateways get phx_error and join again", async () => {
  await start();
  const placed = await clients(2);
  for (const one of placed) await join(one, "room:1");
  await killThread(1);
  for (const { client } of placed) await client.frame((frame: unknown[]) => frame[3] === "phx_error");
  for (const one of placed)
    await vi.waitFor(async () => {
      const ref = `again${Math.random()}`;
      one.client.send(ref, ref, "room:1", "phx_join", {});
      const [, , , , { status }] = (await one.client.frame(
        (frame: unknown[]) => frame[1] === ref,
      )) as never as [0, 0, 0, 0, { status: string }];
      expect(status).toBe("ok");
    }, 10_000);
  expect(placed.map(({ client }) => client.closed)).toEqual(placed.map(() => undefined));
});

test.each<[how: string, end: (victim: Placed) => unknown]>([
  ["is killed", () => killThread(1001)],
  ["is in an endless loop, in connect", () => hang()],
])(
  "a gateway %s: its own connections end, those of the other do not notice, and it comes back",
  async (_how, end) => {
    await start({ stallMs: 1000 });
    const placed = await clients(2);
    for (const one of placed) await join(one, "room:1");
    const sockets = () => server.run(() => Debug.listSockets("endpoint"));
    const before = await sockets();
    await end(placed[0] as Placed);
    expect((await sockets()).length).toBeLessThanOrEqual(before.length);
    const lost = await vi.waitFor(() => {
      const gone = [1001, 1002].find((gateway) => of(placed, gateway).every(({ client }) => client.closed));
      expect(gone).toBeDefined();
      return gone as number;
    }, 15_000);
    const kept = of(placed, lost === 1001 ? 1002 : 1001);
    expect(of(placed, lost).map(({ client }) => client.closed?.code)).toEqual(
      of(placed, lost).map(() => 1006),
    );
    // The channels of the lost connections end with them: the lanes of the dead gateway are given
    // up.
    for (const { client } of kept) client.send("1", "9", "room:1", "shout", { after: true });
    for (const { client } of kept) {
      await client.frame((frame: unknown[]) => frame[3] === "shout");
      expect(client.closed).toBeUndefined();
      expect(client.frames.some((frame) => (frame as unknown[])[3] === "phx_error")).toBe(false);
    }
    await vi.waitFor(async () => expect((await info()).gateways).toBe(2), 10_000);
    const fresh = await clients(1);
    await join(of(fresh, lost)[0] as Placed, "room:1");
    expect((await sockets()).length).toBe(before.length - of(placed, lost).length + fresh.length);
  },
);

/** Keeps whichever gateway it comes to busy forever. */
async function hang(): Promise<void> {
  RawClient.connect(`${server.url}&spin=true`).catch(() => {});
}

test("a drain closes the clients of both gateways with 1012 at once (C-137, C-212)", async () => {
  await start();
  const placed = await clients(2);
  const count = server.run(() => Endpoint.drain("endpoint", { shutdownMs: 5000 }));
  for (const { client } of placed) expect((await client.untilClosed()).code).toBe(1012);
  expect(await count).toBe(placed.length);
  expect(await info()).toMatchObject({ connections: 0, draining: true, gateways: 2 });
  for (let n = 0; n < 10; n += 1) await expect(RawClient.connect(server.url)).rejects.toThrow("503");
});

test("a stop sends the clients of both away with 1012 and gives the port back", async () => {
  await start();
  const placed = await clients(2);
  await server.stop();
  for (const { client } of placed) expect((await client.untilClosed()).code).toBe(1012);
  const next = createServer();
  await new Promise<void>((resolve, reject) => {
    next.once("error", reject);
    next.listen(server.port, "127.0.0.1", resolve);
  });
  next.close();
});

test("does not start on a port that is in use, also not one whose users would share it", async () => {
  await start();
  const listen = { port: server.port, host: "127.0.0.1" };
  await expect(startServer({ gateways: 2, sockets: { "/s": { module } }, listen })).rejects.toThrow(
    "EADDRINUSE",
  );
});

test("a long-poll session is reached through either gateway (C-167)", async () => {
  await start({ sockets: { "/socket": { module, longpoll: { windowMs: 300 } } } });
  const path = "/socket/longpoll?vsn=2.0.0";
  const { token } = JSON.parse(await get(path)) as { token: string };
  // Each request comes by a connection of its own: twenty of them do not all come to the same
  // gateway.
  for (let n = 0; n < 20; n += 1)
    expect(JSON.parse(await get(`${path}&token=${token}`))).toEqual({ status: 204, token, messages: [] });
  await killThread(1001);
  await killThread(1002);
  await vi.waitFor(async () => {
    const again = JSON.parse(await get(`${path}&token=${token}`)) as { status: number; token: string };
    expect(again.status).toBe(410);
    expect(again.token).not.toBe(token);
  }, 10_000);
});

test("a PubSub that restarts in a gateway knows the present owners", async () => {
  await start({ sockets: { "/socket": { module, messageRate: false } } });
  expect(await server.run(() => Endpoint.reshard("endpoint", 3))).toBe("ok");
  const placed = await clients(1);
  const [first] = of(placed, 1001) as [Placed];
  await server.run(() => GenServer.stop({ name: "endpoint.pubsub", node: 1001 }, "restarted"));
  // What came after it in that thread is restarted with it.
  await first.client.untilClosed();
  for (const one of await clients(1))
    for (let n = 0; n < 12; n += 1) {
      await join(one, `room:after ${n}`, `${n}`);
      one.client.send(`${n}`, `e${n}`, `room:after ${n}`, "echo", { n });
      await one.client.frame((frame: unknown[]) => frame[1] === `e${n}`);
    }
});
