/**
 * SubscriptionTable holds the subscriptions of one thread. Plain data without a process: PubSub
 * owns one, dispatchers read it.
 *
 * Subscriptions are found by topic for a broadcast and by process for an exit, both in constant
 * time per entry. A topic or process without subscriptions takes no memory.
 */
import type { Pid } from "simurgh/runtime";
import type { Dispatcher, Subscription, TopicView } from "./dispatcher.js";
import { slot } from "./slot.js";

type Key = number | string;
type KeyOf = (pid: Pid) => Key;

/** One entry is stored without a list around it: most have one. */
type OneOrMore<T> = T | readonly T[];

const listOf = <T extends object>(entry: OneOrMore<T> | undefined): readonly T[] =>
  entry === undefined ? [] : Array.isArray(entry) ? entry : [entry as T];

class Topic implements TopicView {
  readonly topic: string;
  readonly byProcess = new Map<Key, OneOrMore<Subscription>>();
  readonly states = new Map<Dispatcher, unknown>();
  size = 0;

  readonly #keyOf: KeyOf;

  constructor(topic: string, keyOf: KeyOf) {
    this.topic = topic;
    this.#keyOf = keyOf;
  }

  *subscriptions(): Iterable<Subscription> {
    for (const entry of this.byProcess.values()) yield* listOf(entry);
  }

  subscriptionsOf(pid: Pid): readonly Subscription[] {
    return listOf(this.byProcess.get(this.#keyOf(pid)));
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

export class SubscriptionTable {
  readonly #topics = new Map<string, Topic>();
  /** The topics of a process: one, or a set of them. */
  readonly #topicsOf = new Map<Key, string | Set<string>>();
  readonly #keyOf: KeyOf;
  /** Number of topics with subscribers in each slot. */
  readonly #slots = new Map<number, number>();
  readonly #onSlot: (slot: number, wanted: boolean) => void;

  /**
   * `keyOf` returns equal keys for equal pids, see `RuntimeNode.keyOf`. `onSlot` is called when a
   * slot gets its first topic, or loses its last one.
   */
  constructor(keyOf: KeyOf, onSlot: (slot: number, wanted: boolean) => void = () => {}) {
    this.#keyOf = keyOf;
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
      topic = new Topic(topicName, this.#keyOf);
      this.#topics.set(topicName, topic);
      this.#countSlot(topicName, 1);
    }
    const key = this.#keyOf(subscription.pid);
    const former = topic.byProcess.get(key);
    topic.byProcess.set(key, former === undefined ? subscription : [...listOf(former), subscription]);
    topic.size += 1;
    const names = this.#topicsOf.get(key);
    if (names === undefined) this.#topicsOf.set(key, topicName);
    else if (typeof names !== "string") names.add(topicName);
    else if (names !== topicName) this.#topicsOf.set(key, new Set([names, topicName]));
    for (const [dispatcher, state] of topic.states) dispatcher.added?.(state, subscription);
  }

  /** Removes every subscription of `pid` to the topic. */
  remove(topicName: string, pid: Pid): void {
    const topic = this.#topics.get(topicName);
    const key = this.#keyOf(pid);
    const entry = topic?.byProcess.get(key);
    if (topic === undefined || entry === undefined) return;
    const list = listOf(entry);
    topic.byProcess.delete(key);
    topic.size -= list.length;
    const names = this.#topicsOf.get(key);
    if (typeof names === "string") this.#topicsOf.delete(key);
    else if (names?.delete(topicName) && names.size === 0) this.#topicsOf.delete(key);
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

  /** Whether a topic of the slot has subscribers. */
  hasSlot(number: number): boolean {
    return this.#slots.has(number);
  }

  /** Removes every subscription of a process. */
  removeProcess(pid: Pid): void {
    const names = this.#topicsOf.get(this.#keyOf(pid));
    if (typeof names === "string") this.remove(names, pid);
    else for (const name of [...(names ?? [])]) this.remove(name, pid);
  }

  has(pid: Pid): boolean {
    return this.#topicsOf.has(this.#keyOf(pid));
  }

  /**
   * Delivers `message` by one call of `dispatcher`, or none when the topic has no subscribers.
   */
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
