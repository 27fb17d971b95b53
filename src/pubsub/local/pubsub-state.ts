/**
 * PubSubState is what a running PubSub has in one thread. Its process owns it; other processes of
 * the thread read it and dispatch with it directly (OTP: a named ETS table).
 */
import { type From, type Pid, type Ref, self, thisNode } from "simurgh/runtime";
import { NamedTable } from "#runtime";
import type { Adapter, AdapterFactory, PublishResult } from "../adapter.js";
import { Barriers } from "./barriers.js";
import { slot } from "./slot.js";
import { SubscriptionTable } from "./subscription-table.js";

export interface PubSubOptions {
  /** Registered name, the same in every thread. Required. */
  readonly name: string;
  /**
   * Index of the thread that owns each of the 256 slots. Default: this thread owns all. Where slots
   * move, give a `SlotOwners`: a PubSub that restarts then begins with the owners of that moment.
   */
  readonly owners?: readonly number[] | SlotOwners;
  /**
   * Connects this node to others. Only the thread that owns a slot publishes for it. Default: no
   * other nodes.
   */
  readonly adapter?: AdapterFactory;
}

/** The owners that a thread knows. Outlives its PubSub, which keeps it up to date. */
export interface SlotOwners {
  current: readonly number[];
}

/** Messages from other nodes that this thread did not deliver, by reason. */
export interface Dropped {
  /** Not a topic, a message and a dispatcher. */
  readonly malformed: number;
  /** The dispatcher is not registered here. */
  readonly dispatcher: number;
  /** The dispatcher threw. */
  readonly failed: number;
}

export interface Traffic {
  /** Broadcasts of this node on topics of this thread. */
  readonly broadcasts: number;
  /** Messages from other nodes, delivered here. */
  readonly fromOthers: number;
  /** Messages from other nodes that are not delivered yet, and their bytes. */
  readonly waiting: number;
  readonly waitingBytes: number;
}

export interface PubSubState {
  readonly name: string;
  readonly table: SubscriptionTable;
  /** Its `current` is undefined when this thread owns all slots. */
  readonly owners: { current: readonly number[] | undefined };
  /** While topics move: the slots concerned, and what is buffered for them. */
  frozen: Frozen | undefined;
  readonly barriers: Barriers;
  /** Processes that are notified when topics have moved. */
  readonly ownersWatchers: Map<number, Pid>;
  readonly adapter: Adapter;
  readonly dropped: { malformed: number; dispatcher: number; failed: number };
  /** Messages from other nodes in the mailbox of the PubSub process. */
  readonly inbox: { messages: number; bytes: number };
  readonly counts: { broadcasts: number; fromOthers: number };
  readonly interest: (slot: number, wanted: boolean) => void;
  /** Slots in which messages from other nodes do not arrive yet. */
  readonly pending: Map<number, Promise<void>>;
  /** Processes with an exit hook that removes their subscriptions. */
  readonly watched: Set<number>;
  /** Whether the adapter was `up` before. */
  wasUp: boolean;
}

/** One move of topics, as a thread takes part in it. */
export interface Frozen {
  readonly move: number;
  readonly slots: ReadonlySet<number>;
  readonly coordinator: Ref;
  readonly buffered: Buffered[];
  /** Slots that move to this thread. */
  gained: readonly number[];
  /** The call that asked this thread to hand over its slots, and the threads that get a barrier. */
  leaving: { readonly from: From; readonly threads: readonly number[] } | undefined;
  /** The subscriptions that have left this thread. */
  exported: readonly MovedSubscription[] | undefined;
  readonly finished: Promise<void>;
  readonly release: () => void;
}

export interface MovedSubscription {
  readonly topic: string;
  readonly pid: Pid;
  readonly metadata: unknown;
}

/** A request that waits for the end of a move; `from` gets "ok" then. */
interface Buffered {
  readonly request: Forwarded;
  readonly from?: From;
  /** Another thread sent it. */
  readonly isForeign?: boolean;
}

/** Requests between the PubSub processes of a node's threads. */
export type Forwarded = Subscribing | Publication;

export type Subscribing =
  | readonly ["subscribe", topic: string, pid: Pid, metadata: unknown]
  | readonly ["unsubscribe", topic: string, pid: Pid];

export type Publication =
  | readonly [
      "broadcast",
      topic: string,
      from: Pid | undefined,
      message: unknown,
      dispatcher: string,
      local: boolean,
    ]
  | readonly ["direct", nodeName: string, topic: string, message: unknown, dispatcher: string];

export const states = new NamedTable<PubSubState>(
  (name) => `badarg: the PubSub ${name} is not running in this thread; start it before it is used`,
);

/** The state of a PubSub in this thread. Throws BadArg when it is not running. */
export const stateOf = (name: string): PubSubState => states.require(name);

export function newState(
  { name, owners }: PubSubOptions,
  adapter: Adapter,
  inbox: PubSubState["inbox"],
): PubSubState {
  const pending = new Map<number, Promise<void>>();
  const interest = (number: number, wanted: boolean): void => {
    const effective = adapter.interest?.(number, wanted);
    if (effective === undefined || pending.has(number)) return;
    pending.set(number, effective);
    void effective.then(() => pending.delete(number));
  };
  const node = thisNode();
  const table = new SubscriptionTable((pid) => node.keyOf(pid), interest);
  return {
    name,
    table,
    owners:
      owners === undefined ? { current: undefined } : "current" in owners ? owners : { current: owners },
    frozen: undefined,
    barriers: new Barriers(),
    ownersWatchers: new Map(),
    adapter,
    dropped: { malformed: 0, dispatcher: 0, failed: 0 },
    inbox,
    counts: { broadcasts: 0, fromOthers: 0 },
    interest,
    pending,
    watched: new Set(),
    wasUp: false,
  };
}

/** Index of the thread that owns the topic; undefined when it is this one. */
export function remoteOwner({ owners: { current } }: PubSubState, topic: string): number | undefined {
  if (current === undefined) return undefined;
  const owner = current[slot(topic)] as number;
  return owner === thisNode().index ? undefined : owner;
}

export const ownsSlot = ({ owners: { current } }: PubSubState, number: number): boolean =>
  current === undefined || current[number] === thisNode().index;

/** Publications that a thread buffers while topics move; more are refused. */
const MAX_BUFFERED = 100_000;

/** Buffers a publication of this thread when its topic moves just now. Undefined: it does not. */
export function buffer(
  { frozen }: PubSubState,
  topic: string,
  request: Publication,
): PublishResult | undefined {
  if (frozen?.slots.has(slot(topic)) !== true) return undefined;
  if (frozen.buffered.length >= MAX_BUFFERED) return ["error", "moving"];
  frozen.buffered.push({ request });
  return "ok";
}

/**
 * Whether requests of other threads for a topic are buffered here: the topic moves, and its
 * subscriptions have left this thread or have not arrived yet.
 */
export function isBuffering(state: PubSubState, topic: string): state is PubSubState & { frozen: Frozen } {
  const { frozen } = state;
  if (frozen?.slots.has(slot(topic)) !== true) return false;
  return frozen.exported !== undefined || remoteOwner(state, topic) !== undefined;
}

export function notice(
  level: "debug" | "info" | "warning" | "error",
  text: string,
  metadata: Record<string, unknown>,
): void {
  thisNode().report({ kind: "notice", level, text, pid: self(), metadata });
}

export const topicOf = (request: Forwarded): string => (request[0] === "direct" ? request[2] : request[1]);
