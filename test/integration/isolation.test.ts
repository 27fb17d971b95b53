/**
 * Nothing a user does in one room hurts another: a room fails, the other room on the same socket
 * continues, the socket stays open, and the official client re-joins the failed one by itself.
 */
import type { Channel, Socket } from "phoenix";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type FragileServer, startFragileServer } from "../support/fragile-server.js";
import { answer, openSocket } from "../support/phoenix-client.js";
import { waitFor } from "../support/wait.js";

describe.each([0, 2])("isolation with %i shards", (shards) => {
  let server: FragileServer;
  let socket: Socket;
  /** What the socket of the current test went through. */
  let life: { opens: number; closes: number };
  let rooms = 0;
  beforeAll(async () => {
    server = await startFragileServer(shards);
  });
  afterAll(() => server.stop());
  beforeEach(() => {
    socket = openSocket(server.port);
    const mine = { opens: 0, closes: 0 };
    life = mine;
    socket.onOpen(() => {
      mine.opens += 1;
    });
    socket.onClose(() => {
      mine.closes += 1;
    });
  });
  afterEach(() => socket.disconnect());

  interface Room {
    readonly channel: Channel;
    joins: number;
    errors: number;
    /** The thread that answered the last join. */
    thread: number | undefined;
  }

  /** Joins a fresh room, on shard `shard` if that is said. */
  async function enter(shard?: number): Promise<Room> {
    let topic: string;
    do {
      rooms += 1;
      topic = `fragile:${rooms}`;
    } while (shard !== undefined && (await server.ownerOf(topic)) !== shard);
    const room: Room = { channel: socket.channel(topic, {}), joins: 0, errors: 0, thread: undefined };
    room.channel.onError(() => {
      room.errors += 1;
    });
    room.channel.join().receive("ok", ({ thread }: { thread: number }) => {
      room.joins += 1;
      room.thread = thread;
    });
    await waitFor(`${topic} is joined`, () => room.joins === 1);
    return room;
  }

  const echo = (room: Room, payload: object): Promise<unknown> => answer(room.channel.push("echo", payload));

  /** `fail` makes the first room fail; meanwhile and afterwards the second must not notice. */
  async function failsAlone(failing: Room, other: Room, fail: () => unknown): Promise<void> {
    expect(await echo(failing, { before: true })).toEqual({ before: true });
    let over = false;
    const undisturbed = (async () => {
      let n = 0;
      do {
        n += 1;
        expect(await echo(other, { n })).toEqual({ n });
      } while (!over);
    })();
    await fail();
    await waitFor("the failed room was notified and has re-joined", () => failing.joins === 2, 15_000);
    over = true;
    await undisturbed;
    expect(await echo(failing, { after: true })).toEqual({ after: true });
    expect(await echo(other, { after: true })).toEqual({ after: true });
    expect({ failing: failing.errors, other: other.errors, rejoined: other.joins, ...life }).toEqual({
      failing: 1,
      other: 0,
      rejoined: 1,
      opens: 1,
      closes: 0,
    });
  }

  test.each([
    ["a handler throws", "throw"],
    ["a promise no one awaits is rejected", "float"],
    ["a promise is rejected after its handler has returned", "late_float"],
    ["a timer's callback throws", "timer_throw"],
  ])("%s: only its channel ends, the client re-joins it", async (_what, event) => {
    const [failing, other] = [await enter(shards && 1), await enter(shards && 1)];
    // The same thread: it is the process that isolates, not the thread.
    expect(failing.thread).toBe(other.thread);
    await failsAlone(failing, other, () => failing.channel.push(event, {}));
    // The thread has lived on.
    expect(failing.thread).toBe(other.thread);
    await waitFor("the crash was reported", () =>
      server.reports.some((report) => JSON.stringify(report, printErrors).includes(CRASHES[event] as string)),
    );
  });

  if (shards > 0) {
    test.each([
      ["terminated from outside", () => server.killShard(1)],
      ["ended by process.exit in a channel", (room: Room) => room.channel.push("exit_thread", {})],
      ["out of memory", (room: Room) => room.channel.push("out_of_memory", {})],
      ["in an endless loop", (room: Room) => room.channel.push("endless_loop", {})],
    ])(
      "a shard thread is %s: the other shard's channel continues, the lost one is re-joined on a fresh thread",
      async (_how, fail) => {
        const [failing, other] = [await enter(1), await enter(2)];
        const dead = failing.thread;
        await failsAlone(failing, other, () => fail(failing));
        expect(failing.thread).not.toBe(dead);
        expect(failing.thread).not.toBe(other.thread);
      },
    );

    test("a shard with fifty rooms is lost: all come back, the others stay", async () => {
      const lost: Room[] = [];
      const kept: Room[] = [];
      for (let n = 0; n < 50; n += 1) {
        lost.push(await enter(1));
        kept.push(await enter(2));
      }
      await server.killShard(1);
      await waitFor(
        "all fifty have re-joined",
        () => {
          const back = lost.filter((room) => room.joins === 2).length;
          return back === 50 || Promise.reject(new Error(`${back} are back`));
        },
        15_000,
      );
      await Promise.all([...lost, ...kept].map((room, n) => echo(room, { n })));
      expect(kept.every((room) => room.joins === 1 && room.errors === 0)).toBe(true);
      expect(life).toEqual({ opens: 1, closes: 0 });
    });
  }
});

const CRASHES: Record<string, string> = {
  throw: "a handler throws",
  float: "no one awaits this",
  late_float: "no one awaits this either",
  timer_throw: "a timer throws",
};

/** JSON leaves an error's message out. */
const printErrors = (_key: string, value: unknown): unknown =>
  value instanceof Error ? { message: value.message } : value;
