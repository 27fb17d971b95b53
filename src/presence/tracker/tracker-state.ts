/**
 * Tracker is the state of a running tracker process, and the table in which other processes of its
 * thread find it.
 */
import { randomBytes } from "node:crypto";
import { PubSub } from "simurgh/pubsub";
import { type ExitReason, isNormalClass, onExit, type Pid, type Ref, self, thisNode } from "simurgh/runtime";
import { NamedTable } from "#runtime";
import type { ReplicaRef } from "./clock.js";
import type { Entry } from "./delta.js";
import { DEFAULT_LIMITS, type PresenceLimits, Rates } from "./limits.js";
import type { MessageError } from "./message.js";
import type { Settings } from "./options.js";
import { RemotelyTracked } from "./remote-tracking.js";
import type { TrackerModule, TrackerOptions, TrackerStats } from "./tracker-callbacks.js";
import { TrackerCore } from "./tracker-core.js";
import type { ReadView } from "./view.js";

/** A tracked process, monitored while it has entries. */
export interface Tracked {
  readonly pid: Pid;
  readonly ref: Ref;
  retrack: boolean;
}

export interface Tracker {
  readonly module: TrackerModule;
  readonly options: TrackerOptions;
  readonly settings: Settings;
  readonly core: TrackerCore;
  readonly topic: string;
  readonly tracked: Map<string, Tracked>;
  readonly limits: Required<PresenceLimits>;
  readonly rates: Rates | undefined;
  /** Replicas of this node's other threads, by thread. */
  readonly siblings: Map<number, { ref: ReplicaRef | undefined; monitor: Ref }>;
  /** Processes of this thread that other threads track, and the monitors of those trackers. */
  readonly remote: RemotelyTracked;
  readonly ownerMonitors: Map<number, Ref>;
  adopting: boolean;
  /** Requests for orphans without success. */
  adoptTries: number;
  /** The owners of slots before the last move. */
  owners: readonly number[] | undefined;
  readonly refused: Record<MessageError["code"], number>;
  mismatchReportedAt: number;
  failedDiffs: number;
  sent: number;
  received: number;
  moduleState: unknown;
  timer: Ref | undefined;
  timerAt: number;
}

const trackers = new NamedTable<Tracker>();
/** Entries of processes that survive their tracker, until the next one tracks them. */
export const orphans = new NamedTable<readonly { readonly pid: Pid; readonly entry: Entry }[]>();

const crashStates = new NamedTable<unknown>();
/** Survives the tracker: other threads track the entries on. */
const remoteTracking = new NamedTable<RemotelyTracked>();

/** The state that a crashed tracker of this name has left; returned once. */
export const crashStateOf = (name: string): unknown => crashStates.take(name);

const running = (name: string): Tracker | undefined => trackers.get(name);

/** The view of the tracker of this name in this thread; undefined when it is not running here. */
export const trackerView = (name: string): ReadView | undefined => running(name)?.core.view;

/**
 * The process of an entry; its text for a process of another node, since the same text may name a
 * local process.
 */
export function pidOf(name: string, entry: Entry): Pid | string {
  const tracker = running(name);
  return (tracker && localPid(tracker, entry)) ?? entry.pid;
}

export function localPid({ core, tracked }: Tracker, entry: Entry): Pid | undefined {
  return core.own.get(entry.topic, entry.pid, entry.key) === entry ? tracked.get(entry.pid)?.pid : undefined;
}

export const now = (): number => thisNode().clock.now();

export function make(module: TrackerModule, options: TrackerOptions, settings: Settings): Tracker {
  const { name, pubsub } = options;
  const node = thisNode();
  const core = new TrackerCore({
    ref: {
      name: `${PubSub.nodeName(pubsub)}#${node.index}`,
      incarnation: `${randomBytes(8).toString("base64url")}.${Date.now().toString(36)}`,
    },
    settings,
    owns: (topic) => PubSub.ownerOf(pubsub, topic) === node.index,
    ownsSlot: (slot) => PubSub.ownerOfSlot(pubsub, slot) === node.index,
    replicated: !PubSub.isSingleNode(pubsub),
  });
  return {
    module,
    options,
    settings,
    core,
    topic: `phx_presence:${name}`,
    tracked: new Map(),
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    rates: options.rateLimit === undefined ? undefined : new Rates(options.rateLimit),
    siblings: new Map(),
    remote: remotelyTracked(name),
    ownerMonitors: new Map(),
    adopting: false,
    adoptTries: 0,
    owners: PubSub.owners(pubsub),
    refused: { malformed: 0, protocol: 0, slots: 0, tracker: 0 },
    mismatchReportedAt: Number.NEGATIVE_INFINITY,
    failedDiffs: 0,
    sent: 0,
    received: 0,
    moduleState: undefined,
    timer: undefined,
    timerAt: 0,
  };
}

function remotelyTracked(name: string): RemotelyTracked {
  const remote = remoteTracking.get(name) ?? new RemotelyTracked();
  remoteTracking.put(name, remote);
  return remote;
}

export function register(tracker: Tracker): void {
  const node = thisNode();
  const { name } = tracker.options;
  trackers.putFor(self(), name, tracker);
  onExit(self(), (reason: ExitReason) => {
    if (isNormalClass(reason)) return;
    const last = tracker.module.crashState?.(tracker.moduleState);
    if (last !== undefined) crashStates.put(name, last, node);
    const left: { pid: Pid; entry: Entry }[] = [];
    for (const entry of tracker.core.own.entries()) {
      const process = tracker.tracked.get(entry.pid);
      if (process?.retrack) left.push({ pid: process.pid, entry });
    }
    if (left.length > 0) orphans.put(name, left, node);
    for (const { pid, retrack } of tracker.tracked.values())
      if (!retrack) node.exit(pid, ["tracker_down", name]);
  });
}

/** The node of a replica: its name without the thread. */
export const nodeOf = ({ name }: ReplicaRef): string => name.slice(0, name.lastIndexOf("#"));

export function statsOf({ core, refused, failedDiffs, sent, received }: Tracker): TrackerStats {
  return {
    ...core.stats(now()),
    replica: core.ref.name,
    refused: { ...refused },
    failedDiffs,
    sent,
    received,
  };
}
