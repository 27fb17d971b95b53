/**
 * Presence tracks who is on a topic, on all nodes, and sends changes to its clients
 * (Phoenix.Presence).
 *
 * A presence is started in every shard thread; its tracker keeps the topics of that thread and
 * agrees with those of other nodes. What is tracked leaves with its process, however that ends.
 * Changes are broadcast on their topic as `presence_diff`, merged when they come fast; a client
 * that joins is pushed `presence_state`.
 *
 *     export const RoomPresence = definePresence({ name: "RoomPresence" });
 *     // in the shard's children:   RoomPresence.childSpec({ pubsub })
 *     // in a channel, after join:  await RoomPresence.track(socket, userId, { typing: false });
 *     //   push(socket, "presence_state", await RoomPresence.list(socket));
 */
import { BadArg, type ChildSpec, isPid, onExit, type Pid, self, send, thisNode } from "simurgh/runtime";
import { NamedTable } from "#runtime";
import type { CoalesceOptions } from "./broadcast/coalescing.js";
import {
  type Baseline,
  DiffBroadcaster,
  type MetasHandler,
  type PushState,
} from "./broadcast/diff-broadcaster.js";
import { checked, type Fetch } from "./broadcast/fetch-pool.js";
import { groupByKey, type PresenceEntry, type Presences } from "./broadcast/payload.js";
import type { Meta } from "./tracker/delta.js";
import type { PresenceLimits, RateLimit, TooLarge } from "./tracker/limits.js";
import { checkKey } from "./tracker/meta.js";
import type { ReplicationOptions } from "./tracker/options.js";
import { type MetaChange, type MetaInput, Tracker, type TrackOptions, trackerOf } from "./tracker/tracker.js";
import type { TrackerModule, TrackerStats, TrackResult } from "./tracker/tracker-callbacks.js";
import { crashStateOf } from "./tracker/tracker-state.js";

/** What a channel's socket offers presence; a pid with a topic does as well. */
export interface Tracked {
  readonly topic: string;
  readonly channelPid: Pid;
}

export interface PresenceOptions<State = unknown> extends ReplicationOptions {
  /** Registered name, the same in every thread and on every node. */
  readonly name: string;
  /**
   * Name of the dispatcher that delivers diffs. Default: channels' fastlane when it is there, else
   * plain messages.
   */
  readonly dispatcher?: string;
  /**
   * Completes entries before they are shown: a place to load names for all keys in one query.
   * Called once per list, and twice per diff, for those who join and for those who leave. Must
   * return an entry for each key it was given, with its metas. A diff goes out with bare metas when
   * it throws, or takes longer than `fetchTimeout`.
   */
  readonly fetch?: Fetch;
  /** Ms. Default 5,000. */
  readonly fetchTimeout?: number;
  /**
   * How changes that come fast are merged. Default: rooms of 50 and more get at most a frame per 50
   * ms, and while people stream in or out one per up to 2 s. `false`: every change is a frame of
   * its own, as in Phoenix; a function decides per topic.
   */
  readonly coalesce?: CoalesceOptions | boolean | ((topic: string) => CoalesceOptions | boolean);
  /** A key that leaves and returns within so many ms, on any node, counts as changed. Default 0. */
  readonly leaveGraceMs?: number;
  /** False: no diffs are broadcast; for use on the server only. Default true. */
  readonly diffs?: boolean;
  /** A server-side client; see `MetasHandler`. Both or none. */
  readonly init?: MetasHandler<State>["init"];
  readonly handleMetas?: MetasHandler<State>["handleMetas"];
  readonly limits?: PresenceLimits;
  /** How often one client may track, update and untrack. Default: no limit. */
  readonly rateLimit?: RateLimit;
  /** Whether an update with an equal meta keeps its ref and is not sent. Default false. */
  readonly skipEqual?: boolean;
  /**
   * Keys such as `__proto__` break clients older than phoenix 1.7.15: refuse them? Default false.
   */
  readonly refuseUnsafeKeys?: boolean;
}

export type PresenceResult = TrackResult | TooLarge;

export interface PresenceStats extends TrackerStats {
  /** Diff frames, and the keys in them. */
  readonly frames: number;
  readonly changes: number;
  /** Changes that later ones have replaced before they were sent. */
  readonly merged: number;
  readonly fetchFailures: number;
  /** Topics with something under way. */
  readonly busyTopics: number;
}

export interface Presence {
  readonly name: string;
  /** The tracker of one thread. Its options win over those of the definition. */
  childSpec(options: { readonly pubsub: string } & ReplicationOptions): ChildSpec;
  /**
   * Tracks a process on a topic under `key`. `["error", ["already_tracked", pid, topic, key]]` the
   * second time.
   */
  track(socket: Tracked, key: unknown, meta: MetaInput, options?: TrackOptions): Promise<PresenceResult>;
  track(
    pid: Pid,
    topic: string,
    key: unknown,
    meta: MetaInput,
    options?: TrackOptions,
  ): Promise<PresenceResult>;
  /**
   * Replaces the meta, or computes it from the present one. `["error", "nopresence"]` when it is
   * not tracked.
   */
  update(socket: Tracked, key: unknown, meta: MetaChange): Promise<PresenceResult>;
  update(pid: Pid, topic: string, key: unknown, meta: MetaChange): Promise<PresenceResult>;
  /** Ends one entry of a process. Ok also when there is none. */
  untrack(socket: Tracked, key: unknown): Promise<"ok" | readonly ["error", unknown]>;
  untrack(pid: Pid, topic: string, key: unknown): Promise<"ok" | readonly ["error", unknown]>;
  /** All presences of the topic: `key → {metas}`, ready to be pushed as `presence_state`. */
  list(target: Tracked | string): Promise<Presences>;
  /** The presence under one key, completed by `fetch`; `[]` when there is none. */
  getByKey(target: Tracked | string, key: unknown): Promise<PresenceEntry | readonly []>;
  /** How many keys and metas there are, without listing them. */
  count(target: Tracked | string): Promise<{ readonly keys: number; readonly metas: number }>;
  /**
   * Pushes the state of the topic in its place among the diffs, so that it never undoes one; large
   * ones in parts. For the thread of the topic, where its channels are:
   *
   *     RoomPresence.pushState(socket, (event, payload) => push(socket, event, payload));
   */
  pushState(target: Tracked | string, push: PushState): void;
  /**
   * The processes that run `fetch` for diffs in this thread: a test waits until they have ended.
   */
  fetchersPids(): readonly Pid[];
  stats(): Promise<PresenceStats>;
}

const broadcasters = new NamedTable<DiffBroadcaster>();

const UNSAFE_KEYS: readonly string[] = [
  "__proto__",
  "constructor",
  "prototype",
  "hasOwnProperty",
  "toString",
  "valueOf",
];

export function definePresence<State = unknown>(options: PresenceOptions<State>): Presence {
  const { name, fetch, coalesce = true, leaveGraceMs = 0, fetchTimeout = 5000, diffs = true } = options;
  if (typeof name !== "string" || name === "") throw new BadArg("badarg: a presence needs a name");
  const handler = handlerOf(options);

  const broadcasterHere = (topic: string): DiffBroadcaster | undefined =>
    trackerOf(name, topic) === thisNode().index ? broadcasters.get(name) : undefined;

  const complete = async (topic: string, bare: Presences): Promise<Presences> =>
    fetch === undefined ? bare : checked(name, topic, bare, await fetch(topic, bare));

  const bareList = async (topic: string): Promise<Presences> => {
    const broadcaster = broadcasterHere(topic);
    if (broadcaster === undefined) return groupByKey(await Tracker.list(name, topic));
    return new Promise((resolve) => broadcaster.ask(topic, resolve));
  };

  const module = (pubsub: string): TrackerModule<DiffBroadcaster, Baseline | undefined> => ({
    name,
    init(baseline, view) {
      const broadcasterOptions = {
        name,
        pubsub,
        dispatcher: options.dispatcher,
        fetch,
        fetchTimeout,
        coalesce,
        leaveGraceMs,
      };
      const broadcaster = new DiffBroadcaster({ ...broadcasterOptions, diffs, handler }, view, baseline);
      broadcasters.putFor(self(), name, broadcaster);
      onExit(self(), () => broadcaster.end());
      return ["ok", broadcaster];
    },
    handleDiff(diff, broadcaster) {
      broadcaster.take(diff);
      return ["ok", broadcaster];
    },
    handleInfo(message, broadcaster) {
      broadcaster.message(message);
      return ["noreply", broadcaster];
    },
    listed: (topic, broadcaster) => broadcaster.served(topic),
    crashState: (broadcaster) => broadcaster.flushed(),
  });

  const refusedKey = (key: string): PresenceResult | undefined =>
    options.refuseUnsafeKeys && UNSAFE_KEYS.includes(key) ? ["error", ["bad_key", key]] : undefined;

  return {
    name,

    childSpec({ pubsub, ...overrides }) {
      if (typeof pubsub !== "string")
        throw new BadArg(`badarg: the presence ${name} needs the name of its pubsub`);
      return {
        id: name,
        restart: "transient",
        start: [
          () =>
            Tracker.startLink(module(pubsub), crashStateOf(name) as Baseline | undefined, {
              ...options,
              ...overrides,
              name,
              pubsub,
            }),
          [],
        ],
      };
    },

    async track(...args: readonly unknown[]) {
      const { pid, topic, key, rest } = target(args);
      return (
        refusedKey(key) ?? Tracker.track(name, pid, topic, key, rest[0] as MetaInput, rest[1] as TrackOptions)
      );
    },

    async update(...args: readonly unknown[]) {
      const { pid, topic, key, rest } = target(args);
      return Tracker.update(name, pid, topic, key, rest[0] as MetaChange);
    },

    async untrack(...args: readonly unknown[]) {
      const { pid, topic, key } = target(args);
      return Tracker.untrack(name, pid, topic, key);
    },

    async list(of) {
      const topic = topicOf(of);
      return complete(topic, await bareList(topic));
    },

    async getByKey(of, key) {
      const topic = topicOf(of);
      const wanted = checkKey(key);
      const all = await bareList(topic);
      if (!Object.hasOwn(all, wanted)) return [];
      const bare = all[wanted] as PresenceEntry;
      const presences = await complete(
        topic,
        groupByKey(bare.metas.map((meta): [string, Meta] => [wanted, meta])),
      );
      return presences[wanted] as PresenceEntry;
    },

    async count(of) {
      return Tracker.count(name, topicOf(of));
    },

    pushState(of, push) {
      const topic = topicOf(of);
      const broadcaster = broadcasterHere(topic);
      if (broadcaster === undefined)
        throw new BadArg(
          `badarg: pushState is for the thread of the topic ${topic}; push the result of list() instead`,
        );
      send(broadcaster.pid, broadcaster.stateRequest(topic, push));
    },

    fetchersPids: () => broadcasters.get(name)?.fetchers ?? [],

    async stats() {
      const broadcaster = broadcasters.get(name);
      return {
        ...(await Tracker.stats(name)),
        frames: broadcaster?.frames ?? 0,
        changes: broadcaster?.changes ?? 0,
        merged: broadcaster?.merged ?? 0,
        fetchFailures: broadcaster?.fetchFailures ?? 0,
        busyTopics: broadcaster?.busyTopics ?? 0,
      };
    },
  } satisfies Presence;
}

function handlerOf<State>({ name, init, handleMetas }: PresenceOptions<State>): MetasHandler | undefined {
  if (handleMetas === undefined) return undefined;
  if (init === undefined)
    throw new BadArg(
      `badarg: the presence ${name} has handleMetas, which needs init to begin with a state, such as: init: () => ["ok", {}]`,
    );
  return { init, handleMetas } as MetasHandler;
}

function topicOf(of: Tracked | string): string {
  const topic = typeof of === "string" ? of : of?.topic;
  if (typeof topic !== "string") throw new BadArg("badarg: presence takes a channel's socket, or a topic");
  return topic;
}

/** Both forms of the arguments: `(socket, key, …)` and `(pid, topic, key, …)`. */
function target(args: readonly unknown[]): {
  readonly pid: Pid;
  readonly topic: string;
  readonly key: string;
  readonly rest: readonly unknown[];
} {
  const [first, second, third] = args;
  if (isPid(first)) {
    if (typeof second !== "string") throw new BadArg("badarg: a topic must be a string");
    return { pid: first, topic: second, key: checkKey(third), rest: args.slice(3) };
  }
  const tracked = first as Partial<Tracked> | undefined;
  if (!isPid(tracked?.channelPid) || typeof tracked.topic !== "string")
    throw new BadArg("badarg: presence takes a channel's socket, or a pid and a topic");
  return { pid: tracked.channelPid, topic: tracked.topic, key: checkKey(second), rest: args.slice(2) };
}
