/**
 * Several processes behind `node:cluster`, on any Node: one port, one set of rooms, joined by a
 * hub.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RawClient } from "../channels/support.js";
import { waitFor } from "../support/wait.js";

const MAIN = fileURLToPath(new URL("../support/fixtures/processes-main.ts", import.meta.url));

let main: ChildProcess;
let output = "";
let errors = "";
const ready = (): { readonly pid: number; readonly port: number }[] =>
  output
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));

beforeAll(async () => {
  main = spawn(process.execPath, [...process.execArgv, MAIN], { stdio: ["ignore", "pipe", "pipe"] });
  main.stdout?.on("data", (data) => (output += data));
  main.stderr?.on("data", (data) => (errors += data));
  await waitFor(
    "both processes are ready",
    () => (main.exitCode === null ? ready().length === 2 : Promise.reject(new Error(errors))),
    90_000,
  );
});
afterAll(async () => {
  main.kill("SIGTERM");
  if (main.exitCode === null) await once(main, "exit");
});

interface Person {
  readonly name: string;
  readonly client: RawClient;
  /** Of the process that has the connection and the channel. */
  readonly process: number;
}

let people = 0;

async function enter(topic: string): Promise<Person> {
  people += 1;
  const name = `person ${people}`;
  const port = ready()[0]?.port;
  const client = await RawClient.connect(
    `ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0&user=${encodeURIComponent(name)}`,
  );
  client.send("1", "1", topic, "phx_join", {});
  const joined = (await client.frame((frame: unknown[]) => frame[3] === "phx_reply")) as never as [
    0,
    0,
    0,
    0,
    { response: { process: number } },
  ];
  return { name, client, process: joined[4].response.process };
}

/** Enters until there is someone in each of two processes. */
async function enterBoth(topic: string): Promise<[Person, Person]> {
  const first = await enter(topic);
  for (let tries = 0; tries < 50; tries += 1) {
    const second = await enter(topic);
    if (second.process !== first.process) return [first, second];
    second.client.close();
  }
  throw new Error("one process gets all connections");
}

const receives = ({ client }: Person, event: string, match: (payload: never) => boolean = () => true) =>
  client.frame((frame: unknown[]) => frame[3] === event && match(frame[4] as never), 60_000);

/** Who a client knows to be there, from the state and the diffs it was sent. */
function present({ client }: Person): string[] {
  const there = new Set<string>();
  for (const frame of client.frames as [0, 0, 0, string, Record<string, object>][]) {
    if (frame[3] === "presence_state") for (const name of Object.keys(frame[4])) there.add(name);
    if (frame[3] !== "presence_diff") continue;
    for (const name of Object.keys(frame[4].leaves ?? {})) there.delete(name);
    for (const name of Object.keys(frame[4].joins ?? {})) there.add(name);
  }
  return [...there].sort();
}

test("they share a port and the rooms: broadcasts reach all clients, in order", async () => {
  const [one, two] = await enterBoth("room:broadcast");
  for (let n = 0; n < 20; n += 1) one.client.send("1", null, "room:broadcast", "shout", { n });
  for (const person of [one, two]) {
    await receives(person, "shout", ({ n }: { n: number }) => n === 19);
    const received = person.client.frames.filter((frame) => (frame as unknown[])[3] === "shout");
    expect(received.map((frame) => ((frame as unknown[])[4] as { n: number }).n)).toEqual(
      Array.from({ length: 20 }, (_, n) => n),
    );
  }
});

test("presence is that of both: who comes, and who goes", async () => {
  const [one, two] = await enterBoth("room:presence");
  const names = [one.name, two.name].sort();
  await waitFor(
    "both see both",
    () => [one, two].every((person) => present(person).join() === names.join()),
    60_000,
  );
  two.client.close();
  await waitFor("one sees two go", () => present(one).join() === one.name, 60_000);
});

test("disconnect by id finds the connection in whichever process it is (C-138)", async () => {
  const [one, two] = await enterBoth("room:disconnect");
  one.client.send("1", "2", "room:disconnect", "send_away", { user: two.name });
  expect((await two.client.untilClosed(60_000)).code).toBe(1001);
  expect((await one.client.settle()).length).toBeGreaterThan(0);
  expect(one.client.closed).toBeUndefined();
});

test("a killed process loses its clients, and its successor joins the rooms", async () => {
  const [one, two] = await enterBoth("room:killed");
  process.kill(two.process, "SIGKILL");
  expect((await two.client.untilClosed(60_000)).code).toBe(1006);
  await waitFor("the third is ready", () => ready().length === 3, 90_000);
  let fresh = await enter("room:killed");
  while (fresh.process === one.process) fresh = await enter("room:killed");
  fresh.client.send("1", null, "room:killed", "shout", { from: "the new one" });
  await receives(one, "shout");
  expect(one.client.closed).toBeUndefined();
});

test("they end when the first is stopped: sockets are closed with 1012", async () => {
  const [one, two] = await enterBoth("room:end");
  main.kill("SIGTERM");
  for (const { client } of [one, two]) expect((await client.untilClosed(60_000)).code).toBe(1012);
  const [code] = (await once(main, "exit")) as [number];
  expect(code).toBe(0);
});
