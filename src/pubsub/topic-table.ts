/**
 * Who subscribes to what in one thread. Plain data without a process: PubSub owns one, the dispatchers read it.
 *
 * A subscription is found by topic on a broadcast and by process on its death; both are constant time per entry, and
 * nothing is kept for a topic or a process without subscriptions.
 */
import type { Pid } from "simurgh/runtime";
import type { Dispatcher, Subscription, TopicView } from "./dispatcher.js";
import { slot } from "./slot.js";

const keyOf = (pid: Pid): string => `${pid.node}.${pid.creation}.${pid.id}`;

class Topic implements TopicView {
  readonly topic: string;
  readonly byProcess = new Map<string, Subscription[]>();
  readonly states = new Map<Dispatcher, unknown>();
  size = 0;

  constructor(topic: string) {
    this.topic = topic;
  }

  *subscriptions(): Iterable<Subscription> {
    for (const list of this.byProcess.values()) yield* list;
  }

  subscriptionsOf(pid: Pid): readonly Subscription[] {
    return this.byProcess.get(keyOf(pid)) ?? [];
  }

  /** The state `dispatcher` keeps for this topic, made on first use. */
  stateFor(dispatcher: Dispatcher): unknown {
    if (dispatcher.open === undefined) return undefined;
    let state = this.states.get(dispatcher);
    if (state === undefined) {
      state = dispatcher.open(this);
      this.states.set(dispatcher, state);
      for (const subscription of this.subscriptions()) dispatcher.added?.(state, subscription);
    }
    return state;
  }
}

export class TopicTable {
  readonly #topics = new Map<string, Topic>();
  readonly #topicsOf = new Map<string, Set<string>>();
  /** Number of topics with subscribers in each slot. */
  readonly #slots = new Map<number, number>();
  readonly #onSlot: (slot: number, wanted: boolean) => void;

  /** `onSlot` is told of each slot that gets its first topic, or loses its last one. */
  constructor(onSlot: (slot: number, wanted: boolean) => void = () => {}) {
    this.#onSlot = onSlot;
  }

  /** Number of topics with subscribers. */
  get size(): number {
    return this.#topics.size;
  }

  /** Number of processes with subscriptions. */
  get processes(): number {
    return this.#topicsOf.size;
  }

  add(topicName: string, subscription: Subscription): void {
    let topic = this.#topics.get(topicName);
    if (topic === undefined) {
      topic = new Topic(topicName);
      this.#topics.set(topicName, topic);
      this.#countSlot(topicName, 1);
    }
    const key = keyOf(subscription.pid);
    const list = topic.byProcess.get(key);
    if (list === undefined) topic.byProcess.set(key, [subscription]);
    else list.push(subscription);
    topic.size += 1;
    let names = this.#topicsOf.get(key);
    if (names === undefined) {
      names = new Set();
      this.#topicsOf.set(key, names);
    }
    names.add(topicName);
    for (const [dispatcher, state] of topic.states) dispatcher.added?.(state, subscription);
  }

  /** Removes every subscription of `pid` to the topic. */
  remove(topicName: string, pid: Pid): void {
    const topic = this.#topics.get(topicName);
    const key = keyOf(pid);
    const list = topic?.byProcess.get(key);
    if (topic === undefined || list === undefined) return;
    topic.byProcess.delete(key);
    topic.size -= list.length;
    const names = this.#topicsOf.get(key);
    names?.delete(topicName);
    if (names?.size === 0) this.#topicsOf.delete(key);
    for (const [dispatcher, state] of topic.states) {
      for (const subscription of list) dispatcher.removed?.(state, subscription);
    }
    if (topic.size === 0) {
      this.#topics.delete(topicName);
      this.#countSlot(topicName, -1);
    }
  }

  #countSlot(topicName: string, change: 1 | -1): void {
    const number = slot(topicName);
    const topics = (this.#slots.get(number) ?? 0) + change;
    if (topics === 0) this.#slots.delete(number);
    else this.#slots.set(number, topics);
    if (topics === 0 || (topics === 1 && change === 1)) this.#onSlot(number, topics > 0);
  }

  /** Whether some topic of the slot has subscribers. */
  hasSlot(number: number): boolean {
    return this.#slots.has(number);
  }

  /** Removes every subscription of a process. */
  removeProcess(pid: Pid): void {
    for (const name of [...(this.#topicsOf.get(keyOf(pid)) ?? [])]) this.remove(name, pid);
  }

  has(pid: Pid): boolean {
    return this.#topicsOf.has(keyOf(pid));
  }

  /** Delivers `message` through `dispatcher`, which is called once, and not at all without subscribers (P-017). */
  dispatch(topicName: string, from: Pid | undefined, message: unknown, dispatcher: Dispatcher): void {
    const topic = this.#topics.get(topicName);
    if (topic !== undefined) dispatcher.dispatch(topic, from, message, topic.stateFor(dispatcher));
  }

  view(topicName: string): TopicView | undefined {
    return this.#topics.get(topicName);
  }

  topics(): IterableIterator<string> {
    return this.#topics.keys();
  }
}
