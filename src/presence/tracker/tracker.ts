/**
 * Tracker knows which processes are on which topic, on all nodes, and passes changes to a module
 * (Phoenix.Tracker).
 *
 * A tracker runs in each shard thread under one name; each has the topics of its thread. Use it
 * when your own module handles the diffs. To send them to clients, use presence.ts.
 *
 *     const games: TrackerModule<Games> = {
 *       init: () => ["ok", new Games()],
 *       handleDiff(diff, games) { … return ["ok", games]; },
 *     };
 *     // in the shard's children:  Tracker.childSpec(games, undefined, { name: "Games", pubsub })
 *     // anywhere:
 *     await Tracker.track("Games", self(), "lobby", playerId, { level: 3 });
 */
import { PubSub } from "simurgh/pubsub";
import {
  BadArg,
  type ChildSpec,
  ExitSignal,
  GenServer,
  isPid,
  type Pid,
  type StartResult,
  sleep,
  thisNode,
} from "simurgh/runtime";
import type { Meta } from "./delta.js";
import { DEFAULT_LIMITS, type PresenceLimits, tooLarge } from "./limits.js";
import { checkKey, checkMeta, withRef } from "./meta.js";
import {
  TOPIC_MOVED,
  type TrackerModule,
  type TrackerOptions,
  type TrackerRequest,
  type TrackerStats,
  type TrackResult,
} from "./tracker-callbacks.js";
import { startTracker } from "./tracker-server.js";
import { pidOf, trackerView } from "./tracker-state.js";

export type MetaInput = Readonly<Record<string, unknown>>;
export type MetaChange = MetaInput | ((meta: Meta) => MetaInput);

export interface TrackOptions {
  /**
   * What happens to the process when the tracker crashes: it exits, so that its client re-joins, or
   * it survives and the next tracker tracks it. Default "exit".
   */
  readonly onTrackerRestart?: "exit" | "retrack";
}

const UPDATE_TRIES = 5;

const MOVING_TRIES = 100;
const MOVING_RETRY_MS = 50;

/**
 * Which PubSub a tracker of this name was started with tells which thread owns a topic. One name,
 * one PubSub.
 */
const pubsubs = new Map<string, { readonly pubsub: string; readonly limits: Required<PresenceLimits> }>();

function settingOf(name: string): { readonly pubsub: string; readonly limits: Required<PresenceLimits> } {
  const found = pubsubs.get(name);
  if (found === undefined)
    throw new BadArg(
      `badarg: presence ${name} is not running in this thread; start it after PubSub and before the endpoint's channels`,
    );
  return found;
}

/** The thread whose tracker of this name keeps a topic. */
export const trackerOf = (name: string, topic: string): number =>
  PubSub.ownerOf(settingOf(name).pubsub, topic);

/**
 * Asks the owner of a topic. Evaluated again while the topic moves, because the two threads may
 * know of the move at different times.
 */
async function ask<R>(name: string, topic: string, request: TrackerRequest): Promise<R> {
  for (let tries = 0; ; tries += 1) {
    const answer = await GenServer.call<unknown>({ name, node: trackerOf(name, topic) }, request);
    if (!Array.isArray(answer) || answer[1] !== TOPIC_MOVED || tries === MOVING_TRIES) return answer as R;
    await sleep(MOVING_RETRY_MS);
  }
}

function checkTopic(topic: unknown): asserts topic is string {
  if (typeof topic !== "string") throw new BadArg(`badarg: a topic must be a string, got ${typeof topic}`);
}

function checkPid(pid: unknown): asserts pid is Pid {
  if (!isPid(pid)) throw new BadArg("badarg: only a process of this node can be tracked; give its pid");
}

export const Tracker = {
  /** Starts the tracker of this thread, linked to the caller. */
  startLink<State, Arg>(
    module: TrackerModule<State, Arg>,
    arg: Arg,
    options: TrackerOptions,
  ): Promise<StartResult> {
    if (typeof options?.name !== "string" || options.name === "")
      throw new BadArg("badarg: a tracker needs a name");
    if (typeof options.pubsub !== "string")
      throw new BadArg(`badarg: the tracker ${options.name} needs the name of its pubsub`);
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    pubsubs.set(options.name, { pubsub: options.pubsub, limits });
    return startTracker(module, arg, options);
  },

  /** Restarted unless it ends normally, as it does after `gracefulPermdown`. */
  childSpec<State, Arg>(module: TrackerModule<State, Arg>, arg: Arg, options: TrackerOptions): ChildSpec {
    return {
      id: options.name,
      start: [() => Tracker.startLink(module, arg, options), []],
      restart: "transient",
    };
  },

  /**
   * Tracks a process of this node on a topic under `key`, until it ends or is untracked. The ref
   * names this state of the entry. `["error", ["already_tracked", pid, topic, key]]` the second
   * time.
   */
  async track(
    name: string,
    pid: Pid,
    topic: string,
    key: unknown,
    meta: MetaInput,
    { onTrackerRestart = "exit" }: TrackOptions = {},
  ): Promise<TrackResult> {
    checkPid(pid);
    checkTopic(topic);
    const text = checkKey(key);
    checkMeta(meta);
    const large = tooLarge(topic, text, meta, settingOf(name).limits);
    if (large !== undefined) return large;
    const withOwnRef = withRef(meta);
    try {
      return await ask(name, topic, ["track", pid, topic, text, withOwnRef, onTrackerRestart]);
    } catch (error) {
      // The request may still be handled later, without a caller that knows of the entry.
      if (error instanceof ExitSignal)
        GenServer.cast({ name, node: trackerOf(name, topic) }, [
          "cancel",
          pid,
          topic,
          text,
          withOwnRef.phx_ref,
        ]);
      throw error;
    }
  },

  /**
   * Replaces the meta, or computes it from the present one. The function runs in the caller, and
   * again when another update came first; after five times the result is `["error", "conflict"]`.
   * `["error", "nopresence"]` when the process is not tracked.
   */
  async update(
    name: string,
    pid: Pid,
    topic: string,
    key: unknown,
    change: MetaChange,
  ): Promise<TrackResult> {
    checkPid(pid);
    checkTopic(topic);
    const text = checkKey(key);
    const { limits } = settingOf(name);
    if (typeof change !== "function") {
      checkMeta(change);
      return (
        tooLarge(topic, text, change, limits) ??
        ask(name, topic, ["update", pid, topic, text, change, undefined])
      );
    }
    for (let tries = 0; tries < UPDATE_TRIES; tries += 1) {
      const before = await ask<Meta | undefined>(name, topic, ["get", pid, topic, text]);
      if (before === undefined) return ["error", "nopresence"];
      const meta: unknown = change(before);
      checkMeta(meta);
      const large = tooLarge(topic, text, meta, limits);
      if (large !== undefined) return large;
      const result = await ask<TrackResult>(name, topic, ["update", pid, topic, text, meta, before.phx_ref]);
      if (result[1] !== "conflict") return result;
    }
    return ["error", "conflict"];
  },

  /** Ends one entry of a process, or all of them. Ok also when there is none. */
  async untrack(
    name: string,
    pid: Pid,
    topic?: string,
    key?: unknown,
  ): Promise<"ok" | readonly ["error", unknown]> {
    checkPid(pid);
    if (topic === undefined) {
      const threads = PubSub.threads(settingOf(name).pubsub);
      await Promise.all(threads.map((node) => GenServer.call({ name, node }, ["untrack_all", pid])));
      return "ok";
    }
    checkTopic(topic);
    return ask(name, topic, ["untrack", pid, topic, checkKey(key)]);
  },

  /**
   * `[key, meta]` of all entries of the topic, in the order of joining, which is the same on every
   * node.
   */
  async list(name: string, topic: string): Promise<readonly (readonly [key: string, meta: Meta])[]> {
    checkTopic(topic);
    const view = trackerOf(name, topic) === thisNode().index ? trackerView(name) : undefined;
    if (view !== undefined) return view.entries(topic).map(({ key, meta }) => [key, meta] as const);
    const entries = await ask<readonly (readonly [string, Meta, unknown])[]>(name, topic, ["list", topic]);
    return entries.map(([key, meta]) => [key, meta] as const);
  },

  /** The processes under one key; of other nodes their pid as text. `[]` when there are none. */
  async getByKey(
    name: string,
    topic: string,
    key: unknown,
  ): Promise<readonly (readonly [pid: Pid | string, meta: Meta])[]> {
    checkTopic(topic);
    const text = checkKey(key);
    const view = trackerOf(name, topic) === thisNode().index ? trackerView(name) : undefined;
    if (view !== undefined)
      return view
        .entries(topic)
        .filter((entry) => entry.key === text)
        .map((entry) => [pidOf(name, entry), entry.meta] as const);
    const entries = await ask<readonly (readonly [string, Meta, Pid | string])[]>(name, topic, [
      "list",
      topic,
    ]);
    return entries.filter(([of]) => of === text).map(([, meta, pid]) => [pid, meta] as const);
  },

  /** How many keys and metas there are on the topic, without listing them. */
  async count(name: string, topic: string): Promise<{ readonly keys: number; readonly metas: number }> {
    checkTopic(topic);
    const view = trackerOf(name, topic) === thisNode().index ? trackerView(name) : undefined;
    if (view !== undefined) return { keys: view.keys(topic), metas: view.entries(topic).length };
    return ask(name, topic, ["count", topic]);
  },

  /** The PubSub that a tracker of this thread was started with. */
  pubsubOf: (name: string): string => settingOf(name).pubsub,

  /** What the tracker of this thread counts. */
  stats: (name: string): Promise<TrackerStats> => GenServer.call(name, ["stats"]),

  /**
   * Leaves the cluster: all its entries leave everywhere at once, and the trackers of this node
   * end.
   */
  async gracefulPermdown(name: string): Promise<"ok"> {
    await GenServer.multiCall(PubSub.threads(settingOf(name).pubsub), name, ["permdown"], 5000);
    return "ok";
  },
};
