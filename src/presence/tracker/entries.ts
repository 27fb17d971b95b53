/**
 * The entries that a tracker keeps for processes: checks requests against limits, monitors the
 * processes, and notifies the tracker of a process that runs on another thread.
 */
import { isDeepStrictEqual } from "node:util";
import { PubSub } from "simurgh/pubsub";
import { demonitor, GenServer, monitor, type Pid, thisNode } from "simurgh/runtime";
import type { Meta } from "./delta.js";
import { perform } from "./effects.js";
import { withRef } from "./meta.js";
import {
  TOPIC_MOVED,
  type TrackerCast,
  type TrackerRequest,
  type TrackRequest,
  type TrackResult,
} from "./tracker-callbacks.js";
import type { Effect } from "./tracker-core.js";
import { localPid, now, statsOf, type Tracker } from "./tracker-state.js";

export function handleRequest(request: TrackerRequest, tracker: Tracker): unknown {
  const { core } = tracker;
  const topic = topicOf(request);
  if (topic !== undefined && PubSub.ownerOf(tracker.options.pubsub, topic) !== thisNode().index)
    return ["error", TOPIC_MOVED];
  switch (request[0]) {
    case "track":
      return limited(tracker, request[1]) ?? track(tracker, request);
    case "update":
      return limited(tracker, request[1]) ?? update(tracker, request);
    case "untrack": {
      const refused = limited(tracker, request[1]);
      if (refused !== undefined) return refused;
      untrack(tracker, request[1], request[2], request[3]);
      return "ok";
    }
    case "untrack_all":
      releaseHome(tracker, request[1]);
      forget(tracker, request[1]);
      perform(tracker, core.leaveAll(String(request[1]), now()));
      return "ok";
    case "list":
      tracker.module.listed?.(request[1], tracker.moduleState);
      return core.view
        .entries(request[1])
        .map((entry) => [entry.key, entry.meta, localPid(tracker, entry) ?? entry.pid] as const);
    case "count":
      return { keys: core.view.keys(request[1]), metas: core.view.entries(request[1]).length };
    case "get":
      return core.own.get(request[2], String(request[1]), request[3])?.meta;
    case "stats":
      return statsOf(tracker);
    case "permdown":
      return undefined;
  }
}

function topicOf(request: TrackerRequest): string | undefined {
  switch (request[0]) {
    case "track":
    case "update":
    case "untrack":
    case "get":
      return request[2];
    case "list":
    case "count":
      return request[1];
    default:
      return undefined;
  }
}

function limited(tracker: Tracker, pid: Pid): readonly ["error", unknown] | undefined {
  const wait = tracker.rates?.take(String(pid), now());
  return wait === undefined ? undefined : ["error", { reason: "rate_limited", retry_after_ms: wait }];
}

export function track(
  tracker: Tracker,
  [, pid, topic, key, meta, onTrackerRestart]: TrackRequest,
): TrackResult {
  const { core, tracked } = tracker;
  const text = String(pid);
  if (core.own.get(topic, text, key) !== undefined) return ["error", ["already_tracked", pid, topic, key]];
  const full = tooMany(tracker, topic, text, key);
  if (full !== undefined) return full;
  const effects = core.join(topic, text, key, meta, now(), Date.now()) as readonly Effect[];
  const process = tracked.get(text);
  if (process !== undefined) process.retrack ||= onTrackerRestart === "retrack";
  // A process that is dead already gives a DOWN at once: a join, then a leave.
  else tracked.set(text, { pid, ref: monitor(pid), retrack: onTrackerRestart === "retrack" });
  perform(tracker, effects);
  notifyHome(tracker, pid, topic, key);
  return ["ok", meta.phx_ref];
}

function tooMany(
  { core, limits }: Tracker,
  topic: string,
  pid: string,
  key: string,
): TrackResult | undefined {
  const { own, view } = core;
  const over =
    own.size >= limits.entries
      ? (["tracker", limits.entries] as const)
      : own.countOf(pid) >= limits.entriesPerProcess
        ? (["process", limits.entriesPerProcess] as const)
        : view.entries(topic).length >= limits.entriesPerTopic
          ? (["topic", limits.entriesPerTopic] as const)
          : view.metas(topic, key) >= limits.metasPerKey
            ? (["key", limits.metasPerKey] as const)
            : undefined;
  return over && ["error", ["too_many", ...over]];
}

function update(
  tracker: Tracker,
  [, pid, topic, key, given, expected]: TrackerRequest & readonly ["update", ...unknown[]],
): TrackResult {
  const { core, options } = tracker;
  const before = core.own.get(topic, String(pid), key)?.meta;
  if (before === undefined) return ["error", "nopresence"];
  if (expected !== undefined && before.phx_ref !== expected) return ["error", "conflict"];
  const meta = withRef(given, before.phx_ref);
  if (options.skipEqual && isDeepStrictEqual(withoutRefs(meta), withoutRefs(before)))
    return ["ok", before.phx_ref];
  perform(tracker, core.update(topic, String(pid), key, meta, now()) ?? []);
  notifyHome(tracker, pid, topic, key);
  return ["ok", meta.phx_ref];
}

function withoutRefs({ phx_ref: _ref, phx_ref_prev: _previous, ...rest }: Meta): Record<string, unknown> {
  return rest;
}

export function untrack(tracker: Tracker, pid: Pid, topic: string, key: string): void {
  const { core } = tracker;
  perform(tracker, core.leave(topic, String(pid), key, now()));
  notifyHome(tracker, pid, topic, key);
  if (core.own.countOf(String(pid)) === 0) forget(tracker, pid);
}

/** Stops monitoring a process without entries. */
export function forget(tracker: Tracker, pid: Pid): void {
  const process = tracker.tracked.get(String(pid));
  if (process === undefined) return;
  tracker.tracked.delete(String(pid));
  demonitor(process.ref, { flush: true });
}

/** Notifies the tracker of the process's own thread whether this one tracks the entry. */
export function notifyHome(
  { core, tracked, options: { name } }: Tracker,
  pid: Pid,
  topic: string,
  key: string,
): void {
  const thread = thisNode().index;
  if (pid.node === thread) return;
  const meta = core.own.get(topic, String(pid), key)?.meta;
  const retrack = tracked.get(String(pid))?.retrack ?? false;
  const notice: TrackerCast =
    meta === undefined
      ? ["untracked_remotely", thread, pid, topic, key]
      : ["tracked_remotely", thread, { pid, topic, key, meta, retrack }];
  GenServer.cast({ name, node: pid.node }, notice);
}

/** Notifies the tracker of the process's own thread that this one tracks none of its entries. */
export function releaseHome({ core, options: { name } }: Tracker, pid: Pid): void {
  const thread = thisNode().index;
  if (pid.node === thread) return;
  for (const { topic, key } of core.own.of(String(pid)))
    GenServer.cast({ name, node: pid.node }, [
      "untracked_remotely",
      thread,
      pid,
      topic,
      key,
    ] satisfies TrackerCast);
}
