/** What leaves a WebSocket connection, as its clients see it. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { RawClient, startServer, type TestServer } from "../support.js";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    sockets: { "/socket": { module: new URL("../fixture-socket.ts", import.meta.url), messageRate: false } },
  });
});
afterAll(() => server.stop());

test("broadcasts that share their writes reach each of many in order, once, and before what is said later", async () => {
  const clients = await Promise.all(Array.from({ length: 40 }, () => RawClient.connect(server.url)));
  await Promise.all(
    clients.map(async (client) => {
      client.send("1", "1", "room:many", "phx_join", {});
      // Its join reply, and what the channel pushes after it.
      await client.until(2);
    }),
  );
  const [sender] = clients as [RawClient];
  for (let n = 1; n <= 100; n += 1) {
    sender.send("1", null, "room:many", "shout", { n });
    // Some come together and some alone.
    if (n % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  sender.send("1", "last", "room:many", "echo", {});
  const said = (frames: readonly unknown[]): unknown[] =>
    (frames as [unknown, unknown, unknown, string, { n: number }][])
      .filter(([, , , event]) => event === "shout")
      .map(([, , , , { n }]) => n);
  const all = Array.from({ length: 100 }, (_, index) => index + 1);
  await Promise.all(
    clients.map(async (client) => {
      await client.until(client === sender ? 103 : 102, 60_000);
      expect(said(client.frames)).toEqual(all);
    }),
  );
  expect(sender.frames[102]).toMatchObject(["1", "last", "room:many", "phx_reply", {}]);
  for (const client of clients) client.ws.close();
});
