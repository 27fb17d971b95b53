/**
 * Brings what is broadcast on a topic to a process of any thread, for as long as that process
 * lives.
 *
 * A topic lives in one thread. When that thread is replaced, the subscriptions there are gone with
 * it: this little process notices, and subscribes again as soon as somebody is there. The topic may
 * also move to another thread, and its subscriptions with it; then that is the thread to watch.
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
export function follow(pubsub: string, topic: string, to: Pid): void {
  if (PubSub.owners(pubsub) === undefined) {
    // All topics are this thread's for ever, and PubSub and what comes after it restart together.
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
    // Nobody there yet, or any more: the monitor says so too.
    if (error instanceof ExitSignal) return false;
    throw error;
  }
}
