/** What the replica of a thread said before it ended, and that arrives only then. */
import { definePresence } from "simurgh/presence";
import { MemoryNetwork, PubSub } from "simurgh/pubsub";
import { createNode, type RuntimeNode, receive, Supervisor, sleep, trapExit } from "simurgh/runtime";
import { afterEach, expect, test } from "vitest";
import { slot } from "#pubsub";
import { replication } from "../../../src/presence/tracker/durable-subscription.js";
import { encode, type Message } from "../../../src/presence/tracker/message.js";

const TOPIC = "phx_presence:P";
const GONE = 7;

let node: RuntimeNode;
afterEach(() => node.stop());

test.each(["permdown", "heartbeat"])(
  "P-130 a %s of a thread comes after its end: there is a permdown for it, and not one after the other forever",
  async (kind) => {
    const said: unknown[] = [];
    node = createNode({ onReport: () => {} });
    const ref = { name: `here#${GONE}`, incarnation: "ended" };
    const late: Message =
      kind === "permdown"
        ? { kind, ref, restores: undefined }
        : { kind: "heartbeat", ref, clock: 0, delta: undefined, seen: [], digest: undefined };
    await node.run(async () => {
      trapExit(true);
      // A thread that owns topics, and is not there.
      const owners = Array.from({ length: 256 }, (_, number) =>
        number === (slot(TOPIC) + 1) % 256 ? GONE : node.index,
      );
      await Supervisor.startLink(
        [
          PubSub.childSpec({ name: "pubsub", owners, adapter: new MemoryNetwork().adapter("here") }),
          definePresence({ name: "P" }).childSpec({ pubsub: "pubsub" }),
        ],
        { strategy: "rest_for_one" },
      );
      await PubSub.subscribe("pubsub", TOPIC);
      PubSub.broadcast("pubsub", TOPIC, encode("P", late), replication);
      // As long as goodbyes are repeated, and then some.
      void sleep(2500).then(() => node.spawn(() => PubSub.broadcast("pubsub", TOPIC, "that was all")));
      for (;;) {
        const { message } = await receive((any) => ({ message: any }));
        if (message === "that was all") break;
        said.push(message);
      }
    });
    // What was late, its own heartbeats, and a permdown that is said three times.
    expect(said.length).toBeLessThan(12);
  },
);
