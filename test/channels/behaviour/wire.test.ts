/** Frames that no client sends by itself, and what a server may not do on its own. */
import { once } from "node:events";
import { get } from "node:http";
import type { Socket } from "node:net";
import { Endpoint } from "simurgh/channels";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { RawClient, startServer, type TestServer } from "../support.js";

const fixture = (name: string): URL => new URL(`../../fixture/${name}.ts`, import.meta.url);
const mounts = {
  "/socket": { module: fixture("socket"), longpoll: { windowMs: 200 }, websocket: { timeout: 400 } },
};

/** A binary push of a client: kind, lengths, fields, payload. */
function binary(
  joinRef: string,
  ref: string,
  topic: string,
  event: string,
  payload: readonly number[] = [],
): Buffer {
  const fields = [joinRef, ref, topic, event].map((text) => Buffer.from(text));
  return Buffer.concat([
    Buffer.from([0, ...fields.map(({ length }) => length)]),
    ...fields,
    Buffer.from(payload),
  ]);
}

describe.each([0, 1])("the wire, with %i shards", (shards) => {
  let server: TestServer;
  let topics = 0;
  const fresh = (): string => {
    topics += 1;
    return `room:wire-${topics}`;
  };
  beforeAll(async () => {
    server = await startServer({
      shards,
      checkOrigin: false,
      secret: "a secret for both servers",
      sockets: mounts,
      shardTree: { module: fixture("presence") },
    });
  });
  afterAll(() => server.stop());
  const connect = (): Promise<RawClient> => RawClient.connect(server.url);
  const joined = async (topic: string, joinRef = "1"): Promise<RawClient> => {
    const client = await connect();
    client.send(joinRef, "1", topic, "phx_join", {});
    await client.until(1);
    return client;
  };

  test("a binary frame's lengths count UTF-8 bytes, and its payload is the rest (C-020)", async () => {
    const topic = `${fresh()}-größe`;
    const client = await joined(topic);
    client.sendRaw(binary("1", "2", topic, "bin", [9]));
    client.sendRaw(binary("1", "3", topic, "bin"));
    const frames = (await client.until(5)).slice(1) as Buffer[];
    const replies = frames.filter((frame) => frame[0] === 1);
    expect(replies.map((frame) => [...frame.subarray(-3)])).toEqual([
      [9, 3, 4],
      expect.arrayContaining([3, 4]),
    ]);
    const first = replies[0] as Buffer;
    const bytes = Buffer.byteLength(topic);
    expect([...first.subarray(0, 5)]).toEqual([1, 1, 1, bytes, 2]);
    expect(first.subarray(5, 5 + 2 + bytes + 2).toString()).toBe(`12${topic}ok`);
    client.close();
  });

  test("control events may be binary (C-030)", async () => {
    const topic = fresh();
    const client = await connect();
    client.sendRaw(binary("", "1", "phoenix", "heartbeat"));
    expect(await client.until(1)).toEqual([
      [null, "1", "phoenix", "phx_reply", { status: "ok", response: {} }],
    ]);
    client.sendRaw(binary("2", "2", topic, "phx_join", [1, 2, 3]));
    expect((await client.until(2))[1]).toEqual([
      "2",
      "2",
      topic,
      "phx_reply",
      { status: "ok", response: {} },
    ]);
    client.sendRaw(binary("2", "3", topic, "phx_leave"));
    expect((await client.until(4)).slice(2)).toEqual([
      ["2", "3", topic, "phx_reply", { status: "ok", response: {} }],
      ["2", "2", topic, "phx_close", {}],
    ]);
    client.close();
  });

  test("the runtime's event names are not special where it does not use them (C-032)", async () => {
    const topic = fresh();
    const client = await joined(topic);
    client.send("1", "2", topic, "heartbeat", {});
    // It went to the channel, which has no handler for it.
    expect(await client.frame((frame: unknown[]) => frame[3] === "phx_error")).toEqual([
      "1",
      "1",
      topic,
      "phx_error",
      { reason: "channel_crash", code: "channel_crash" },
    ]);
    client.close();
  });

  test("any other event on the topic phoenix is routed like every other (C-034)", async () => {
    const client = await connect();
    client.send(null, "1", "phoenix", "other", {});
    client.send("2", "2", "phoenix", "phx_join", {});
    client.send(null, "3", "phoenix", "heartbeat", {});
    expect(await client.until(3)).toEqual([
      [
        null,
        "1",
        "phoenix",
        "phx_reply",
        { status: "error", response: { reason: "unmatched topic", code: "unmatched_topic" } },
      ],
      [
        null,
        "2",
        "phoenix",
        "phx_reply",
        { status: "error", response: { reason: "unmatched topic", code: "unmatched_topic" } },
      ],
      [null, "3", "phoenix", "phx_reply", { status: "ok", response: {} }],
    ]);
    client.close();
  });

  test("the server sends nothing unasked, and silence is closed with 1002 (C-035, C-094)", async () => {
    const client = await connect();
    let pings = 0;
    client.ws.on("ping", () => {
      pings += 1;
    });
    const lively = await connect();
    const beat = setInterval(() => lively.send(null, null, "no one", "x", {}), 50);
    expect((await client.untilClosed(3000)).code).toBe(1002);
    expect([pings, client.frames]).toEqual([0, []]);
    expect(lively.closed).toBeUndefined();
    clearInterval(beat);
    lively.close();
  });

  test("close codes: 1001 for a disconnect, 1011 for a broken frame, 1000 by request (C-094)", async () => {
    const broken = await connect();
    broken.sendRaw("not a frame");
    expect((await broken.untilClosed()).code).toBe(1011);
    const sent_away = await RawClient.connect(`${server.url}&user_id=away`);
    await server.run(() => Endpoint.disconnect("endpoint", "users:away"));
    expect((await sent_away.untilClosed()).code).toBe(1001);
    const done = await connect();
    done.ws.close(1000);
    expect((await done.untilClosed()).code).toBe(1000);
  });

  test("the join_ref may be any text, or none: then the channel uses the join's ref (C-040, C-044)", async () => {
    const [with_ref, without] = [fresh(), fresh()];
    const client = await connect();
    client.send("11", "1", with_ref, "phx_join", {});
    client.send(null, "7", without, "phx_join", {});
    expect((await client.until(2)).toSorted()).toEqual(
      [
        ["11", "1", with_ref, "phx_reply", { status: "ok", response: {} }],
        [null, "7", without, "phx_reply", { status: "ok", response: {} }],
      ].toSorted(),
    );
    client.send("11", "2", with_ref, "echo", { a: 1 });
    client.send(null, "8", without, "echo", { a: 2 });
    await client.until(4);
    expect(client.frames).toContainEqual([
      "11",
      "2",
      with_ref,
      "phx_reply",
      { status: "ok", response: { a: 1 } },
    ]);
    expect(client.frames).toContainEqual([
      "7",
      "8",
      without,
      "phx_reply",
      { status: "ok", response: { a: 2 } },
    ]);
    client.close();
  });

  // ---------------------------------------------------------------- long-poll

  interface Answer {
    readonly status: number;
    readonly token: string;
    readonly messages?: readonly string[];
  }
  const url = (port: number, token = ""): string =>
    `http://127.0.0.1:${port}/socket/longpoll?vsn=2.0.0&token=${token}`;
  const poll = async (token = "", port = server.port): Promise<Answer> =>
    (await fetch(url(port, token))).json() as Promise<Answer>;
  const publish = async (token: string, frame: unknown, port = server.port): Promise<Answer> =>
    (
      await fetch(url(port, token), { method: "POST", body: JSON.stringify(frame) })
    ).json() as Promise<Answer>;
  const frames = ({ messages = [] }: Answer): unknown[] => messages.map((message) => JSON.parse(message));

  test("a POST is 200 also when its reply, seen by a poll, is an error (C-154)", async () => {
    const { token } = await poll();
    expect(await publish(token, ["1", "1", "priv:1", "phx_join", {}])).toEqual({ status: 200 });
    expect(await publish(token, ["1", "2", "no one:1", "x", {}])).toEqual({ status: 200 });
    const notified: unknown[] = [];
    while (notified.length < 2) notified.push(...frames(await poll(token)));
    expect(notified).toContainEqual([
      "1",
      "1",
      "priv:1",
      "phx_reply",
      { status: "error", response: { reason: "unauthorized" } },
    ]);
    expect(notified).toContainEqual([
      null,
      "2",
      "no one:1",
      "phx_reply",
      { status: "error", response: { reason: "unmatched topic", code: "unmatched_topic" } },
    ]);
  });

  test("gathered frames are sent together, and wake a waiting poll (C-161, C-144)", async () => {
    const topic = fresh();
    const { token } = await poll();
    await publish(token, ["1", "1", topic, "phx_join", {}]);
    for (let n = 0; n < 5; n += 1) await publish(token, ["1", `${n}`, topic, "echo", { n }]);
    const notified: unknown[] = [];
    while (notified.length < 6) notified.push(...frames(await poll(token)));
    expect(notified).toHaveLength(6);
    const waiting = poll(token);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const from = performance.now();
    await server.run(() => Endpoint.broadcast("endpoint", topic, "woken", {}));
    expect(frames(await waiting)).toEqual([[null, null, topic, "woken", {}]]);
    // Long before the window of 200 ms would have ended.
    expect(performance.now() - from).toBeLessThan(170);
  });

  test("frames of a poll whose client has vanished are lost, later ones are not (C-160)", async () => {
    const topic = fresh();
    const { token } = await poll();
    await publish(token, ["1", "1", topic, "phx_join", {}]);
    const notified: unknown[] = [];
    while (notified.length < 1) notified.push(...frames(await poll(token)));
    const vanishing = get(url(server.port, token), { agent: false }).on("error", () => {});
    await once(vanishing, "finish");
    const { localPort } = vanishing.socket as Socket;
    await vi.waitFor(() => expect(server.clientPorts()).toContain(localPort), 5000);
    vanishing.destroy();
    await vi.waitFor(() => expect(server.clientPorts()).not.toContain(localPort), 5000);
    await server.run(() => Endpoint.broadcast("endpoint", topic, "later", {}));
    const after: unknown[] = [];
    for (let n = 0; n < 3 && after.length === 0; n += 1) after.push(...frames(await poll(token)));
    expect(after).toEqual([[null, null, topic, "later", {}]]);
  });

  test("a session of a foreign server is unknown: POST is 410, GET begins again (C-167)", async () => {
    const other = await startServer({
      checkOrigin: false,
      secret: "a secret for both servers",
      sockets: mounts,
      shardTree: { module: fixture("presence") },
    });
    const { token } = await poll();
    expect(await publish(token, ["1", "1", fresh(), "phx_join", {}], other.port)).toEqual({ status: 410 });
    const again = await poll(token, other.port);
    expect(again.status).toBe(410);
    expect(again.token).not.toBe(token);
    await other.stop();
  });
});
