/**
 * A durable subscription survives the restart of the thread that owns the topic.
 *
 * When that thread is replaced, its subscriptions are gone: a small process monitors the PubSub
 * there, and subscribes again as soon as it runs. When the topic moves to another thread, its
 * subscriptions move with it, and that thread is monitored.
 */
import { type Dispatcher, PubSub, registerDispatcher } from "simurgh/pubsub";
import {
  backoff,
  demonitor,
  ExitSignal,
  monitor,
  type Pid,
  type Ref,
  receive,
  send,
  sleep,
  spawnLink,
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
const LONGEST_RETRY_MS = 2000;

/**
 * From now on `to`, the calling process, gets what is broadcast on the topic, whichever thread it
 * lives in.
 */
export function subscribeDurably(pubsub: string, topic: string, to: Pid): void {
  if (PubSub.owners(pubsub) === undefined) {
    // This thread owns all topics, and its PubSub and this process restart together.
    PubSub.subscribe(pubsub, topic);
    return;
  }
  spawnLink(async function followTopic() {
    PubSub.watchOwners(pubsub);
    for (let tries = 0; ; tries += 1) {
      const ref = monitor({ name: pubsub, node: PubSub.ownerOf(pubsub, topic) });
      if (await subscribe(pubsub, topic)) {
        await forward(pubsub, topic, to, ref);
        tries = 0;
      } else demonitor(ref, { flush: true });
      await sleep(Math.ceil(backoff(tries, RETRY_MS, LONGEST_RETRY_MS)));
    }
  });
}

/**
 * Hands on what comes until the thread of the topic is gone. A subscription moves with its topic.
 */
async function forward(pubsub: string, topic: string, to: Pid, first: Ref): Promise<void> {
  let ref = first;
  for (;;) {
    const { any } = await receive((message) => ({ any: message }));
    if (any === PubSub.OWNERS_CHANGED) {
      demonitor(ref, { flush: true });
      ref = monitor({ name: pubsub, node: PubSub.ownerOf(pubsub, topic) });
    } else if (Array.isArray(any) && any[0] === "DOWN" && ref.equals(any[1])) return;
    else send(to, any);
  }
}

async function subscribe(pubsub: string, topic: string): Promise<boolean> {
  try {
    await PubSub.subscribe(pubsub, topic);
    return true;
  } catch (error) {
    // PubSub does not run there; the monitor reports it, too.
    if (error instanceof ExitSignal) return false;
    throw error;
  }
}
