/**
 * The tracker process: keeps the entries of the topics of its thread, watches the processes behind
 * them, tells the trackers of other nodes, and hands every change to a module (Phoenix.Tracker).
 *
 * It is thin: what happens is decided in tracker-core.ts. State first, then the diff, then the
 * answer: whoever has been answered finds the change in a list. Reads do not go through the
 * process: in its thread they look at the state directly.
 *
 * When the tracker crashes, what it knew is lost. The processes it tracked end with it, so that
 * their clients re-join and are tracked anew; that is the recovery. A process tracked with
 * `onTrackerRestart: "retrack"` lives on instead, and the next tracker begins with its entries.
 */
import { randomBytes } from "node:crypto";
import { inspect, isDeepStrictEqual } from "node:util";
import { PubSub } from "simurgh/pubsub";
import {
  backoff,
  cancelTimer,
  demonitor,
  type ExitReason,
  GenServer,
  type GenServerModule,
  isAlive,
  isNormalClass,
  isPid,
  monitor,
  onExit,
  type Pid,
  type Ref,
  type StartResult,
  self,
  send,
  sendAfter,
  telemetry,
  thisNode,
  trapExit,
} from "simurgh/runtime";
import { NamedTable } from "#runtime";
import { type ReplicaRef, refText } from "./clock.js";
import type { Meta, Row } from "./delta.js";
import { follow, replication } from "./durable-subscription.js";
import { DEFAULT_LIMITS, type PresenceLimits, type RateLimit, Rates } from "./limits.js";
import { decode, encode, type Message, MessageError } from "./message.js";
import { withRef } from "./meta.js";
import { type ReplicationOptions, type Settings, settingsOf } from "./options.js";
import { type AbroadEntry, RemotelyTracked } from "./remote-tracking.js";
import { type CoreStats, type Effect, type ReplicaEvent, TrackerCore } from "./tracker-core.js";
import type { Diff, ReadView } from "./view.js";

/** What is done with diffs: two callbacks and a state, as a GenServer has them. */
export interface TrackerModule<State = unknown, Arg = unknown> {
  readonly name?: string;
  /** `view` shows the entries, now and later. */
  init(arg: Arg, view: ReadView): readonly ["ok", State] | readonly ["error", ExitReason];
  /** Takes every diff, in order; never an empty one. Runs in the tracker: it must not wait. */
  handleDiff(diff: Diff, state: State): readonly ["ok", State];
  /** The entries of a topic were read for another thread. */
  listed?(topic: string, state: State): void;
  /** The tracker has crashed: what the next one should know. It gets it by `lostBy`. */
  lost?(state: State): unknown;
  /** Messages the tracker itself does not use. Without it they are dropped. */
  handleInfo?(message: unknown, state: State): readonly ["noreply", State];
}

export interface TrackerOptions extends ReplicationOptions {
  /** Registered name, the same in every thread and on every node. */
  readonly name: string;
  /** The PubSub that carries what replicas say to each other. */
  readonly pubsub: string;
  readonly limits?: PresenceLimits;
  /** How often one process may track, update and untrack. Default: as it likes. */
  readonly rateLimit?: RateLimit;
  /** An update with an equal meta keeps its ref and is told to nobody. Default false. */
  readonly skipEqual?: boolean;
  /** Gets `[event, replica name, own name]` of replicas that come and go. */
  readonly reportEventsTo?: Pid;
}

export type TrackRequest = readonly [
  "track",
  pid: Pid,
  topic: string,
  key: string,
  meta: Meta,
  onTrackerRestart: "exit" | "retrack",
];

export type TrackerRequest =
  | TrackRequest
  | readonly [
      "update",
      pid: Pid,
      topic: string,
      key: string,
      meta: Record<string, unknown>,
      expected: string | undefined,
    ]
  | readonly ["untrack", pid: Pid, topic: string, key: string]
  | readonly ["untrack all", pid: Pid]
  | readonly ["list", topic: string]
  | readonly ["count", topic: string]
  | readonly ["get", pid: Pid, topic: string, key: string]
  | readonly ["stats"]
  | readonly ["goodbye"];

export type TrackerCast =
  /** The caller of a track gave up waiting: it must not succeed unseen. */
  | readonly ["cancel", pid: Pid, topic: string, key: string, phxRef: string]
  /** The topic has moved here, and this entry with it; or the thread that kept it is gone. */
  | TrackRequest
  /**
   * The tracker of another thread keeps this entry of a process of this one, and does so no more:
   * see abroad.ts.
   */
  | readonly ["abroad", thread: number, entry: AbroadEntry]
  | readonly ["back", thread: number, pid: Pid, topic: string, key: string];

/** The topic has moved to another thread: ask there. */
export const ELSEWHERE = "topic_moved";

export type TrackResult = readonly ["ok", phxRef: string] | readonly ["error", unknown];

export interface TrackerStats extends CoreStats {
  readonly replica: string;
  /** Messages of other trackers that could not be taken, by why. */
  readonly refused: Readonly<Record<MessageError["code"], number>>;
  /** Diffs whose handler threw. */
  readonly failedDiffs: number;
  /** Messages to and from other trackers. */
  readonly sent: number;
  readonly received: number;
}

/** A process that is tracked, watched while it has entries. */
interface Tracked {
  readonly pid: Pid;
  readonly ref: Ref;
  retrack: boolean;
}

interface Tracker {
  readonly module: TrackerModule;
  readonly options: TrackerOptions;
  readonly settings: Settings;
  readonly core: TrackerCore;
  readonly topic: string;
  readonly tracked: Map<string, Tracked>;
  readonly limits: Required<PresenceLimits>;
  readonly rates: Rates | undefined;
  /** Replicas of other threads of this node, by thread: their end is known here first. */
  readonly siblings: Map<number, { ref: ReplicaRef | undefined; monitor: Ref }>;
  /** Processes of this thread that other threads keep, and the monitors of those. */
  readonly abroad: RemotelyTracked;
  readonly hosts: Map<number, Ref>;
  takesIn: boolean;
  /** How often it has asked in vain. */
  takesInTries: number;
  /** Who owned which slot when it last looked. */
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
/** Entries of processes that asked to outlive their tracker, until the next one takes them up. */
const orphans = new NamedTable<readonly { readonly pid: Pid; readonly row: Row }[]>();

const lastWords = new NamedTable<unknown>();
/** Outlives the tracker: whom others keep, they keep on. */
const abroads = new NamedTable<RemotelyTracked>();

/** What the tracker of this name left when it crashed; once. */
export const lostBy = (name: string): unknown => lastWords.take(name);

const running = (name: string): Tracker | undefined => trackers.get(name);

/** What the tracker of this name shows in this thread; undefined when it is not running here. */
export const trackerView = (name: string): ReadView | undefined => running(name)?.core.view;

/**
 * The process behind an entry; of another node, its text: the same text may name a process here.
 */
export function pidOf(name: string, row: Row): Pid | string {
  const tracker = running(name);
  return (tracker && localPid(tracker, row)) ?? row.pid;
}

function localPid({ core, tracked }: Tracker, row: Row): Pid | undefined {
  return core.own.get(row.topic, row.pid, row.key) === row ? tracked.get(row.pid)?.pid : undefined;
}

const SEND_LATER = Symbol("send later");
const GOODBYE_FOR = Symbol("goodbye for");
const WAKE = Symbol("wake");
const TAKE_IN = Symbol("take in");
/** How often those whose tracker's thread is gone ask the next one to track them. */
const TAKE_IN_MS = 100;
const LONGEST_TAKE_IN_MS = 2000;
const HAND_OVER = Symbol("hand over");
const HANDED_OVER = Symbol("handed over");
/**
 * Channels whose topic has moved end by themselves, and their entries with them; what is left after
 * that time moves.
 */
const CHANNELS_END_MS = 1000;
/** The new place of an entry is told before the old one leaves, so that nobody sees its key go. */
const HANDED_OVER_MS = 100;
/** A goodbye for a thread that died is repeated: it may get lost, as anything between nodes. */
const GOODBYE_AGAIN_MS = [200, 1000];
const MISMATCH_REPORT_MS = 60_000;

interface StartArg {
  readonly module: TrackerModule;
  readonly arg: unknown;
  readonly options: TrackerOptions;
}

const server: GenServerModule<Tracker, StartArg, TrackerRequest, TrackerCast> = {
  name: "Tracker",

  init({ module, arg, options }) {
    const settings = settingsOf(options);
    if (Array.isArray(settings)) return ["error", settings[1] as string];
    const tracker = make(module, options, settings as Settings);
    const began = module.init(arg, tracker.core.view);
    if (Array.isArray(began) && began[0] === "error") return ["error", began[1] as ExitReason];
    if (!isPair(began, "ok")) throw badReturn(module, "init", '["ok", state]', began);
    tracker.moduleState = began[1];
    remember(tracker);
    // To say goodbye it must hear of its end before it ends.
    trapExit(true);
    begin(tracker);
    return ["ok", tracker];
  },

  handleCall(request, _from, tracker) {
    if (request[0] === "goodbye") {
      sayLast(tracker, tracker.core.goodbye(now()));
      return ["stop", "normal", "ok", tracker];
    }
    const answer = carryOut(request, tracker);
    arm(tracker);
    return ["reply", answer, tracker];
  },

  handleCast(request, tracker) {
    switch (request[0]) {
      case "track":
        // Who asks again has not heard that it is.
        if (track(tracker, request)[0] === "error") tellHome(tracker, request[1], request[2], request[3]);
        break;
      case "cancel": {
        const [, pid, topic, key, phxRef] = request;
        if (tracker.core.own.get(topic, String(pid), key)?.meta.phx_ref === phxRef)
          untrack(tracker, pid, topic, key);
        break;
      }
      case "abroad":
        tracker.abroad.put(request[1], request[2]);
        watchHost(tracker, request[1]);
        break;
      case "back":
        tracker.abroad.remove(request[1], request[2], request[3], request[4]);
        break;
    }
    arm(tracker);
    return ["noreply", tracker];
  },

  handleInfo(received, tracker) {
    if (received === PubSub.OWNERS_CHANGED) {
      ownersChanged(tracker);
      arm(tracker);
      return ["noreply", tracker];
    }
    const message: readonly unknown[] = Array.isArray(received) ? received : [];
    switch (message[0]) {
      case WAKE:
        tracker.timer = undefined;
        perform(tracker, tracker.core.wake(now()));
        break;
      case "replication":
        receive(tracker, message[1]);
        break;
      case SEND_LATER:
        direct(tracker, message[1] as ReplicaRef, message[2] as Message);
        break;
      case GOODBYE_FOR:
        perform(tracker, tracker.core.goodbyeFor(message[1] as ReplicaRef));
        break;
      case TAKE_IN:
        tracker.takesIn = false;
        takeIn(tracker);
        break;
      case HAND_OVER:
        handOver(tracker, () => true);
        break;
      case HANDED_OVER:
        handedOver(tracker, message[1] as Row);
        break;
      case "adapter":
        if (Array.isArray(message[1])) adapterEvent(tracker, message[1]);
        break;
      case "DOWN":
        down(tracker, message);
        break;
      case "EXIT":
        // A linked process of its own: without it nothing of other nodes would be heard.
        if (isPid(message[1]) && !isNormalClass(message[2] as ExitReason))
          return ["stop", message[2] as ExitReason, tracker];
        break;
      default:
        info(tracker, received);
    }
    arm(tracker);
    return ["noreply", tracker];
  },

  terminate(reason, tracker) {
    const { core, options, settings } = tracker;
    // After a crash its successor corrects what the others know; without a PubSub nothing can be
    // sent.
    if (!isNormalClass(reason) || !PubSub.isRunning(options.pubsub)) return;
    // A thread all of whose topics have moved to others does not come back.
    const isOver = !PubSub.threads(options.pubsub).includes(thisNode().index);
    sayLast(tracker, settings.permdownOnShutdown || isOver ? core.goodbye(now()) : core.flush(now()));
  },

  formatStatus: ({ state: { options, core } }) => ({ name: options.name, ...core.stats(0) }),
};

const now = (): number => thisNode().clock.now();

// ------------------------------------------------------------------ starting

function make(module: TrackerModule, options: TrackerOptions, settings: Settings): Tracker {
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
    abroad: abroadOf(name),
    hosts: new Map(),
    takesIn: false,
    takesInTries: 0,
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

function abroadOf(name: string): RemotelyTracked {
  const abroad = abroads.get(name) ?? new RemotelyTracked();
  abroads.put(name, abroad);
  return abroad;
}

function remember(tracker: Tracker): void {
  const node = thisNode();
  const { name } = tracker.options;
  trackers.putFor(self(), name, tracker);
  onExit(self(), (reason: ExitReason) => {
    if (isNormalClass(reason)) return;
    const last = tracker.module.lost?.(tracker.moduleState);
    if (last !== undefined) lastWords.put(name, last, node);
    const left: { pid: Pid; row: Row }[] = [];
    for (const row of tracker.core.own.rows()) {
      const entry = tracker.tracked.get(row.pid);
      if (entry?.retrack) left.push({ pid: entry.pid, row });
    }
    if (left.length > 0) orphans.put(name, left, node);
    for (const { pid, retrack } of tracker.tracked.values())
      if (!retrack) node.exit(pid, ["tracker_down", name]);
  });
}

function begin(tracker: Tracker): void {
  const { core, options, settings, topic } = tracker;
  const { name, pubsub } = options;
  PubSub.watchOwners(pubsub);
  if (!PubSub.isSingleNode(pubsub)) {
    follow(pubsub, topic, self());
    follow(pubsub, PubSub.EVENTS, self());
    for (const thread of PubSub.threads(pubsub))
      if (thread !== thisNode().index) watchSibling(tracker, thread);
    // The first tick is up to a quarter of a period away, so that nodes that start together do not
    // speak together.
    const wait = (0.1 + 0.15 * Math.random()) * settings.broadcastPeriod;
    perform(tracker, core.start(now(), wait));
  }
  for (const { pid, row } of orphans.take(name) ?? [])
    if (isAlive(pid)) track(tracker, ["track", pid, row.topic, row.key, withRef(row.meta), "retrack"]);
  for (const thread of tracker.abroad.threads) watchHost(tracker, thread);
  takeIn(tracker);
  arm(tracker);
}

function watchSibling(tracker: Tracker, thread: number): void {
  const { name } = tracker.options;
  tracker.siblings.set(thread, {
    ref: tracker.siblings.get(thread)?.ref,
    monitor: monitor({ name, node: thread }),
  });
}

// ------------------------------------------------------------------ requests

function carryOut(request: TrackerRequest, tracker: Tracker): unknown {
  const { core } = tracker;
  const topic = topicOf(request);
  if (topic !== undefined && PubSub.ownerOf(tracker.options.pubsub, topic) !== thisNode().index)
    return ["error", ELSEWHERE];
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
    case "untrack all":
      comesHome(tracker, request[1]);
      forget(tracker, request[1]);
      perform(tracker, core.leaveAll(String(request[1]), now()));
      return "ok";
    case "list":
      tracker.module.listed?.(request[1], tracker.moduleState);
      return core.view
        .rows(request[1])
        .map((row) => [row.key, row.meta, localPid(tracker, row) ?? row.pid] as const);
    case "count":
      return { keys: core.view.keys(request[1]), metas: core.view.rows(request[1]).length };
    case "get":
      return core.own.get(request[2], String(request[1]), request[3])?.meta;
    case "stats":
      return statsOf(tracker);
    case "goodbye":
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

function track(tracker: Tracker, [, pid, topic, key, meta, onTrackerRestart]: TrackRequest): TrackResult {
  const { core, tracked } = tracker;
  const text = String(pid);
  if (core.own.get(topic, text, key) !== undefined) return ["error", ["already_tracked", pid, topic, key]];
  const full = tooMany(tracker, topic, text, key);
  if (full !== undefined) return full;
  const effects = core.join(topic, text, key, meta, now(), Date.now()) as readonly Effect[];
  const entry = tracked.get(text);
  if (entry !== undefined) entry.retrack ||= onTrackerRestart === "retrack";
  // A process that is dead already gives a DOWN at once: a join, then a leave.
  else tracked.set(text, { pid, ref: monitor(pid), retrack: onTrackerRestart === "retrack" });
  perform(tracker, effects);
  tellHome(tracker, pid, topic, key);
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
        : view.rows(topic).length >= limits.entriesPerTopic
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
  tellHome(tracker, pid, topic, key);
  return ["ok", meta.phx_ref];
}

function withoutRefs({ phx_ref: _ref, phx_ref_prev: _previous, ...rest }: Meta): Record<string, unknown> {
  return rest;
}

function untrack(tracker: Tracker, pid: Pid, topic: string, key: string): void {
  const { core } = tracker;
  perform(tracker, core.leave(topic, String(pid), key, now()));
  tellHome(tracker, pid, topic, key);
  if (core.own.countOf(String(pid)) === 0) forget(tracker, pid);
}

/** It has no entries any more: its end is of no interest. */
function forget(tracker: Tracker, pid: Pid): void {
  const entry = tracker.tracked.get(String(pid));
  if (entry === undefined) return;
  tracker.tracked.delete(String(pid));
  demonitor(entry.ref, { flush: true });
}

// ------------------------------------------------------------------ what happens

function down(tracker: Tracker, message: readonly unknown[]): void {
  const [, ref, , object, reason] = message;
  if (isPid(object)) {
    const text = String(object);
    if (tracker.tracked.get(text)?.ref.equals(ref) !== true) {
      info(tracker, message);
      return;
    }
    tracker.tracked.delete(text);
    comesHome(tracker, object);
    perform(tracker, tracker.core.leaveAll(text, now()));
    return;
  }
  if (hostDown(tracker, message)) return;
  const thread = (object as { readonly node?: unknown } | null | undefined)?.node;
  const sibling = typeof thread === "number" ? tracker.siblings.get(thread) : undefined;
  if (sibling?.monitor.equals(ref) !== true) {
    info(tracker, message);
    return;
  }
  // One that was stopped has said what it wanted to say; one that crashed has not.
  if (sibling.ref !== undefined && !isNormalClass(reason as ExitReason)) {
    const goodbye = tracker.core.goodbyeFor(sibling.ref);
    // The thread may have been the one that carries what trackers say.
    for (const effect of goodbye) if (effect[0] === "broadcast") aside(tracker, effect[1]);
    perform(tracker, goodbye);
    for (const ms of GOODBYE_AGAIN_MS) sendAfter(self(), [GOODBYE_FOR, sibling.ref], ms);
  }
  sibling.ref = undefined;
}

// ------------------------------------------------------------------ processes and trackers of
// different threads

/** Tells the tracker of the process's thread what this one keeps of it. */
function tellHome({ core, tracked, options: { name } }: Tracker, pid: Pid, topic: string, key: string): void {
  const thread = thisNode().index;
  if (pid.node === thread) return;
  const meta = core.own.get(topic, String(pid), key)?.meta;
  const retrack = tracked.get(String(pid))?.retrack ?? false;
  const told: TrackerCast =
    meta === undefined
      ? ["back", thread, pid, topic, key]
      : ["abroad", thread, { pid, topic, key, meta, retrack }];
  GenServer.cast({ name, node: pid.node }, told);
}

/** Nothing is kept of it here any more. */
function comesHome({ core, options: { name } }: Tracker, pid: Pid): void {
  const thread = thisNode().index;
  if (pid.node === thread) return;
  for (const { topic, key } of core.own.of(String(pid)))
    GenServer.cast({ name, node: pid.node }, ["back", thread, pid, topic, key] satisfies TrackerCast);
}

function watchHost({ hosts, options: { name } }: Tracker, thread: number): void {
  if (!hosts.has(thread)) hosts.set(thread, monitor({ name, node: thread }));
}

/**
 * Whether it is the end of a tracker that keeps processes of this thread. One that ended by itself
 * has seen to them.
 */
function hostDown(tracker: Tracker, [, ref, , object, reason]: readonly unknown[]): boolean {
  const { abroad, hosts, options } = tracker;
  const thread = (object as { readonly node?: unknown } | null | undefined)?.node as number;
  if (hosts.get(thread)?.equals(ref) !== true) return false;
  hosts.delete(thread);
  const isGone = reason === "noconnection";
  const kept = abroad.lose(thread, ({ retrack }) => isGone && retrack);
  for (const { pid, retrack } of kept)
    if (isGone && !retrack) thisNode().exit(pid, ["tracker_down", options.name]);
  takeIn(tracker);
  return true;
}

/**
 * Has those tracked whose tracker's thread is gone, again and again until there is one that does.
 */
function takeIn(tracker: Tracker): void {
  const { abroad, options } = tracker;
  for (const entry of abroad.orphaned) {
    const { pid, topic, key, meta } = entry;
    const request: TrackRequest = ["track", pid, topic, key, withRef(meta), "retrack"];
    const node = PubSub.ownerOf(options.pubsub, topic);
    if (node === thisNode().index) track(tracker, request);
    else if (isAlive(pid)) {
      GenServer.cast({ name: options.name, node }, request satisfies TrackerCast);
      continue;
    }
    abroad.settle(entry);
  }
  if (abroad.orphaned.length === 0) tracker.takesInTries = 0;
  if (abroad.orphaned.length === 0 || tracker.takesIn) return;
  tracker.takesIn = true;
  const wait = backoff(tracker.takesInTries, TAKE_IN_MS, LONGEST_TAKE_IN_MS);
  sendAfter(self(), [TAKE_IN], Math.ceil(wait));
  tracker.takesInTries += 1;
}

// ------------------------------------------------------------------ topics that move to other
// threads

function ownersChanged(tracker: Tracker): void {
  const { core, options } = tracker;
  const here = thisNode().index;
  const before = tracker.owners ?? [];
  const after = PubSub.owners(options.pubsub) ?? [];
  tracker.owners = after;
  const gained = after.some((owner, number) => owner === here && before[number] !== here);
  const lost = before.some((owner, number) => owner === here && after[number] !== here);
  if (!PubSub.isSingleNode(options.pubsub)) {
    for (const thread of PubSub.threads(options.pubsub))
      if (thread !== here && !tracker.siblings.has(thread)) watchSibling(tracker, thread);
  }
  if (gained || lost) perform(tracker, core.reassigned(gained, now()));
  if (!lost) return;
  // Channels run in the thread of their topic: who runs in another one is none.
  handOver(tracker, (pid) => pid.node !== here);
  sendAfter(self(), [HAND_OVER], CHANNELS_END_MS);
}

/** Gives the entries of topics that have moved to the trackers that keep them now. */
function handOver({ core, tracked, options: { name, pubsub } }: Tracker, which: (pid: Pid) => boolean): void {
  for (const row of core.own.rows()) {
    const node = PubSub.ownerOf(pubsub, row.topic);
    const entry = tracked.get(row.pid);
    if (node === thisNode().index || entry === undefined || !which(entry.pid)) continue;
    const restart = entry.retrack ? "retrack" : "exit";
    GenServer.cast({ name, node }, [
      "track",
      entry.pid,
      row.topic,
      row.key,
      withRef(row.meta),
      restart,
    ] satisfies TrackRequest);
    sendAfter(self(), [HANDED_OVER, row], HANDED_OVER_MS);
  }
}

function handedOver(tracker: Tracker, { topic, pid, key }: Row): void {
  const entry = tracker.tracked.get(pid);
  // It has ended, or the topic is back already.
  if (entry === undefined || PubSub.ownerOf(tracker.options.pubsub, topic) === thisNode().index) return;
  untrack(tracker, entry.pid, topic, key);
}

// ------------------------------------------------------------------ other trackers

function receive(tracker: Tracker, wire: unknown): void {
  const { core, options, refused } = tracker;
  tracker.received += 1;
  let message: Message;
  try {
    message = decode(options.name, wire);
  } catch (error) {
    if (!(error instanceof MessageError)) throw error;
    refused[error.code] += 1;
    telemetry.emit("presence.refused", { count: 1 }, { presence: options.name, why: error.code });
    if (error.code === "slots" && now() - tracker.mismatchReportedAt >= MISMATCH_REPORT_MS) {
      tracker.mismatchReportedAt = now();
      report("error", error.message, {});
    }
    return;
  }
  // One that ends is none that could be missed later.
  if (message.kind !== "goodbye") meetSibling(tracker, message.ref);
  perform(tracker, core.receive(message, now()));
}

/**
 * Notes the ref of a replica of another thread of this node, to say goodbye for it when that thread
 * dies.
 */
function meetSibling(tracker: Tracker, ref: ReplicaRef): void {
  if (nodeOf(ref) !== nodeOf(tracker.core.ref)) return;
  const thread = Number(ref.name.slice(ref.name.lastIndexOf("#") + 1));
  const sibling = tracker.siblings.get(thread);
  if (sibling === undefined || (sibling.ref !== undefined && refText(sibling.ref) === refText(ref))) return;
  if (sibling.ref === undefined) watchSibling(tracker, thread);
  (tracker.siblings.get(thread) as { ref: ReplicaRef | undefined }).ref = ref;
}

function adapterEvent(tracker: Tracker, event: readonly unknown[]): void {
  if (event[0] === "gap") tracker.core.gap((ref) => nodeOf(ref) === event[1], now());
  if (event[0] === "status" && event[1] === "up") perform(tracker, tracker.core.connected(now()));
}

function info(tracker: Tracker, message: unknown): void {
  const { module } = tracker;
  const result = module.handleInfo?.(message, tracker.moduleState);
  if (result === undefined && module.handleInfo === undefined) return;
  if (!isPair(result, "noreply")) throw badReturn(module, "handleInfo", '["noreply", state]', result);
  tracker.moduleState = result[1];
}

// ------------------------------------------------------------------ effects

function perform(tracker: Tracker, effects: readonly Effect[]): void {
  const { options, topic } = tracker;
  for (const effect of effects) {
    switch (effect[0]) {
      case "broadcast": {
        tracker.sent += 1;
        const result = PubSub.broadcast(options.pubsub, topic, encode(options.name, effect[1]), replication);
        if (result !== "ok")
          report("error", "what replicas must know could not be sent", { reason: result[1] });
        break;
      }
      case "direct":
        if (effect[3] < 1) direct(tracker, effect[1], effect[2]);
        else sendAfter(self(), [SEND_LATER, effect[1], effect[2]], Math.ceil(effect[3]));
        break;
      case "diff":
        tell(tracker, effect[1]);
        break;
      case "replica":
        replicaEvent(tracker, effect[1], effect[2]);
        break;
      case "conflict":
        report(
          "error",
          `another node is named ${nodeOf(effect[1])} and has been for longer: this one tells nobody`,
          {
            replica: effect[1],
          },
        );
        telemetry.emit("presence.conflict", { count: 1 }, { presence: options.name });
        break;
      case "diverged":
        telemetry.emit(
          "presence.diverged",
          { count: 1 },
          { presence: options.name, replica: effect[1].name },
        );
        break;
      case "transfer":
        telemetry.emit("presence.transfer", { count: 1 }, { presence: options.name, what: effect[1] });
        break;
    }
  }
}

/**
 * Performs the effects of a tracker that ends: the thread that carries its messages may have ended
 * already.
 */
function sayLast(tracker: Tracker, effects: readonly Effect[]): void {
  if (PubSub.ownerOf(tracker.options.pubsub, tracker.topic) !== thisNode().index)
    for (const effect of effects) if (effect[0] === "broadcast") aside(tracker, effect[1]);
  perform(tracker, effects);
}

/** To other nodes by this thread's own link, whichever thread carries what trackers say. */
function aside({ options, topic }: Tracker, message: Message): void {
  PubSub.broadcastOutOfBand(options.pubsub, topic, encode(options.name, message), replication);
}

function direct(tracker: Tracker, to: ReplicaRef, message: Message): void {
  const { options, topic } = tracker;
  tracker.sent += 1;
  PubSub.directBroadcast(options.pubsub, nodeOf(to), topic, encode(options.name, message), replication);
}

function tell(tracker: Tracker, diff: Diff): void {
  const { module } = tracker;
  let result: unknown;
  try {
    result = module.handleDiff(diff, tracker.moduleState);
  } catch (error) {
    // A mistake in it must not take everybody's presence along.
    tracker.failedDiffs += 1;
    report("error", `${module.name ?? "the tracker module"} failed to handle a diff`, { error });
    return;
  }
  if (!isPair(result, "ok")) throw badReturn(module, "handleDiff", '["ok", state]', result);
  tracker.moduleState = result[1];
}

function replicaEvent({ options, core }: Tracker, event: ReplicaEvent, ref: ReplicaRef): void {
  telemetry.emit("presence.replica", { count: 1 }, { presence: options.name, event, replica: ref.name });
  if (options.reportEventsTo !== undefined)
    send(options.reportEventsTo, [[event, ref.name], core.ref.name] as const);
}

/** Sees to it that `wake` is called when the core wants it. */
function arm(tracker: Tracker): void {
  const { deadline } = tracker.core;
  if (tracker.timer !== undefined) {
    if (tracker.timerAt <= deadline) return;
    cancelTimer(tracker.timer);
    tracker.timer = undefined;
  }
  if (deadline === Number.POSITIVE_INFINITY) return;
  tracker.timer = sendAfter(self(), [WAKE], Math.max(0, Math.ceil(deadline - now())));
  tracker.timerAt = deadline;
}

// ------------------------------------------------------------------ helpers

/** The node of a replica: its name without the thread. */
const nodeOf = ({ name }: ReplicaRef): string => name.slice(0, name.lastIndexOf("#"));

const isPair = (value: unknown, tag: string): value is readonly [string, unknown] =>
  Array.isArray(value) && value.length === 2 && value[0] === tag;

function badReturn(module: TrackerModule, callback: string, wanted: string, got: unknown): TypeError {
  return new TypeError(
    `${module.name ?? "the tracker module"}: ${callback} must return ${wanted}, got ${inspect(got)}`,
  );
}

function report(level: "error" | "info", text: string, metadata: Record<string, unknown>): void {
  thisNode().report({ kind: "notice", level, text, pid: self(), metadata });
}

function statsOf({ core, refused, failedDiffs, sent, received }: Tracker): TrackerStats {
  return {
    ...core.stats(now()),
    replica: core.ref.name,
    refused: { ...refused },
    failedDiffs,
    sent,
    received,
  };
}

/** Starts the tracker of this thread, linked to the caller. */
export function startTracker<State, Arg>(
  module: TrackerModule<State, Arg>,
  arg: Arg,
  options: TrackerOptions,
): Promise<StartResult> {
  return GenServer.startLink(
    server,
    { module: module as unknown as TrackerModule, arg, options },
    { name: options.name },
  );
}
