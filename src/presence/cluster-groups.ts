/**
 * Groups of processes over all nodes of a cluster, made of a tracker and of PubSub (in the manner
 * of OTP's `pg`; for the threads of one node alone there is `Groups` of the runtime).
 *
 *     export const Workers = defineClusterGroups({ name: "Workers" });
 *     // in the shard's children:  Workers.childSpec({ pubsub })
 *     // in a process:             await Workers.join("thumbnails");
 *     // anywhere:                 const [oldest] = await Workers.members("thumbnails");
 *     //                           Workers.send("thumbnails", oldest, ["make", path]);
 *
 * It promises what presence does: every node knows all members a moment later, in one order, the
 * oldest first. A process that exits leaves its groups. The members of a node that is down leave
 * after `downPeriod`. Messages are delivered at most once, and in order per sender.
 *
 * Do not use it as a lock. While nodes are partitioned each side has its own oldest member, so what
 * must exist once belongs under a transaction of the database; see
 * docs/adr/0008-names-across-nodes.md.
 */

import { type Dispatcher, type PublishResult, PubSub, registerDispatcher } from "simurgh/pubsub";
import { type ChildSpec, isPid, self, send } from "simurgh/runtime";
import { show, showTerm } from "#runtime";
import type { Meta } from "./tracker/delta.js";
import type { ReplicationOptions } from "./tracker/options.js";
import { Tracker } from "./tracker/tracker.js";
import type { TrackerModule } from "./tracker/tracker-callbacks.js";
import type { ReadView } from "./tracker/view.js";

/** A process of any node. Plain data: it may be sent. */
export interface Member {
  /** The node's name in the cluster. */
  readonly node: string;
  /** The process there, as text; on its own node `parsePid` makes a pid of it. */
  readonly pid: string;
}

export interface ClusterGroups {
  readonly name: string;
  /** For every shard thread, behind PubSub. */
  childSpec(options: { readonly pubsub: string } & ReplicationOptions): ChildSpec;
  /** Makes the calling process a member. Joining again has no effect. */
  join(group: string): Promise<"ok">;
  /** Removes the calling process from the group. */
  leave(group: string): Promise<"ok">;
  /** All members, the oldest first: the same on every node once changes have been replicated. */
  members(group: string): Promise<readonly Member[]>;
  /** To one member, wherever it is; ok also when it is gone. */
  send(group: string, to: Member, message: unknown): PublishResult;
  /** To all members, on all nodes. */
  broadcast(group: string, message: unknown): PublishResult;
  /**
   * The members now. From now on the calling process gets `["members", name, group, members]`
   * whenever they have changed, until it ends; the first such message may say again what is known.
   */
  watch(group: string): Promise<readonly Member[]>;
}

/** What crosses on the topic of a group; undefined is for all. */
type Sent = readonly [to: string | undefined, message: unknown];

const toMembers: Dispatcher = {
  name: "simurgh.cluster_groups",
  dispatch(topic, _from, sent) {
    const [to, message] = sent as Sent;
    // A subscription carries the text of its process.
    for (const { pid, metadata } of topic.subscriptions())
      if (to === undefined || to === null || to === metadata) send(pid, message);
  },
};
registerDispatcher(toMembers);

interface State {
  readonly name: string;
  readonly pubsub: string;
  readonly view: ReadView;
}

const topicOf = (name: string, group: string): string => `simurgh:groups:${name}:${group}`;
const watchTopicOf = (name: string, group: string): string => `simurgh:watched_groups:${name}:${group}`;

const memberOf = (key: string, meta: Meta): Member => ({ node: show(meta.node), pid: key });

const module: TrackerModule<State, Omit<State, "view">> = {
  name: "ClusterGroups",
  init: (arg, view) => ["ok", { ...arg, view }],
  handleDiff(diff, state) {
    const { name, pubsub, view } = state;
    const before = topicOf(name, "");
    for (const topic of diff.keys()) {
      const group = topic.slice(before.length);
      const members = view.entries(topic).map(({ key, meta }) => memberOf(key, meta));
      PubSub.localBroadcast(pubsub, watchTopicOf(name, group), ["members", name, group, members]);
    }
    return ["ok", state];
  },
};

/** Groups under a name, the same on every node. */
export function defineClusterGroups({ name }: { readonly name: string }): ClusterGroups {
  const pubsub = (): string => Tracker.pubsubOf(name);
  const members = async (group: string): Promise<readonly Member[]> =>
    (await Tracker.list(name, topicOf(name, group))).map(([key, meta]) => memberOf(key, meta));
  return {
    name,

    childSpec: (options) => Tracker.childSpec(module, { name, pubsub: options.pubsub }, { ...options, name }),

    async join(group) {
      const [pid, topic] = [self(), topicOf(name, group)];
      const node = PubSub.nodeName(pubsub());
      const known = await Tracker.getByKey(name, topic, String(pid));
      if (known.some(([of]) => isPid(of) && of.equals(pid))) return "ok";
      // Who is seen to be a member is reached, so it listens first.
      await PubSub.subscribe(pubsub(), topic, { metadata: String(pid) });
      const result = await Tracker.track(
        name,
        pid,
        topic,
        String(pid),
        { node },
        { onTrackerRestart: "retrack" },
      );
      if (result[0] === "error") throw new Error(`cannot join the group ${group}: ${showTerm(result[1])}`);
      return "ok";
    },

    async leave(group) {
      const [pid, topic] = [self(), topicOf(name, group)];
      await Tracker.untrack(name, pid, topic, String(pid));
      await PubSub.unsubscribe(pubsub(), topic);
      return "ok";
    },

    members,

    send: (group, { node, pid }, message) =>
      PubSub.directBroadcast(pubsub(), node, topicOf(name, group), [pid, message] satisfies Sent, toMembers),

    broadcast: (group, message) =>
      PubSub.broadcast(pubsub(), topicOf(name, group), [undefined, message] satisfies Sent, toMembers),

    async watch(group) {
      await PubSub.subscribe(pubsub(), watchTopicOf(name, group));
      return members(group);
    },
  };
}
