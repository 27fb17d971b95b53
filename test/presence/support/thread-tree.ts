/**
 * A shard thread with a presence, for thread-death.test.ts: a node of its own cluster, joined to
 * others by a BroadcastChannel.
 */
import { BroadcastChannel } from "node:worker_threads";
import { definePresence } from "simurgh/presence";
import { type Adapter, type AdapterFactory, PubSub } from "simurgh/pubsub";
import {
  type ChildSpec,
  monitor,
  type Pid,
  receive,
  register,
  self,
  send,
  sendAfter,
  type ThreadTree,
} from "simurgh/runtime";

export const PUBSUB = "pubsub";
export const presence = definePresence({ name: "P", coalesce: false });

interface Carried {
  readonly from: string;
  readonly to: string | undefined;
  readonly what: readonly [topic: string, message: unknown, dispatcher: string];
}

/** Joins nodes, each of several threads, inside one OS process. */
export const channelAdapter =
  (cluster: string, nodeName: string): AdapterFactory =>
  (deliver): Adapter => {
    const channel = new BroadcastChannel(cluster) as BroadcastChannel & {
      onmessage: (event: { data: Carried }) => void;
      unref(): void;
    };
    channel.unref();
    channel.onmessage = ({ data: { from, to, what } }) => {
      if (from !== nodeName && (to === undefined || to === nodeName)) deliver(what[0], what[1], what[2]);
    };
    const post = (to: string | undefined, what: Carried["what"]): "ok" => {
      channel.postMessage({ from: nodeName, to, what } satisfies Carried);
      return "ok";
    };
    return {
      nodeName: () => nodeName,
      broadcast: (...what) => post(undefined, what),
      directBroadcast: (to, ...what) => post(to, what),
      stop: () => channel.close(),
    };
  };

export interface TreeArgs {
  readonly cluster: string;
  readonly nodeName: string;
  readonly owners: readonly number[];
}

export function start({ cluster, nodeName, owners }: TreeArgs): ThreadTree {
  const children: ChildSpec[] = [
    PubSub.childSpec({ name: PUBSUB, owners, adapter: channelAdapter(cluster, nodeName) }),
    presence.childSpec({ pubsub: PUBSUB }),
  ];
  return { children, strategy: "rest_for_one" };
}

/**
 * A process of the thread that is on the topics, until it is notified to end; unless said otherwise
 * it outlives its trackers.
 */
export async function member(
  topics: readonly string[],
  key: string,
  ready: Pid,
  onTrackerRestart: "exit" | "retrack" = "retrack",
): Promise<void> {
  for (const topic of topics) await presence.track(self(), topic, key, { of: key }, { onTrackerRestart });
  send(ready, ["tracked", key]);
  await receive((message) => message === "end" || undefined);
}

/** A process of the thread that was on the topic, and is no more. */
export async function quitter(topic: string, key: string, ready: Pid): Promise<void> {
  await presence.track(self(), topic, key, {});
  await presence.untrack(self(), topic, key);
  send(ready, ["untracked", key]);
  await receive((message) => message === "end" || undefined);
}

/**
 * Says on `topic`, in the way changes are notified to other nodes, that 100 ms have passed since it
 * received that a thread is gone.
 */
export async function clockOf(thread: number, topic: string, ready: Pid): Promise<void> {
  register("clock", self());
  const ref = monitor({ name: PUBSUB, node: thread });
  send(ready, ["tracked", "clock"]);
  await receive((message) => (Array.isArray(message) && ref.equals(message[1])) || undefined);
  sendAfter(self(), "passed", 100);
  await receive((message) => message === "passed" || undefined);
  PubSub.broadcast(PUBSUB, topic, { event: "100 ms have passed" });
}
