/**
 * Topics move from one real thread to another, and their presence with them: no one is seen to
 * leave who did not move.
 */

import { PubSub } from "simurgh/pubsub";
import {
  createNode,
  GenServer,
  type Pid,
  type RuntimeNode,
  receive,
  Supervisor,
  self,
  spawnOn,
  threadSpec,
  trapExit,
} from "simurgh/runtime";
import { afterEach, expect, test } from "vitest";
import { slot } from "#pubsub";
import { waitFor } from "../../support/wait.js";
import { type Frame, joinsOf, PresenceNode } from "../support/node.js";
import { channelAdapter, PUBSUB, type TreeArgs } from "../support/thread-tree.js";

const module = new URL("../support/thread-tree.ts", import.meta.url);

let node: RuntimeNode;
let remote: PresenceNode;
afterEach(async () => {
  await remote.stop();
  await remote.node.stop();
  await node.stop();
});

const within: typeof waitFor = (what, read) => waitFor(what, read, 60_000);

function topicOf(owners: readonly number[], thread: number): string {
  for (let n = 0; ; n += 1) if (owners[slot(`room:${n}`)] === thread) return `room:${n}`;
}

/** The keys there after each frame. */
function history(frames: readonly Frame[]): string[][] {
  const refs = new Map<string, string>();
  return frames.map(({ payload: { joins, leaves } }) => {
    for (const [key, { metas }] of Object.entries(joins))
      for (const { phx_ref } of metas) refs.set(phx_ref, key);
    for (const { metas } of Object.values(leaves)) for (const { phx_ref } of metas) refs.delete(phx_ref);
    return [...new Set(refs.values())].sort();
  });
}

const ALL = ["of 1", "of 2", "remote"];

test.each([2, 7])(
  "of %i threads to one: topics that move show no leave (P-644)",
  async (threads) => {
    const cluster = `reassign ${process.pid} ${threads}`;
    node = createNode({ onReport: () => {} });
    remote = new PresenceNode({ coalesce: false });
    await remote.start(channelAdapter(cluster, "remote"));
    const owners = Array.from({ length: 256 }, (_, n) => 1 + (n % threads));
    const indexes = Array.from({ length: threads }, (_, k) => k + 1);
    const [moves, stays] = [topicOf(owners, 1), topicOf(owners, 2)];
    const frames = { moves: await remote.listen(moves), stays: await remote.listen(stays) };
    for (const topic of [moves, stays]) await remote.track(remote.process(), topic, "remote");
    await node.run(async () => {
      trapExit(true);
      const args: TreeArgs = { cluster, nodeName: "here", owners };
      const started = await Supervisor.startLink(
        [
          PubSub.childSpec({ name: PUBSUB, owners, adapter: channelAdapter(cluster, "here") }),
          ...indexes.map((index) => threadSpec({ index, module, args })),
        ],
        { strategy: "one_for_one" },
      );
      if (started[0] !== "ok") throw new Error(JSON.stringify(started));
      for (const thread of [1, 2])
        await spawnOn(thread, module, "member", [[moves, stays], `of ${thread}`, self()]);
      for (let ready = 0; ready < 2; ready += 1) await receive((message) => message);
      const listed = async (thread: number, topic: string): Promise<string> => {
        const entries = await GenServer.call<readonly (readonly [string])[]>({ name: "P", node: thread }, [
          "list",
          topic,
        ]);
        return Array.isArray(entries) && entries[0] !== ("error" as never)
          ? entries
              .map(([key]) => key)
              .sort()
              .join()
          : "";
      };
      await within(
        "all see all",
        async () =>
          [frames.moves, frames.stays].every((of) => joinsOf(of).length === 3) &&
          (await listed(1, moves)) === ALL.join() &&
          (await listed(2, stays)) === ALL.join(),
      );
      const notified = { moves: frames.moves.length, stays: frames.stays.length };
      // All that the others have goes to thread 2, what trackers say to each other included or not.
      expect(
        await PubSub.reassign(
          PUBSUB,
          owners.map(() => 2),
          [0, ...indexes],
        ),
      ).toBe("ok");
      await within(
        "the new thread knows all, of the other node as well",
        async () => (await listed(2, moves)) === ALL.join(),
      );
      await within("both have gone over: one ref came and one went for each", () => {
        const said = frames.moves.slice(notified.moves);
        const leaves = said.flatMap(({ payload }) => Object.keys(payload.leaves)).sort();
        return leaves.join() === "of 1,of 2" || Promise.reject(new Error(JSON.stringify(said)));
      });
      expect(await listed(2, moves)).toBe(ALL.join());
      expect(history(frames.moves).slice(notified.moves)).toSatisfy((keys: string[][]) =>
        keys.every((of) => of.join() === ALL.join()),
      );
      expect(frames.stays).toHaveLength(notified.stays);
      expect(await remote.keys(moves)).toEqual(ALL);
      await Supervisor.stop(started[1] as Pid, "shutdown");
    });
  },
  180_000,
);
