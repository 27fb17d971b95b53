/**
 * Brings what is broadcast on a topic to a process of any thread, for as long as that process lives.
 *
 * A topic lives in one thread. When that thread is replaced, the subscriptions there are gone with it: this little process
 * notices, and subscribes again as soon as somebody is there. In the thread of the topic itself it is not needed: PubSub and
 * what comes after it restart together.
 */
import { type Dispatcher, PubSub, registerDispatcher } from "simurgh/pubsub";
import {
  demonitor,
  ExitSignal,
  monitor,
  type Pid,
  type Ref,
  receive,
  send,
  sleep,
  spawnLink,
  thisNode,
} from "simurgh/runtime";

/** Delivers to trackers, marked as what it is: `["replication", wire]`. */
export const replication: Dispatcher<undefined> = {
  name: "simurgh:replication",
  dispatch(topic, _from, message) {
    for (const { pid } of topic.subscriptions()) send(pid, ["replication", message]);
  },
};

registerDispatcher(replication);

const RETRY_MS = 100;

/** From now on `to`, the calling process, gets what is broadcast on the topic. */
export function follow(pubsub: string, topic: string, to: Pid): void {
  const owner = PubSub.ownerOf(pubsub, topic);
  if (owner === thisNode().index) {
    PubSub.subscribe(pubsub, topic);
    return;
  }
  spawnLink(async function followElsewhere() {
    for (;;) {
      const ref = monitor({ name: pubsub, node: owner });
      if (await subscribe(pubsub, topic)) await forward(to, ref);
      else demonitor(ref, { flush: true });
      await sleep(RETRY_MS);
    }
  });
}

/** Hands on what comes until `ref` says that the other end is gone. */
async function forward(to: Pid, ref: Ref): Promise<void> {
  for (;;) {
    const { any } = await receive((message) => ({ any: message as readonly unknown[] }));
    if (any[0] === "DOWN" && ref.equals(any[1])) return;
    send(to, any);
  }
}

async function subscribe(pubsub: string, topic: string): Promise<boolean> {
  try {
    await PubSub.subscribe(pubsub, topic);
    return true;
  } catch (error) {
    // Nobody there yet, or any more: the monitor says so too.
    if (error instanceof ExitSignal) return false;
    throw error;
  }
}
