/**
 * A disk that is full and a file that is locked, under the whole server: nothing is acknowledged
 * that is not stored.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Account, AppServer } from "../support/app-server.js";
import { DocumentClient } from "../support/document-client.js";
import { describeWith } from "../support/requirements.js";
import { SmallDisk } from "../support/tmpfs.js";
import { waitFor } from "../support/wait.js";

const statusOf = async (server: AppServer): Promise<string> =>
  ((await (await server.request("GET", "/readyz")).json()) as { status: string }).status;

describeWith("tmpfs", "on a disk that becomes full", () => {
  describe.each([0, 1])("with %i shards", (shards) => {
    let disk: SmallDisk;
    let server: AppServer;
    let ann: Account;
    beforeEach(async () => {
      disk = new SmallDisk(8);
      server = await AppServer.start({ DATA_DIR: disk.folder, SHARDS: String(shards) });
      ann = await server.signUp("Ann");
    });
    afterEach(async () => {
      await server?.stop();
      disk?.remove();
    });

    test("nothing is acknowledged that is not stored, and edits continue with space", async () => {
      const client = new DocumentClient(server, ann.token, 1);
      await client.join();
      await waitFor("the client is in step", () => client.synced);
      const acknowledged: string[] = [];
      let n = 0;
      const type = (): void => {
        const word = `<${n++}${"x".repeat(300)}>`;
        client.edit(
          (text) => text.insert(0, word),
          () => void acknowledged.push(word),
        );
      };
      type();
      await expect.poll(() => acknowledged.length).toBe(1);

      disk.fill();
      const typing = setInterval(() => {
        type();
        disk.fill();
      }, 40);
      await waitFor("the page says that it is not saved", () => {
        const status = client.last<{ persistence: string }>("room:status");
        return status !== undefined && status.persistence !== "ok";
      });
      const before = acknowledged.length;
      expect(await statusOf(server)).toBe("database_unavailable");
      const body = { email: "b@example.com", password: "correct horse", name: "Bob" };
      expect((await server.request("POST", "/api/users", body)).status).toBe(503);
      expect(acknowledged.length).toBe(before);
      clearInterval(typing);

      disk.free();
      await waitFor("everything is stored", () => client.saved && acknowledged.length === n, 30_000);
      await expect.poll(() => statusOf(server)).toBe("ok");
      await expect.poll(() => client.last<{ persistence: string }>("room:status")?.persistence).toBe("ok");
      const after = await server.request("POST", "/api/users", body);
      expect(after.status).toBe(201);
      const failures = server.errors.split("\n").filter((line) => line.includes("the database failed"));
      expect(failures.length).toBeLessThan(6);

      // What was acknowledged is on the disk: without an orderly end, and without a client that
      // brings it back.
      client.leave();
      await server.end("SIGKILL");
      await server.start();
      const reader = new DocumentClient(server, ann.token, 1);
      await reader.join();
      await waitFor("the reader is in step", () => reader.synced);
      const text = reader.text.toString();
      expect(acknowledged.filter((word) => text.split(word).length !== 2)).toEqual([]);
      reader.leave();
    });
  });
});

describe.each([0, 1])("while another process has the SQLite file locked, with %i shards", (shards) => {
  let server: AppServer;
  let ann: Account;
  beforeEach(async () => {
    server = await AppServer.start({ SHARDS: String(shards) });
    ann = await server.signUp("Ann");
  });
  afterEach(() => server?.stop());

  test("reading continues without a stall, and edits wait", async () => {
    const client = new DocumentClient(server, ann.token, 1);
    await client.join();
    await waitFor("the client is in step", () => client.synced);
    const Database = createRequire(import.meta.url)("better-sqlite3");
    const other = new Database(join(server.dataDir, "phoenixpair.sqlite"));
    other.exec("BEGIN IMMEDIATE");
    let stored = false;
    client.edit(
      (text) => text.insert(0, "written meanwhile"),
      () => {
        stored = true;
      },
    );
    const body = { email: "b@example.com", password: "correct horse", name: "Bob" };
    const signUp = server.request("POST", "/api/users", body);
    for (let n = 0; n < 10; n += 1) {
      const answers = await Promise.all(
        ["/healthz", "/api/challenges", "/api/challenges/1"].map((path) =>
          server.request("GET", path, undefined, ann.token),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    }
    // A room that has been opened before is read without a lock.
    const again = new DocumentClient(server, ann.token, 1);
    await again.join();
    again.leave();
    expect((await signUp).status).toBe(503);
    expect(stored).toBe(false);
    other.exec("ROLLBACK");
    other.close();
    await expect.poll(() => stored).toBe(true);
    expect((await server.request("POST", "/api/users", body)).status).toBe(201);
    client.leave();
  });
});
