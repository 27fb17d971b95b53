import fc from "fast-check";
import { Endpoint, sharesPorts } from "simurgh/channels";
import { expect, test } from "vitest";
import { planDrain } from "../../../src/channels/socket/drain.js";
import { RawClient, startServer } from "../support.js";

const defaults = { batchSize: 10_000, batchIntervalMs: 2000, shutdownMs: 30_000 };
const closes = (total: number, options = defaults, random?: () => number): number[] =>
  planDrain(total, options, random).flatMap(({ times }) => times);

test("twenty connections are spread over the two seconds of a round (C-139)", () => {
  const times = closes(20);
  expect(times).toHaveLength(20);
  for (const [n, time] of times.entries()) {
    expect(time).toBeGreaterThanOrEqual(n * 100);
    expect(time).toBeLessThan((n + 1) * 100);
  }
});

test("few connections take less time, and one none to speak of", () => {
  expect(closes(3, defaults, () => 0.5)).toEqual([50, 150, 250]);
  expect(closes(1, defaults, () => 0.999)[0]).toBeLessThan(100);
  expect(closes(0)).toEqual([]);
});

test("each connection has its time, in order, evenly, before the deadline", () => {
  fc.assert(
    fc.property(
      fc.nat(3000),
      fc.integer({ min: 1, max: 1000 }),
      fc.nat(5000),
      fc.nat(10_000),
      (total, batchSize, batchIntervalMs, shutdownMs) => {
        const options = { batchSize, batchIntervalMs, shutdownMs };
        const times = closes(total, options);
        expect(times).toHaveLength(total);
        expect(times).toEqual(times.toSorted((a, b) => a - b));
        for (const time of times) expect(time).toBeLessThanOrEqual(shutdownMs * 0.7 + 1e-6);
        const rounds = planDrain(total, options);
        expect(rounds).toHaveLength(Math.floor(total / batchSize) + 1);
        for (const { times: batch } of rounds) expect(batch.length).toBeLessThanOrEqual(batchSize);
      },
    ),
  );
});

test.each(sharesPorts() ? [1, 2] : [1])(
  "clients of %i gateway(s) are drained one by one, with their replies (C-139, C-140)",
  async (gateways) => {
    const windowMs = 1000;
    const server = await startServer({
      gateways,
      checkOrigin: false,
      sockets: { "/socket": { module: new URL("../fixtures/socket.ts", import.meta.url), longpoll: true } },
      drainer: { batchIntervalMs: windowMs },
      ...(gateways === 1 ? {} : { listen: { port: 0, host: "127.0.0.1" } }),
    });
    const count = 20;
    const polling = 4;
    const closedAt: number[] = [];
    const clients = await Promise.all(
      Array.from({ length: count - polling }, async (_, n) => {
        const client = await RawClient.connect(server.url);
        client.ws.on("close", () => closedAt.push(performance.now()));
        client.send("1", "1", `room:${n}`, "phx_join", {});
        await client.until(2);
        return client;
      }),
    );
    const url = `http://127.0.0.1:${server.port}/socket/longpoll?vsn=2.0.0`;
    const polls = await Promise.all(
      Array.from({ length: polling }, async () => {
        const { token } = (await (await fetch(url)).json()) as { token: string };
        return { token, poll: fetch(`${url}&token=${token}`) };
      }),
    );
    // Taken before the drain begins, and answered while it continues.
    for (const client of clients) client.send("1", "late", topicOf(client), "slow", { ms: 60 });
    await Promise.all(clients.map((client) => client.settle()));
    const drained = server.run(() => Endpoint.drain("endpoint"));
    for (const { poll } of polls) {
      expect(await (await poll).json()).toEqual({ status: 410 });
      closedAt.push(performance.now());
    }
    for (const client of clients) {
      expect((await client.untilClosed()).code).toBe(1012);
      expect(client.frames.some((frame) => (frame as unknown[])[1] === "late")).toBe(true);
    }
    expect(await drained).toBe(count);
    const times = closedAt.toSorted((a, b) => a - b);
    // Not in one moment: together they take a good part of the round. How evenly is the plan's to
    // say; on a busy machine several closes are seen at once.
    expect((times.at(-1) as number) - (times[0] as number)).toBeGreaterThan(windowMs / 2);
    await server.stop();
  },
);

const topicOf = (client: RawClient): unknown => (client.frames[0] as unknown[])[2];
