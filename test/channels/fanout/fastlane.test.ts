import "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { createNode, type Pid, self } from "simurgh/runtime";
import { afterEach, expect, test } from "vitest";
import { dispatcherNamed } from "#pubsub";
import type { Dispatcher } from "../../../src/pubsub/local/dispatcher.js";

const node = createNode();
afterEach(() => node.stop());

test("broadcastFrom excludes its client, and not another gateway's with its number (C-126, P-009)", async () => {
  const written: unknown[][] = [[], []];
  const writers = written.map((to) => node.openSink((message) => void to.push(message)));
  await node.run(() => PubSub.startLink({ name: "p" }).then(() => joinBoth(writers)));
  const sent = written.map((messages) =>
    messages.flatMap((message) =>
      (message as unknown[])[0] === "lane" ? [(message as unknown[]).slice(2)] : [],
    ),
  );
  const frame = '[null,null,"room:1","shout",{}]';
  expect(sent).toEqual([[[frame, 5]], [[frame, 0]]]);
});

/** One client at each gateway, both its fifth; the first speaks. */
async function joinBoth(writers: readonly Pid[]): Promise<void> {
  const subscribe = async (writer: Pid): Promise<void> => {
    const metadata = { fastlane: true, writer, connection: 5, serializer: "v2_json", intercepts: [] };
    await PubSub.subscribe("p", "room:1", { metadata });
  };
  await new Promise<void>((done) => {
    node.spawn(async () => {
      await subscribe(writers[1] as Pid);
      node.spawn(async () => {
        await subscribe(writers[0] as Pid);
        const message = { topic: "room:1", event: "shout", payload: {} };
        PubSub.broadcastFrom("p", self(), "room:1", message, dispatcherNamed("fastlane") as Dispatcher);
        done();
      });
      await new Promise(() => {});
    });
  });
}
