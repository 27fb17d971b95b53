/** The wall clock of a server is set back by an hour while people work. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as Y from "yjs";
import { type Account, AppServer } from "../support/app-server.js";
import { answer, openSocket } from "../support/phoenix-client.js";

const PRELOAD = new URL("../support/fixtures/wall-clock.mjs", import.meta.url).href;
let folder: string;
let server: AppServer;
let ann: Account;
const setTo = (offset: number): Promise<void> => writeFile(join(folder, "offset"), String(offset));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wall-clock-"));
  await setTo(0);
  server = await AppServer.start({
    SHARDS: "1",
    NODE_OPTIONS: `--import ${PRELOAD}`,
    WALL_CLOCK_FILE: join(folder, "offset"),
  });
  ann = await server.signUp("Ann");
});
afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

test("chat, sync, edits and new clients continue after the clock was set back", async () => {
  const socket = openSocket(server.port, { token: ann.token });
  const channel = socket.channel("challenges:1", { proto: "y1", client: 1, bytes: "base64" });
  await answer(channel.join());
  const push = <T>(event: string, payload: object): Promise<T> => answer<T>(channel.push(event, payload));
  const sync = (): Promise<unknown> =>
    push("y:sync", { b64: Buffer.from(Y.encodeStateVector(new Y.Doc())).toString("base64") });
  const work = async (key: string): Promise<void> => {
    expect(await push("chat:send", { text: "hello", key })).toMatchObject({ id: expect.any(Number) });
    await sync();
  };
  await work("before");
  await setTo(-3_600_000);
  await work("after");
  socket.disconnect();
  await setTo(0);
});
