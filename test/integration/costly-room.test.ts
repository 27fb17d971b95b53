/**
 * A room whose stored edits take Yjs many seconds to apply, as an older version may have stored
 * them.
 */
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, AppServer } from "../support/app-server.js";
import { DocumentClient } from "../support/document-client.js";
import { forgedRun, forgeUpdate } from "../support/forged-update.js";
import { waitFor } from "../support/wait.js";

/** Siblings of a low client id, then as many of a higher one. */
const COUNT = 5000;
const costly = [5, 9].map((client) =>
  forgeUpdate(forgedRun(COUNT, (clock) => ({ client, clock, origin: null, right: null, text: "x" }))),
);

let server: AppServer;
let ann: Account;
const clients: DocumentClient[] = [];

function client(challenge: number): DocumentClient {
  const one = new DocumentClient(server, ann.token, challenge);
  clients.push(one);
  return one;
}

beforeAll(async () => {
  server = await AppServer.start({ SHARDS: "1" });
  ann = await server.signUp("Ann");
  for (const challenge of [1, 2]) await client(challenge).join();
  for (const one of clients.splice(0)) one.socket.disconnect();
  await server.end("SIGTERM");
  const database = new Sqlite(join(server.dataDir, "phoenixpair.sqlite"));
  const { seq } = database.prepare("SELECT last_seq AS seq FROM rooms WHERE challenge_id = 1").get() as {
    seq: number;
  };
  for (const [n, bytes] of costly.entries())
    database
      .prepare(
        "INSERT INTO room_updates (challenge_id, seq, user_id, bytes, created_at) VALUES (1, ?, ?, ?, ?)",
      )
      .run(seq + 1 + n, ann.user.id, Buffer.from(bytes), Date.now());
  database.prepare("UPDATE rooms SET last_seq = ? WHERE challenge_id = 1").run(seq + costly.length);
  database.close();
  await server.start();
});
afterAll(async () => {
  for (const one of clients) one.socket.disconnect();
  await server.stop();
});

test("is opened without holding up the other rooms of its shard", async () => {
  const other = client(2);
  await other.join();
  await waitFor("the other room", () => other.synced);
  const visitor = client(1);
  let open = false;
  void visitor.join().catch(() => {});
  visitor.channel.onError(() => {});
  let typed = 0;
  while (!open) {
    other.text.insert(0, "a");
    typed += 1;
    await waitFor("the edit", () => other.saved);
    open = visitor.synced;
  }
  expect(typed).toBeGreaterThan(5);
  expect(other.joins).toBe(1);
  expect(visitor.text.toString()).toContain("x".repeat(2 * COUNT));
});
