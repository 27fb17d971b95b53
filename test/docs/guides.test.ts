/**
 * The code of the guides is code: what docs/ prints is what stands in a file here, and that runs.
 */
import { readFileSync } from "node:fs";
import { createNode, exit, type Pid, whereis } from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { channelTest } from "../support/patient-channel-test.js";
import { waitFor } from "../support/wait.js";
import { Account, openBank } from "./bank.js";
import roomSocket, { RoomPresence } from "./room-presence.js";

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

describe("the guides", () => {
  test.each([
    ["runtime.md", "bank.ts"],
    ["presence.md", "room-presence.ts"],
  ])("docs/%s prints %s as it is", (guide, file) => {
    expect(text(`../../docs/${guide}`)).toContain(`\`\`\`ts\n${text(file)}\`\`\``);
  });

  test("the bank keeps accounts, and a crashed account restarts alone", async () => {
    const node = createNode({ onReport() {} });
    await node.run(async () => {
      await openBank();
      Account.payIn("ann", 20);
      expect(await Account.withdraw("ann", 70)).toBe(50);
      expect(await Account.withdraw("ann", 51)).toBe("too_little");
      await Account.withdraw("bob", 10);
      const before = whereis("ann") as Pid;
      exit(before, "kill");
      await waitFor("ann's account is started again", () => whereis("ann")?.equals(before) === false);
      expect(await Account.balance("ann")).toBe(100);
      expect(await Account.balance("bob")).toBe(40);
    });
    await node.stop();
  });

  test(
    "a client that joins gets the presences by name, and changes as diffs",
    channelTest(
      roomSocket,
      async (t) => {
        const { socket } = await t.subscribeAndJoin(t.socket("", {}), "room:1", { user_id: 7 });
        await t.assertPush("presence_state", {});
        await t.assertBroadcast("presence_diff", { joins: { "7": { user: { name: "user 7" } } } });
        const ref = t.push(socket, "typing", { on: true });
        await t.assertReply(ref, "ok");
        await t.assertBroadcast("presence_diff", {
          joins: { "7": { metas: ([meta]: { typing: boolean }[]) => meta?.typing === true } },
        });
      },
      { children: ({ pubsub }) => [RoomPresence.childSpec({ pubsub })] },
    ),
  );
});
