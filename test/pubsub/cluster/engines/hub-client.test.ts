import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { hubEngine } from "../../../../src/pubsub/cluster/engines/hub-client.js";
import {
  type HubFrame,
  HubFrames,
  hubFrame,
  Kind,
} from "../../../../src/pubsub/cluster/engines/hub-frames.js";

let folder: string;
let hub: Server;
let socket: Socket | undefined;
/** What the link has sent to a hub that answers nothing by itself. */
let frames: HubFrame[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "hub-"));
  frames = [];
  hub = createServer((accepted) => {
    socket = accepted;
    const reader = new HubFrames();
    accepted.on("data", (chunk) => void reader.read(chunk, (frame) => void frames.push(frame)));
    accepted.on("error", () => {});
  });
  await new Promise<void>((resolve) => hub.listen(join(folder, "hub"), resolve));
});
afterEach(async () => {
  socket?.destroy();
  await new Promise((resolve) => hub.close(resolve));
  await rm(folder, { recursive: true });
});

const sent = (kind: number): readonly HubFrame[] => frames.filter((frame) => frame.kind === kind);

test("a channel that is asked for before the hub has answered is listened to", async () => {
  const events = { up: vi.fn(), down() {}, warning() {} };
  const link = await hubEngine({ path: join(folder, "hub") })(events, { connectLazily: true });
  await expect.poll(() => sent(Kind.flush).length).toBe(1);
  const got: string[] = [];
  const listening = link.subscribe("b.1", (bytes) => void got.push(Buffer.from(bytes).toString()));
  await expect.poll(() => sent(Kind.listen).map(({ channel }) => channel)).toEqual(["b.1"]);
  await expect.poll(() => sent(Kind.flush).length).toBe(2);
  for (const { bytes } of sent(Kind.flush)) socket?.write(hubFrame(Kind.flushed, "", bytes));
  await listening;
  await expect.poll(() => events.up).toHaveBeenCalledOnce();
  socket?.write(hubFrame(Kind.message, "b.1", Buffer.from("hello")));
  await expect.poll(() => got).toEqual(["hello"]);
  // It would wait for an answer.
  socket?.destroy();
  await link.close();
});
