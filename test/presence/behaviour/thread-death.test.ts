/**
 * A shard thread dies, with a real thread: who was tracked in it leaves at once, everywhere,
 * and no one else does.
 */

import {
  createNode,
  exit,
  GenServer,
  monitor,
  type Pid,
  type Ref,
  type RuntimeNode,
  receive,
  Supervisor,
  self,
  send,
  spawnOn,
  threadSpec,
  trapExit,
} from "simurgh/runtime";
import { afterEach, describe, expect, test } from "vitest";
import { slot } from "#pubsub";
import { threadName } from "#runtime";
import { waitFor } from "../../support/wait.js";
import { type Frame, joinsOf, leavesOf, PresenceNode } from "../support/node.js";
import { channelAdapter, type TreeArgs } from "../support/thread-tree.js";

const module = new URL("../support/thread-tree.ts", import.meta.url);
const REPLICATION = "phx_presence:P";

let node: RuntimeNode;
let remote: PresenceNode;
afterEach(async () => {
  await remote.stop();
  await remote.node.stop();
  await node.stop();
});

const within: typeof waitFor = (what, read) => waitFor(what, read, 60_000);

/** The first topic of that name which a thread owns. */
function topicOf(owners: readonly number[], thread: number, name: string): string {
  for (let n = 0; ; n += 1) if (owners[slot(`${name}:${n}`)] === thread) return `${name}:${n}`;
}

const reasonOf = (ref: Ref): Promise<unknown> =>
  receive((message) =>
    Array.isArray(message) && ref.equals(message[1]) ? { reason: message[4] as unknown } : undefined,
  ).then(({ reason }) => reason);

describe("a worker thread dies (P-130, P-634)", () => {
  test.each([
    ["that carries nothing for others", 2],
    ["that carries what trackers say", 1],
  ])(
    "%s: within 100 ms all who were in it leave elsewhere, once; others are notified that their tracker is gone, or are tracked again",
    async (_what, carrier) => {
      const cluster = `thread death ${process.pid} ${carrier}`;
      node = createNode({ onReport: () => {} });
      remote = new PresenceNode({ coalesce: false });
      await remote.start(channelAdapter(cluster, "remote"));
      // The slot of what trackers say to each other is this thread's; the other slots take turns.
      const owners = Array.from({ length: 256 }, (_, n) => (n === slot(REPLICATION) ? carrier : 1 + (n % 2)));
      const topics = [1, 2].map((thread) => topicOf(owners, thread, "room"));
      const clock = topicOf(owners, 2, "clock");
      const frames = await Promise.all(topics.map((topic) => remote.listen(topic)));
      const clockFrames = await remote.listen(clock);
      await node.run(async () => {
        trapExit(true);
        const args: TreeArgs = { cluster, nodeName: "here", owners };
        const started = await Supervisor.startLink(
          [1, 2].map((index) => threadSpec({ index, module, args })),
          { strategy: "one_for_one" },
        );
        if (started[0] !== "ok") throw new Error(JSON.stringify(started));
        // A process of each thread is on a topic of each: the tracker of a topic is not always the
        // process's own.
        for (const thread of [1, 2])
          await spawnOn(thread, module, "member", [topics, `of ${thread}`, self()]);
        // One that is to end with its tracker, of the thread that lives on.
        const leaver = await spawnOn(2, module, "member", [topics.slice(0, 1), "leaver", self(), "exit"]);
        const left = monitor(leaver as Pid);
        const quitter = (await spawnOn(2, module, "quitter", [topics[0], "quitter", self()])) as Pid;
        const quit = monitor(quitter);
        await spawnOn(2, module, "clockOf", [1, clock, self()]);
        for (let ready = 0; ready < 5; ready += 1) await receive((message) => message);
        await within("the other node sees all", () =>
          frames.every((of, index) => joinsOf(of).filter((key) => key !== "quitter").length === 3 - index),
        );
        exit(node.whereis(threadName(1)) as Pid, "kill");
        await within("100 ms have passed", () => clockFrames.length > 0);
        const leaves = (of: readonly Frame[] | undefined): string[] =>
          leavesOf(of ?? []).filter((key) => key !== "quitter");
        expect(leaves(frames[0])).toEqual(["leaver", "of 1", "of 2"]);
        expect(await reasonOf(left)).toEqual(["tracker_down", "P"]);
        await within("its process has left the other topic", () => leavesOf(frames[1] ?? []).length >= 1);
        // What has been said since then has been said by both threads.
        await within("the thread is back", () =>
          GenServer.call({ name: "P", node: 1 }, ["stats"]).then(() => true),
        );
        await spawnOn(1, module, "member", [topics, "new", self()]);
        await within("who comes after it is seen", () => frames.every((of) => joinsOf(of).includes("new")));
        await within(
          "who lives on is seen again",
          () => joinsOf(frames[0] ?? []).filter((key) => key === "of 2").length === 2,
        );
        expect(frames.map(leaves)).toEqual([["leaver", "of 1", "of 2"], ["of 1"]]);
        const there = await remote.list(topics[0] ?? "");
        expect(Object.keys(there).sort()).toEqual(["new", "of 2"]);
        expect(there["of 2"]?.metas).toEqual([expect.objectContaining({ of: "of 2" })]);
        expect(await remote.keys(topics[1] ?? "")).toEqual(["new", "of 2"]);
        send(quitter, "end");
        expect(await reasonOf(quit)).toBe("normal");
        await Supervisor.stop(started[1] as Pid, "shutdown");
      });
    },
    180_000,
  );
});
