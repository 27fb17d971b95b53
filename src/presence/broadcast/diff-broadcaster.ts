/**
 * DiffBroadcaster sends presence diffs to clients. Diffs are coalesced per topic, completed by the
 * user's `fetch`, and sent in order; each frame is encoded once. Runs in the tracker's process.
 *
 *     diff ─▶ leave grace ─▶ window ─▶ queue of the topic (fetch) ─▶ broadcast ─▶ metas handler
 *                states for joining clients ──▲
 *
 * One file, because each of these steps reads and changes the state of one topic.
 */

import { PubSub, sharePayload } from "simurgh/pubsub";
import { type Pid, self, send, sendAfter, telemetry, thisNode } from "simurgh/runtime";
import { bareDispatcher, dispatcherNamed } from "#pubsub";
import type { Meta } from "../tracker/delta.js";
import type { Diff, ReadView, TopicDiff } from "../tracker/view.js";
import { diffChunks, stateChunks } from "./chunks.js";
import {
  type Coalesce,
  type CoalesceOptions,
  type CoalesceState,
  changed,
  DEFAULT_COALESCE,
  flushed,
  IDLE,
  nextFlushAt,
  windowOf,
} from "./coalescing.js";
import { DiffCoalescer } from "./diff-coalescer.js";
import { type Fetch, type Fetched, FetchPool } from "./fetch-pool.js";
import { LeaveGrace } from "./leave-grace.js";
import { groupByKey, type PresenceDiff, type Presences } from "./payload.js";
import { type Item, TopicQueue } from "./topic-queue.js";

type Named = readonly [key: string, meta: Meta];

/** A server-side client: gets each diff after its broadcast, with all presences of the topic. */
export interface MetasHandler<State = unknown> {
  init(state: Record<string, never>): readonly ["ok", State];
  handleMetas(
    topic: string,
    diff: PresenceDiff,
    presences: Readonly<Record<string, readonly Meta[]>>,
    state: State,
  ): readonly ["ok", State];
}

export interface BroadcasterOptions {
  readonly name: string;
  readonly pubsub: string;
  readonly dispatcher: string | undefined;
  readonly fetch: Fetch | undefined;
  readonly fetchTimeout: number;
  /**
   * False: every change is sent at once, on all topics or on those for which the function returns
   * it.
   */
  readonly coalesce: CoalesceOptions | boolean | ((topic: string) => CoalesceOptions | boolean);
  readonly leaveGraceMs: number;
  /** False: nothing is broadcast; for use on the server only. */
  readonly diffs: boolean;
  readonly handler: MetasHandler | undefined;
}

/** Sends one frame of a state to one client. */
export type PushState = (
  event: "presence_state" | "presence_diff",
  payload: Presences | PresenceDiff,
) => void;

interface Topic {
  readonly name: string;
  readonly window: DiffCoalescer;
  readonly queue: TopicQueue;
  readonly coalesce: Coalesce;
  coalescing: CoalesceState;
  /** When it will be looked whether a frame is due. */
  lookAt: number;
  delivering: boolean;
  /** All presences by key, for handleMetas. */
  metas: Map<string, readonly Meta[]>;
  /** Callers that wait for a list. */
  waiting: ((presences: Presences) => void)[];
  /** Clients that wait for a state in its place among the frames. */
  joining: PushState[];
  /** All presences, until something changes. */
  snapshot: Presences | undefined;
  snapshotAt: number;
}

const FLUSH = Symbol("flush");
const DELIVER = Symbol("deliver");
const GRACE = Symbol("grace");
const SNAPSHOT = Symbol("snapshot");
const RESYNC = Symbol("resync");
const STATE = Symbol("state");

/**
 * How long a new tracker collects entries of other replicas before it broadcasts what has changed
 * since the last one crashed.
 */
const RESYNC_MS = 1000;

/** What a tracker that crashed has sent to its clients, by topic and ref. */
export type Baseline = ReadonlyMap<string, ReadonlyMap<string, Named>>;

export class DiffBroadcaster {
  /** The tracker's process. Other processes ask for lists, too. */
  readonly pid = self();
  readonly #options: BroadcasterOptions;
  readonly #view: ReadView;
  readonly #topics = new Map<string, Topic>();
  readonly #grace: LeaveGrace | undefined;
  readonly #fetchPool: FetchPool | undefined;
  #graceAt = Number.POSITIVE_INFINITY;
  #baseline: Baseline | undefined;
  #handlerState: unknown;
  frames = 0;
  /** Changes in those frames. */
  changes = 0;
  merged = 0;

  constructor(options: BroadcasterOptions, view: ReadView, baseline: Baseline | undefined) {
    this.#options = options;
    this.#view = view;
    this.#grace = options.leaveGraceMs > 0 ? new LeaveGrace(options.leaveGraceMs) : undefined;
    const { fetch, name, fetchTimeout } = options;
    this.#fetchPool = fetch && new FetchPool({ presence: name, fetch, timeout: fetchTimeout });
    if (options.handler !== undefined) this.#handlerState = began(name, options.handler);
    if (baseline !== undefined) {
      this.#baseline = baseline;
      this.#later([RESYNC], RESYNC_MS);
    }
  }

  /** The tracker has exited: callers that still wait get an empty list. */
  end(): void {
    for (const { waiting } of this.#topics.values()) for (const take of waiting.splice(0)) take({});
  }

  get fetchers(): readonly Pid[] {
    return this.#fetchPool?.pids ?? [];
  }

  get fetchFailures(): number {
    return this.#fetchPool?.failures ?? 0;
  }

  /** Number of topics with something under way. */
  get busyTopics(): number {
    return this.#topics.size;
  }

  take(diff: Diff): void {
    for (const [name, change] of diff) {
      if (this.#baseline?.has(name)) continue;
      this.#change(name, this.#grace?.take(name, change, now()) ?? change);
    }
    this.#armGrace();
  }

  /** Takes a message to the tracker that is for the broadcaster. Whether it was. */
  message(message: unknown): boolean {
    if (!Array.isArray(message)) return false;
    const [what, name] = message as [unknown, string];
    const topic = this.#topics.get(name);
    switch (what) {
      case FLUSH:
        if (topic !== undefined) {
          topic.lookAt = Number.POSITIVE_INFINITY;
          this.#look(topic);
        }
        break;
      case DELIVER:
        if (topic !== undefined) {
          topic.delivering = false;
          this.#deliver(topic);
        }
        break;
      case SNAPSHOT:
        if (topic !== undefined) this.#snapshot(topic);
        break;
      case GRACE:
        this.#graceAt = Number.POSITIVE_INFINITY;
        for (const [of, change] of this.#grace?.expire(now()) ?? []) this.#change(of, change);
        this.#armGrace();
        break;
      case RESYNC:
        this.#resync();
        break;
      case STATE:
        this.#state(name, message[2] as PushState);
        break;
      case "DOWN":
        this.#fetchPool?.ended(message[3] as Pid);
        break;
      case "presence fetched":
        this.#fetchPool?.take(message as unknown as Fetched);
        break;
      default:
        return false;
    }
    return true;
  }

  // ---------------------------------------------------------------- states

  /** All entries of the topic as clients that got every frame see them, in order of joining. */
  entries(name: string): readonly Named[] {
    const entries = this.#view.entries(name).map(({ key, meta }): Named => [key, meta]);
    const held = this.#grace?.held(name) ?? [];
    return held.length === 0 ? entries : [...entries, ...held];
  }

  /**
   * Calls `take` with all presences of the topic: at once on an idle or small topic, else together
   * with all who ask within the same window, so that a burst of joins costs one state per window
   * and not one each.
   */
  ask(name: string, take: (presences: Presences) => void): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) {
      take(groupByKey(this.entries(name)));
      return;
    }
    if (topic.snapshot === undefined && windowOf(this.#sizeOf(name), topic.coalesce) > 0) {
      topic.waiting.push(take);
      if (topic.waiting.length > 1) return;
      const wait = topic.snapshotAt + topic.coalesce.windowMs - now();
      if (wait <= 0) this.#snapshot(topic);
      else this.#later([SNAPSHOT, name], wait);
      return;
    }
    topic.window.served();
    take(topic.snapshot ?? groupByKey(this.entries(name)));
  }

  /** The entries of the topic were given away for what may become a state. */
  served(name: string): void {
    this.#topics.get(name)?.window.served();
  }

  /**
   * To be sent to `pid`: as `ask`, but in its place among the frames of the topic, and in parts
   * that clients of any age understand.
   */
  stateRequest(name: string, push: PushState): readonly unknown[] {
    return [STATE, name, push];
  }

  #state(name: string, push: PushState): void {
    const topic = this.#topic(name);
    topic.joining.push(push);
    if (topic.joining.length > 1) return;
    this.ask(name, (presences) => {
      const pushes = topic.joining;
      topic.joining = [];
      this.#put(topic, { joins: presences, leaves: {} }, ({ joins }) => {
        const [first, ...others] = stateChunks(joins);
        return [
          () => this.#push(topic, pushes, "presence_state", first as Presences),
          ...others.map(
            (chunk) => () => this.#push(topic, pushes, "presence_diff", { joins: chunk, leaves: {} }),
          ),
        ];
      });
    });
  }

  #push(
    { name }: Topic,
    pushes: readonly PushState[],
    event: "presence_state" | "presence_diff",
    payload: Presences | PresenceDiff,
  ): void {
    sharePayload(payload);
    for (const push of pushes) {
      try {
        push(event, payload);
      } catch (error) {
        // Its channel may have ended meanwhile.
        report("debug", `${this.#options.name}: a state of ${name} could not be pushed`, { error });
      }
    }
  }

  #snapshot(topic: Topic): void {
    const { waiting, name } = topic;
    topic.waiting = [];
    topic.snapshotAt = now();
    topic.window.served();
    topic.snapshot = sharePayload(groupByKey(this.entries(name)));
    for (const take of waiting) take(topic.snapshot);
    this.#forgetIdle(topic);
  }

  // ---------------------------------------------------------------- diffs

  #change(name: string, change: TopicDiff): void {
    if (change.joins.length + change.leaves.length === 0) return;
    const topic = this.#topic(name);
    topic.snapshot = undefined;
    const before = topic.window.merged;
    topic.window.add(change);
    this.merged += topic.window.merged - before;
    topic.coalescing = changed(topic.coalescing, now(), topic.coalesce);
    this.#look(topic);
  }

  /** Tells what waits if it is time, else when it will be. */
  #look(topic: Topic): void {
    const { name, window, coalescing, coalesce } = topic;
    if (window.size === 0) {
      this.#forgetIdle(topic);
      return;
    }
    const waiting = { size: this.#sizeOf(name), changes: window.size, urgent: window.updated };
    const due = nextFlushAt(coalescing, waiting, coalesce);
    if (due <= now()) this.#flush(topic);
    else if (due < topic.lookAt) {
      topic.lookAt = due;
      this.#later([FLUSH, name], due - now());
    }
  }

  #flush(topic: Topic): void {
    const change = topic.window.take();
    if (change !== undefined) {
      topic.coalescing = flushed(topic.coalescing, now(), this.#sizeOf(topic.name), topic.coalesce);
      for (const diff of diffChunks(change.joins, change.leaves)) {
        const count = Object.keys(diff.joins).length + Object.keys(diff.leaves).length;
        this.#put(topic, diff, (completed) => [() => this.#tell(topic, completed, count)]);
      }
    }
    this.#forgetIdle(topic);
  }

  #put(topic: Topic, bare: PresenceDiff, parts: (completed: PresenceDiff) => Item["parts"]): void {
    const item: Item = { parts: undefined };
    topic.queue.put(item);
    if (this.#fetchPool === undefined) item.parts = parts(bare);
    else
      this.#fetchPool.begin(topic.name, bare, (completed) => {
        item.parts = parts(completed);
        this.#deliver(topic);
      });
    if (!topic.delivering) this.#deliver(topic);
  }

  /** Delivers what is ready; of what is more than one part, one in each turn of the process. */
  #deliver(topic: Topic): void {
    if (topic.delivering) return;
    const more = topic.queue.deliver();
    if (more) {
      topic.delivering = true;
      send(this.pid, [DELIVER, topic.name]);
    }
    this.#forgetIdle(topic);
  }

  #tell(topic: Topic, diff: PresenceDiff, keys: number): void {
    this.frames += 1;
    this.changes += keys;
    telemetry.emit("presence.diff", { keys }, { presence: this.#options.name, topic: topic.name });
    this.#broadcast(topic.name, diff);
    this.#handle(topic, diff);
  }

  #broadcast(topic: string, payload: PresenceDiff): void {
    const { pubsub, dispatcher, diffs, name } = this.#options;
    // The tracker of the new owner broadcasts a topic that has moved.
    if (!diffs || PubSub.ownerOf(pubsub, topic) !== thisNode().index) return;
    const by = dispatcherNamed(dispatcher ?? "fastlane") ?? bareDispatcher;
    try {
      PubSub.localBroadcast(pubsub, topic, { topic, event: "presence_diff", payload }, by);
    } catch (error) {
      report("error", `${name}: a diff of ${topic} could not be dispatched`, { error });
    }
  }

  #handle(topic: Topic, diff: PresenceDiff): void {
    const { handler, name } = this.#options;
    if (handler === undefined) return;
    const { metas } = topic;
    for (const [key, { metas: joined }] of Object.entries(diff.joins)) {
      const there = metas.get(key) ?? [];
      const known = new Set(there.map(({ phx_ref }) => phx_ref));
      metas.set(key, [...there, ...joined.filter(({ phx_ref }) => !known.has(phx_ref))]);
    }
    for (const [key, { metas: left }] of Object.entries(diff.leaves)) {
      const gone = new Set(left.map(({ phx_ref }) => phx_ref));
      const there = (metas.get(key) ?? []).filter(({ phx_ref }) => !gone.has(phx_ref));
      if (there.length === 0) metas.delete(key);
      else metas.set(key, there);
    }
    try {
      const result = handler.handleMetas(topic.name, diff, Object.fromEntries(metas), this.#handlerState);
      if (!Array.isArray(result) || result.length !== 2 || result[0] !== "ok")
        throw new TypeError(`handleMetas must return ["ok", state]`);
      this.#handlerState = result[1];
    } catch (error) {
      report("error", `${name}: handleMetas failed for ${topic.name}; its state stays as it was`, { error });
    }
  }

  // ---------------------------------------------------------------- the end of one tracker, the
  // begin of the next

  /** What clients have been sent. */
  flushed(): Baseline {
    const baseline = new Map<string, Map<string, Named>>();
    for (const name of this.#view.names()) {
      const sent = new Map(this.entries(name).map((named) => [named[1].phx_ref, named]));
      const pending = this.#topics.get(name)?.window.pending();
      for (const ref of pending?.joins.keys() ?? []) sent.delete(ref);
      for (const [ref, named] of pending?.leaves ?? []) sent.set(ref, named);
      if (sent.size > 0) baseline.set(name, sent);
    }
    return baseline;
  }

  /** Sends clients the difference between what they have been sent and what is there. */
  #resync(): void {
    const baseline = this.#baseline ?? new Map<string, Map<string, Named>>();
    this.#baseline = undefined;
    for (const [name, sent] of baseline) {
      const is = new Map(this.entries(name).map((named) => [named[1].phx_ref, named]));
      const joins = [...is].filter(([ref]) => !sent.has(ref)).map(([, named]) => named);
      const leaves = [...sent].filter(([ref]) => !is.has(ref)).map(([, named]) => named);
      const topic = this.#topic(name);
      // The handler is new and knows no entries; clients know the old ones.
      if (is.size > 0) this.#handle(topic, { joins: groupByKey([...is.values()]), leaves: {} });
      for (const diff of joins.length + leaves.length > 0 ? diffChunks(joins, leaves) : [])
        this.#put(topic, diff, (completed) => [() => this.#broadcast(name, completed)]);
      this.#forgetIdle(topic);
    }
    telemetry.emit("presence.reset", { topics: baseline.size }, { presence: this.#options.name });
  }

  // ---------------------------------------------------------------- helpers

  #topic(name: string): Topic {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = {
        name,
        window: new DiffCoalescer(),
        queue: new TopicQueue(),
        coalesce: this.#coalesceOf(name),
        coalescing: IDLE,
        lookAt: Number.POSITIVE_INFINITY,
        delivering: false,
        metas: new Map(),
        waiting: [],
        joining: [],
        snapshot: undefined,
        snapshotAt: Number.NEGATIVE_INFINITY,
      };
      this.#topics.set(name, topic);
    }
    return topic;
  }

  #coalesceOf(name: string): Coalesce {
    const { coalesce } = this.#options;
    const given = typeof coalesce === "function" ? coalesce(name) : coalesce;
    if (given === false) return { ...DEFAULT_COALESCE, windowMs: 0 };
    return given === true ? DEFAULT_COALESCE : { ...DEFAULT_COALESCE, ...given };
  }

  /**
   * A topic with nothing under way, and no past that matters, is forgotten: most rooms are small
   * and quiet.
   */
  #forgetIdle(topic: Topic): void {
    const { name, queue, window, waiting, joining, metas, coalesce } = topic;
    const idle = queue.empty && window.size === 0 && waiting.length === 0 && joining.length === 0;
    if (!idle || metas.size > 0) return;
    if (this.#view.entries(name).length === 0 || windowOf(this.#sizeOf(name), coalesce) === 0)
      this.#topics.delete(name);
  }

  #sizeOf(name: string): number {
    return Math.max(this.#view.entries(name).length, PubSub.subscribers(this.#options.pubsub, name));
  }

  #later(message: readonly unknown[], ms: number): void {
    sendAfter(this.pid, message, Math.max(0, Math.ceil(ms)));
  }

  #armGrace(): void {
    const deadline = this.#grace?.deadline ?? Number.POSITIVE_INFINITY;
    if (deadline >= this.#graceAt) return;
    this.#graceAt = deadline;
    this.#later([GRACE], deadline - now());
  }
}

const now = (): number => thisNode().clock.now();

function began(name: string, handler: MetasHandler): unknown {
  const result: unknown = handler.init({});
  if (!Array.isArray(result) || result.length !== 2 || result[0] !== "ok")
    throw new TypeError(`${name}: init must return ["ok", state]`);
  return result[1];
}

function report(level: "debug" | "error", text: string, metadata: Record<string, unknown>): void {
  thisNode().report({ kind: "notice", level, text, pid: self(), metadata });
}
