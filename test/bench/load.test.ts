/**
 * The load of the benchmarks against a server that is right, and against servers that are wrong in
 * one thing: every frame is counted, and one that is missing, doubled or out of order fails the
 * run.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";

const LOAD = fileURLToPath(new URL("../../bench/fixtures/load.ts", import.meta.url));

type Frame = readonly [
  joinRef: string | null,
  ref: string | null,
  topic: string,
  event: string,
  payload: object,
];

/**
 * What becomes of the `n`th frame of an event to one client: the frames that are sent in its place.
 */
type Fault = (frame: Frame, n: number) => readonly Frame[];

let server: WebSocketServer | undefined;
afterEach(() => {
  for (const client of server?.clients ?? []) client.terminate();
  server?.close();
});

/** Rooms as a bare loop has them; `fault` is done to what the second client gets. */
async function startServer(fault: Fault): Promise<number> {
  const listening = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server = listening;
  const members = new Map<WebSocket, number>();
  const rooms = new Map<string, WebSocket[]>();
  const sent = new Map<string, number>();
  const send = (to: WebSocket, frame: Frame): void => {
    const event = frame[3];
    let frames: readonly Frame[] = [frame];
    if (members.get(to) === 1) {
      const n = (sent.get(event) ?? 0) + 1;
      sent.set(event, n);
      frames = fault(frame, n);
    }
    for (const each of frames) to.send(JSON.stringify(each));
  };
  listening.on("connection", (socket) => {
    socket.on("message", (data) => {
      const [joinRef, ref, topic, event, payload] = JSON.parse(String(data)) as Frame;
      const reply = (response: object): void =>
        send(socket, [joinRef, ref, topic, "phx_reply", { status: "ok", response }]);
      const all = (what: string, notified: object): void => {
        for (const member of rooms.get(topic) ?? []) send(member, [null, null, topic, what, notified]);
      };
      if (event === "phx_join") {
        members.set(socket, members.size);
        rooms.set(topic, [...(rooms.get(topic) ?? []), socket]);
        reply({});
        const { user_id: user } = payload as { user_id: string };
        if (topic.startsWith("presence:"))
          for (let n = 0; n <= Number(user); n += 1)
            all("presence_diff", { joins: { [String(n)]: {} }, leaves: {} });
      } else if (event === "shout") all("shout", payload);
      else if (event === "spin")
        send(socket, [joinRef, ref, topic, "phx_reply", { status: "error", response: {} }]);
      else reply(payload);
    });
  });
  await once(listening, "listening");
  return (listening.address() as AddressInfo).port;
}

async function load(port: number, scenario: string, options: Record<string, number>) {
  const underLoad = { addresses: [{ host: "127.0.0.1", port, path: "/socket" }], servers: [] };
  const settings = { seconds: 0.3, warmUpUnits: 1, patienceSeconds: 1, clients: 4, ...options };
  const child = spawn(
    process.execPath,
    [...process.execArgv, LOAD, JSON.stringify(underLoad), "phoenix", scenario, JSON.stringify(settings)],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

const SCENARIOS = {
  echo: {},
  "fanout, one at a time": {},
  "fanout, eight at a time": { inFlight: 8 },
  "fanout, at a rate": { perSecond: 200 },
  rooms: { rooms: 2, size: 2 },
  presence: {},
};
const run = (port: number, title: keyof typeof SCENARIOS) =>
  load(port, title.split(",", 1)[0] as string, SCENARIOS[title]);

test.each(Object.keys(SCENARIOS) as (keyof typeof SCENARIOS)[])(
  "%s: a server that does all of it passes",
  async (title) => {
    const { code, out, err } = await run(await startServer((frame) => [frame]), title);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(Object.values(JSON.parse(out))).not.toHaveLength(0);
  },
);

/** The frame that goes wrong: the handshakes are over by then. */
const LATE = 30;
const missing =
  (event: string): Fault =>
  (frame, n) =>
    frame[3] === event && n === LATE ? [] : [frame];
const doubled =
  (event: string): Fault =>
  (frame, n) =>
    frame[3] === event && n === LATE ? [frame, frame] : [frame];
const refused: Fault = (frame, n) =>
  frame[3] === "phx_reply" && n === LATE
    ? [[frame[0], frame[1], frame[2], "phx_reply", { status: "error", response: { reason: "rate_limited" } }]]
    : [frame];
/** One changes places with the next. */
function swapped(): Fault {
  let kept: Frame[] = [];
  return (frame, n) => {
    if (frame[3] !== "shout" || n < LATE || n > LATE + 1) return [frame];
    kept = [frame, ...kept];
    return n === LATE ? [] : kept;
  };
}

test.each<[title: keyof typeof SCENARIOS, what: string, fault: Fault, why: RegExp]>([
  ["echo", "leaves out an answer", missing("phx_reply"), /1 requests were never answered/],
  ["echo", "answers twice", doubled("phx_reply"), /an answer came twice/],
  ["echo", "answers with an error", refused, /no echo: .*rate_limited/],
  ["fanout, one at a time", "leaves out one", missing("shout"), /a broadcast never reached everyone/],
  ["fanout, one at a time", "sends one twice", doubled("shout"), /after 30 of sender 0 came 30/],
  ["fanout, eight at a time", "leaves out one", missing("shout"), /after 29 of sender 0 came 31/],
  ["fanout, eight at a time", "swaps two", swapped(), /after 29 of sender 0 came 31/],
  ["fanout, at a rate", "leaves out one", missing("shout"), /never reached everyone|of sender 0 came/],
  ["fanout, at a rate", "sends one twice", doubled("shout"), /of sender 0 came/],
  ["rooms", "leaves out one", missing("shout"), /never reached everyone|of sender . came/],
  ["rooms", "sends one twice", doubled("shout"), /of sender . came/],
  [
    "presence",
    "tells one of three only",
    (frame) => (JSON.stringify(frame).includes('{"3":{}}') ? [] : [frame]),
    /1 clients do not know everyone/,
  ],
])("%s: a server that %s fails the run", async (title, _what, fault, why) => {
  const { code, out, err } = await run(await startServer(fault), title);
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toMatch(why);
});

test("neighbour: a server whose room does not spin fails the run", async () => {
  const { code, err } = await load(await startServer((frame) => [frame]), "neighbour", {});
  expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/the busy room is not busy: /) });
});
