/**
 * The engine of a cluster is killed or stands still: rooms open and connections are made as if it
 * were there.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, AppServer } from "../support/app-server.js";
import { type EngineServer, startNats, startRedis } from "../support/engines.js";
import { answer, openSocket } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";

const ROOMS = 30;

for (const [kind, startEngine] of [
  ["NATS", startNats],
  ["Redis", startRedis],
] as const)
  describeWith(kind, `the engine of a node on ${kind}`, () => {
    let engine: EngineServer;
    let server: AppServer;
    let account: Account;
    beforeAll(async () => {
      engine = await startEngine();
      server = await AppServer.start({
        CLUSTER_URL: engine.url,
        NODE_NAME: "n1",
        SHARDS: "1",
        JWT_SECRET: "a secret of 32 characters or more, for a test",
      });
      account = await server.signUp("Ann");
    });
    afterAll(async () => {
      await server?.stop();
      await engine?.stop();
    });

    const newRooms = (): Promise<number[]> =>
      Promise.all(
        Array.from({ length: ROOMS }, async (_, n) => {
          const body = { title: `Room ${n}`, prompt: "Do it", language: "javascript", response: "" };
          const response = await server.request("POST", "/api/challenges", body, account.token);
          return ((await response.json()) as { id: number }).id;
        }),
      );

    /**
     * Joins every room at once, each by a connection of its own; the client gives up after its
     * usual 10 s.
     */
    const joinAll = async (rooms: readonly number[]): Promise<number> => {
      const sockets = rooms.map((room) => {
        const socket = openSocket(server.port, { token: account.token });
        return { socket, joined: answer(socket.channel(`challenges:${room}`, {}).join()) };
      });
      const outcomes = await Promise.allSettled(sockets.map(({ joined }) => joined));
      for (const { socket } of sockets) socket.disconnect();
      return outcomes.filter(({ status }) => status === "fulfilled").length;
    };

    test("stands still: thirty rooms that are opened at once open in the time of one", async () => {
      const rooms = await newRooms();
      engine.signal("SIGSTOP");
      try {
        expect(await joinAll(rooms)).toBe(ROOMS);
      } finally {
        engine.signal("SIGCONT");
      }
    });

    test("is killed: thirty rooms that are opened at once open in the time of one", async () => {
      const rooms = await newRooms();
      await engine.end("SIGKILL");
      expect(await joinAll(rooms)).toBe(ROOMS);
      await engine.restart();
    });
  });
