/**
 * A dispatcher delivers a broadcast to the subscribers of a topic in one thread.
 *
 * The default one sends the bare message to each subscriber. Another layer can bring its own, such
 * as the fastlane of channels, which sends one frame per group of sockets instead of one message
 * per subscriber. To keep such groups up to date without looking at every subscriber on every
 * broadcast, a dispatcher may have a state per topic, and is called for each subscription that is
 * added or removed.
 *
 * Dispatchers travel between threads and nodes by name; only registered names are accepted.
 */
import { type Pid, send } from "simurgh/runtime";

/** One subscription of one process. A process that subscribes twice has two. */
export interface Subscription {
  readonly pid: Pid;
  readonly metadata: unknown;
}

/** The subscribers of one topic in this thread. */
export interface TopicView {
  readonly topic: string;
  readonly size: number;
  subscriptions(): Iterable<Subscription>;
  subscriptionsOf(pid: Pid): readonly Subscription[];
}

// biome-ignore lint/suspicious/noExplicitAny: the state belongs to the dispatcher alone
export interface Dispatcher<State = any> {
  readonly name: string;
  /** Makes the state of a topic. `added` is then called for each subscription. */
  open?(topic: TopicView): State;
  added?(state: State, subscription: Subscription): void;
  removed?(state: State, subscription: Subscription): void;
  /**
   * What is sent to other nodes in place of a message, and the message as it is dispatched here,
   * which may contain what was encoded for them. Default: the message itself.
   */
  pack?(message: unknown): { readonly wire: unknown; readonly message: unknown };
  /** Restores the message on another node. Throws for input that `pack` never makes. */
  unpack?(topic: string, wire: unknown): unknown;
  /** Delivers `message` to all subscribers except `from`. */
  dispatch(topic: TopicView, from: Pid | undefined, message: unknown, state: State): void;
}

/** Sends the bare message to each subscriber; metadata is ignored. */
export const bareDispatcher: Dispatcher<undefined> = {
  name: "bare",
  dispatch(topic, from, message) {
    for (const { pid } of topic.subscriptions()) {
      if (from === undefined || !pid.equals(from)) send(pid, message);
    }
  },
};

const registered = new Map<string, Dispatcher>([[bareDispatcher.name, bareDispatcher]]);

/** Registers a dispatcher for broadcasts that come from other threads and nodes. */
export function registerDispatcher(dispatcher: Dispatcher): void {
  registered.set(dispatcher.name, dispatcher);
}

export const dispatcherNamed = (name: string): Dispatcher | undefined => registered.get(name);
