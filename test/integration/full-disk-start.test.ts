/** A start on a disk that is full, on a real one. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppServer, runToEnd } from "../support/app-server.js";
import { describeWith } from "../support/requirements.js";
import { SmallDisk } from "../support/tmpfs.js";

const LINE = /^the disk of DATA_DIR.* is full; make room there, or set DATA_DIR to a folder elsewhere\n$/;

describeWith("tmpfs", "a start on a full disk", () => {
  let disk: SmallDisk;
  beforeAll(() => {
    disk = new SmallDisk(8);
  });
  afterAll(() => disk?.remove());

  test("ends with one line, and works once there is room", async () => {
    const start = (env: Record<string, string>) => runToEnd({ PORT: "0", DATA_DIR: disk.folder, ...env });
    disk.fill();
    for (const env of [
      {},
      { JWT_SECRET: "x".repeat(40), SHARDS: "0" },
      { JWT_SECRET: "x".repeat(40), SHARDS: "1" },
    ]) {
      const ended = await start(env);
      expect(ended).toMatchObject({ code: 1, stdout: "" });
      expect(ended.stderr).toMatch(LINE);
    }
    disk.free();
    const server = await AppServer.start({ SHARDS: "0", DATA_DIR: disk.folder });
    await server.end("SIGTERM");
    // With a database that was there before, too.
    disk.fill();
    expect((await start({ SHARDS: "1" })).stderr).toMatch(LINE);
    disk.free();
    await server.start();
    await server.stop();
  });
});
