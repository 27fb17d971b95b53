/** Presence as channels and their clients have it: over real connections. */
import { Presence as PhoenixPresence } from "phoenix";
import { Endpoint } from "simurgh/channels";
import type { PresenceDiff } from "simurgh/presence";
import { receive } from "simurgh/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RawClient, startServer, type TestServer } from "../support.js";

const fixture = (name: string): URL => new URL(`../../fixture/${name}.ts`, import.meta.url);

type PresenceFrame = readonly [string | null, string | null, string, string, never];

/** What the official client holds after these frames. */
function held(frames: readonly unknown[]): string[] {
  let onState: (state: never) => void = () => {};
  let onDiff: (diff: never) => void = () => {};
  const presence = new PhoenixPresence({
    on: (event: string, handler: (payload: never) => void) => {
      if (event === "presence_state") onState = handler;
      else onDiff = handler;
    },
    joinRef: () => "1",
  } as never);
  for (const [, , , event, payload] of frames as PresenceFrame[]) {
    if (event === "presence_state") onState(payload);
    if (event === "presence_diff") onDiff(payload);
  }
  return (presence.list((key) => key) as string[]).sort();
}

describe.each([0, 1])("presence with %i shards", (shards) => {
  let server: TestServer;
  let topics = 0;
  const fresh = (): string => {
    topics += 1;
    return `presence:${topics}`;
  };
  beforeAll(async () => {
    server = await startServer({
      shards,
      checkOrigin: false,
      sockets: { "/socket": { module: fixture("socket"), messageRate: false, joinRate: false } },
      shardTree: { module: fixture("presence") },
    } as never);
  });
  afterAll(() => server.stop());

  const enter = async (topic: string, user: string): Promise<RawClient> => {
    const client = await RawClient.connect(server.url);
    client.send("1", "1", topic, "phx_join", { user_id: user });
    await client.frame((frame) => frame[3] === "presence_state");
    return client;
  };

  test("a leave, a crash and a lost connection take the presence away, with no untrack (P-202, P-050)", async () => {
    const topic = fresh();
    const watcher = await enter(topic, "watcher");
    for (const end of ["phx_leave", "boom", "terminate"]) {
      const client = await enter(topic, end);
      await watcher.frame((frame) => end in ((frame[4] as PresenceDiff).joins ?? {}));
      if (end === "terminate") client.ws.terminate();
      else client.send("1", "9", topic, end, {});
      await watcher.frame((frame) => end in ((frame[4] as PresenceDiff).leaves ?? {}));
      client.close();
    }
    expect(held(watcher.frames)).toEqual(["watcher"]);
    watcher.close();
  });

  test("the channel pushes the state after each join, before or after its diff (P-212, P-213)", async () => {
    const topic = fresh();
    const ann = await enter(topic, "ann");
    ann.send("1", "2", topic, "phx_leave", {});
    await ann.frame((frame) => frame[3] === "phx_close");
    ann.frames.length = 0;
    ann.send("1", "3", topic, "phx_join", { user_id: "ann" });
    const bob = await enter(topic, "bob");
    await ann.frame((frame) => "bob" in ((frame[4] as PresenceDiff).joins ?? {}));
    expect(ann.frames.filter((frame) => (frame as PresenceFrame)[3] === "presence_state")).toHaveLength(1);
    expect([held(ann.frames), held(bob.frames)]).toEqual([
      ["ann", "bob"],
      ["ann", "bob"],
    ]);
    // A room without presence is notified nothing of it.
    const plain = await RawClient.connect(server.url);
    plain.send("1", "1", `room:${topic}`, "phx_join", {});
    plain.send("1", "2", `room:${topic}`, "echo", {});
    expect((await plain.until(2)).map((frame) => (frame as PresenceFrame)[3])).toEqual([
      "phx_reply",
      "phx_reply",
    ]);
    for (const client of [ann, bob, plain]) client.close();
  });

  test("three hundred joins at once cost few frames, and each client ends complete (P-300, P-301)", async () => {
    const topic = fresh();
    const clients = await Promise.all(Array.from({ length: 300 }, () => RawClient.connect(server.url)));
    for (const [n, client] of clients.entries())
      client.send("1", "1", topic, "phx_join", { user_id: `u${n}` });
    await expect
      .poll(() => clients.every(({ frames }) => held(frames).length === 300), {
        timeout: 15_000,
        interval: 250,
      })
      .toBe(true);
    const frames = clients.reduce((sum, client) => sum + client.frames.length, 0);
    // One diff to each for every join would be 45,000 frames.
    expect(frames).toBeLessThan(12_000);
    for (const client of clients) client.close();
  });
});

test("a broadcast is encoded once per protocol, intercepted ones included (P-018)", async () => {
  const server = await startServer({
    checkOrigin: false,
    sockets: { "/socket": { module: fixture("socket") } },
    shardTree: { module: fixture("presence") },
  });
  const topic = "room:mixed";
  const v2 = [await RawClient.connect(server.url), await RawClient.connect(server.url)];
  for (const client of v2) client.send("1", "1", topic, "phx_join", {});
  const v1 = await RawClient.connect(`ws://127.0.0.1:${server.port}/socket/websocket`);
  v1.sendRaw(JSON.stringify({ topic, event: "phx_join", payload: {}, ref: "1" }));
  for (const client of [...v2, v1]) await client.until(1);
  let encoded = 0;
  const payload = {
    toJSON() {
      encoded += 1;
      return { n: 1 };
    },
  };
  const got: unknown[] = [];
  await server.run(async () => {
    await Endpoint.subscribe("endpoint", topic);
    Endpoint.broadcast("endpoint", topic, "news", payload);
    Endpoint.broadcast("endpoint", topic, "icept", { n: 2 });
    for (let n = 0; n < 2; n += 1) got.push(await receive((message) => message as unknown));
  });
  for (const client of v2)
    expect((await client.until(3)).slice(1)).toEqual([
      [null, null, topic, "news", { n: 1 }],
      ["1", null, topic, "icept", { n: 2, via: "websocket" }],
    ]);
  expect((await v1.until(3)).slice(1)).toMatchObject([
    { event: "news" },
    { event: "icept", payload: { via: "websocket" } },
  ]);
  expect(got).toMatchObject([
    { topic, event: "news" },
    { topic, event: "icept" },
  ]);
  expect(encoded).toBe(2);
  (v2[0] as RawClient).send("1", "2", topic, "shout_from", { n: 3 });
  await (v2[1] as RawClient).frame((frame) => (frame as unknown[])[3] === "shout");
  expect(((await (v2[0] as RawClient).settle()) as PresenceFrame[]).map((frame) => frame[3])).not.toContain(
    "shout",
  );
  for (const client of [...v2, v1]) client.close();
  await server.stop();
});
