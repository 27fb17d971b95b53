import { once } from "node:events";
import { stat } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";
import fc from "fast-check";
import { type Hub, hubAdapter, PubSub, startHub } from "simurgh/pubsub";
import { createNode, type RuntimeNode, receive } from "simurgh/runtime";
import { afterEach, expect, test } from "vitest";
import {
  type HubFrame,
  HubFrames,
  hubFrame,
  Kind,
} from "../../../../src/pubsub/cluster/engines/hub-frames.js";

let hub: Hub | undefined;
const nodes: RuntimeNode[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
  for (const socket of sockets.splice(0)) socket.destroy();
  await hub?.close();
  hub = undefined;
});

async function start(nodeName: string, path = hub?.path ?? ""): Promise<RuntimeNode> {
  const node = createNode({ onReport() {} });
  nodes.push(node);
  const started = await node.run(() =>
    PubSub.startLink({ name: "p", adapter: hubAdapter({ path, nodeName }) }),
  );
  if (started[0] !== "ok") throw started[1];
  return node;
}

async function listen(node: RuntimeNode): Promise<unknown[]> {
  const got: unknown[] = [];
  await new Promise<void>((ready) => {
    node.spawn(async () => {
      await PubSub.subscribe("p", "t");
      ready();
      for (;;) got.push((await receive((message) => ({ message }))).message);
    });
  });
  return got;
}

async function stranger(): Promise<Socket> {
  const socket = connect((hub as Hub).path);
  sockets.push(socket);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

test.each<[what: string, bytes: Buffer]>([
  ["noise", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ["a frame shorter than its head", Buffer.from([0, 0, 0, 3, 1, 0])],
  ["a frame that would never end", Buffer.from([0x7f, 0, 0, 0, 1, 0])],
  ["a frame of no kind", hubFrame(99, "b.1")],
  ["a frame that only the hub sends", hubFrame(Kind.message, "b.1")],
])("who sends %s is cut off, and no one else notices", async (_what, bytes) => {
  hub = await startHub();
  const [a, b] = [await start("a"), await start("b")];
  const got = await listen(b);
  const socket = await stranger();
  socket.resume().write(bytes);
  await once(socket, "close");
  await a.run(() => PubSub.broadcast("p", "t", "still here"));
  await expect.poll(() => got, { timeout: 10_000 }).toEqual(["still here"]);
});

test("who listens to more channels than there can be is cut off", async () => {
  hub = await startHub();
  const socket = await stranger();
  for (let n = 0; n < 1100; n += 1) socket.write(hubFrame(Kind.listen, `b.${n}`));
  socket.resume();
  await once(socket, "close");
});

test("a client that does not read is disconnected and delays no other", async () => {
  hub = await startHub({ maxUnreadBytes: 1024 * 1024 });
  const [a, b] = [await start("a"), await start("b")];
  const got = await listen(b);
  const slow = await stranger();
  slow.pause();
  for (let slot = 0; slot < 256; slot += 1) slow.write(hubFrame(Kind.listen, `b.${slot}`));
  slow.write(hubFrame(Kind.flush, "", Buffer.alloc(4)));
  await once(slow, "readable");
  let cut = false;
  slow.on("close", () => {
    cut = true;
  });
  const text = "x".repeat(100_000);
  for (let n = 0; n < 100; n += 1) await a.run(() => PubSub.broadcast("p", "t", text));
  await expect.poll(() => got.length, { timeout: 10_000 }).toBe(100);
  slow.on("data", () => {});
  await expect.poll(() => cut, { timeout: 10_000 }).toBe(true);
});

test("its file is in a folder of its user's own, and gone when it is closed", async () => {
  hub = await startHub();
  const folder = dirname(hub.path);
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  await hub.close();
  hub = undefined;
  await expect(stat(folder)).rejects.toThrow("ENOENT");
});

test("where there is none, the start says so", async () => {
  await expect(start("a", "/nonexistent/hub")).rejects.toThrow(
    "the hub at /nonexistent/hub cannot be reached (ENOENT); startHub() starts one",
  );
  await expect(start("a", "")).rejects.toThrow("the hub needs a path: the one that startHub() gave");
});

test("frames are found however they are cut", () => {
  const frame = fc.record({
    kind: fc.integer({ min: 1, max: 7 }),
    channel: fc.stringMatching(/^[a-z0-9.]{0,40}$/),
    bytes: fc.uint8Array({ maxLength: 300 }),
  });
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 10 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 50 })),
      (frames, cuts) => {
        const all = Buffer.concat(frames.map(({ kind, channel, bytes }) => hubFrame(kind, channel, bytes)));
        const reader = new HubFrames();
        const found: HubFrame[] = [];
        for (let at = 0; at < all.length; ) {
          const { value: size } = cuts.next();
          expect(reader.read(all.subarray(at, at + size), (one) => void found.push(one))).toBe(true);
          at += size;
        }
        expect(found.map(({ bytes, ...rest }) => ({ ...rest, bytes: [...bytes] }))).toEqual(
          frames.map(({ bytes, ...rest }) => ({ ...rest, bytes: [...bytes] })),
        );
      },
    ),
  );
});
