/**
 * SIGTERM while people type: they are sent away one after another, and whatever was acknowledged is
 * there afterwards.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { DocumentClient } from "../support/document-client.js";
import { waitFor } from "../support/wait.js";

const PEOPLE = 20;
/** Milliseconds over which PhoenixPair sends its clients away. */
const WINDOW_MS = 2000;

describe("an orderly stop", () => {
  let server: AppServer;
  beforeAll(async () => {
    server = await AppServer.start({ SHARDS: "2" });
  });
  afterAll(() => server?.stop());

  test("twenty typing clients are drained one by one and lose nothing", async () => {
    const { token } = await server.signUp("Ann");
    const closedAt: number[] = [];
    const acknowledged = new Set<string>();
    const people = await Promise.all(
      Array.from({ length: PEOPLE }, async (_, n) => {
        const client = new DocumentClient(server, token, 1);
        client.socket.onClose(() => {
          closedAt[n] ??= performance.now();
        });
        await client.join();
        await waitFor("the text", () => client.synced);
        return { client, n };
      }),
    );
    let words = 0;
    const typing = setInterval(() => {
      for (const { client, n } of people) {
        if (!client.synced) continue;
        words += 1;
        const word = `${n}-${words} `;
        client.edit(
          (text) => text.insert(text.length, word),
          () => acknowledged.add(word),
        );
      }
    }, 60);
    await waitFor("all type", () => acknowledged.size > 5 * PEOPLE);
    const ended = await server.end("SIGTERM");
    clearInterval(typing);
    expect(ended.code).toBe(0);
    const before = [...acknowledged];
    const times = closedAt.toSorted((a, b) => a - b);
    expect(times).toHaveLength(PEOPLE);
    expect((times.at(-1) as number) - (times[0] as number)).toBeGreaterThan(WINDOW_MS / 2);
    for (const time of times)
      expect(times.filter((other) => other >= time && other < time + WINDOW_MS / 10).length).toBeLessThan(
        PEOPLE / 2,
      );
    await server.start();
    const reader = new DocumentClient(server, token, 1);
    await reader.join();
    await waitFor("the stored text", () => reader.synced);
    const text = reader.text.toString();
    expect(before.filter((word) => !text.includes(word))).toEqual([]);
    await waitFor("all are back", () => people.every(({ client }) => client.saved), 30_000);
    for (const { client } of people) client.leave();
    reader.leave();
  });
});
