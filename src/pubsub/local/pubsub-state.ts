/**
 * What a thread knows of its running PubSub, and where other parts find it (OTP: a named ETS
 * table).
 */
import { type From, type Pid, type Ref, self, thisNode } from "simurgh/runtime";
import { NamedTable } from "#runtime";
import type { Adapter, AdapterFactory } from "../cluster/adapter.js";
import { Marks, type MovedSubscription } from "../handover/coordinator.js";
import { slot } from "./slot.js";
import { TopicTable } from "./subscription-table.js";

export interface PubSubOptions {
  /** Registered name, the same in every thread. Required. */
  readonly name: string;
  /**
   * Index of the thread that owns each of the 256 slots. Default: this thread owns all. Where slots
   * move, say it as `SlotOwners`: a PubSub that is restarted then begins with the owners there are
   * by then.
   */
  readonly owners?: readonly number[] | SlotOwners;
  /**
   * Joins this node to others. Only the thread that owns a slot publishes for it. Default: no other
   * nodes.
   */
  readonly adapter?: AdapterFactory;
}

/** The owners as a thread knows them. Outlives its PubSub, which keeps it up to date. */
export interface SlotOwners {
  current: readonly number[];
}

/** What this thread got from other nodes and did not deliver, by why. */
export interface Dropped {
  /** Not a topic, a message and a dispatcher. */
  readonly malformed: number;
  /** A dispatcher that is not registered here. */
  readonly dispatcher: number;
  /** A dispatcher that threw. */
  readonly failed: number;
}

export interface Traffic {
  /** Broadcasts of this node on topics of this thread. */
  readonly broadcasts: number;
  /** Messages of other nodes, delivered here. */
  readonly fromOthers: number;
  /** Those that wait to be delivered, and their bytes. */
  readonly waiting: number;
  readonly waitingBytes: number;
}

/**
 * The part of a running PubSub that other processes of its thread use directly (OTP: a named ETS
 * table).
 */
export interface Instance {
  readonly name: string;
  readonly table: TopicTable;
  /** Its `current` is undefined when this thread owns all. */
  readonly owners: { current: readonly number[] | undefined };
  /** While topics move: what is published to them waits here. */
  holding: Holding | undefined;
  readonly marks: Marks;
  /** Who is told when topics have moved. */
  readonly ownersWatchers: Map<number, Pid>;
  readonly adapter: Adapter;
  readonly dropped: { malformed: number; dispatcher: number; failed: number };
  /** Messages of other nodes in this process's mailbox. */
  readonly inbox: { messages: number; bytes: number };
  readonly counts: { broadcasts: number; fromOthers: number };
  readonly interest: (slot: number, wanted: boolean) => void;
  /** Slots in which what others send does not arrive yet. */
  readonly pending: Map<number, Promise<void>>;
  /** Processes whose end is watched already. */
  readonly watched: Set<number>;
  /** It was joined to others before. */
  joinedOnce: boolean;
}

export interface Holding {
  readonly move: number;
  readonly slots: ReadonlySet<number>;
  readonly conductor: Ref;
  readonly kept: Kept[];
  /** Slots that come here. */
  gained: readonly number[];
  /** Who has asked this thread to hand over its slots, and which threads are to hear of it. */
  leaving: { readonly from: From; readonly threads: readonly number[] } | undefined;
  /** The subscriptions that are on their way: nobody is here any more who could be told. */
  exported: readonly MovedSubscription[] | undefined;
  readonly over: Promise<void>;
  readonly release: () => void;
}

/** What waits for the end of a move, and who is to be answered then. */
interface Kept {
  readonly request: Forwarded;
  readonly from?: From;
  /** Another thread sent it. */
  readonly isForeign?: boolean;
}

/** Requests between the PubSub processes of a node's threads. */
export type Forwarded = Subscribing | Published;

export type Subscribing =
  | readonly ["subscribe", topic: string, pid: Pid, metadata: unknown]
  | readonly ["unsubscribe", topic: string, pid: Pid];

export type Published =
  | readonly [
      "broadcast",
      topic: string,
      from: Pid | undefined,
      message: unknown,
      dispatcher: string,
      local: boolean,
    ]
  | readonly ["direct", nodeName: string, topic: string, message: unknown, dispatcher: string];

export const instances = new NamedTable<Instance>(
  (name) => `badarg: the PubSub ${name} is not running in this thread; start it before it is used`,
);

export const instance = (name: string): Instance => instances.require(name);

export function instanceOf(
  { name, owners }: PubSubOptions,
  adapter: Adapter,
  inbox: Instance["inbox"],
): Instance {
  const pending = new Map<number, Promise<void>>();
  const interest = (number: number, wanted: boolean): void => {
    const effective = adapter.interest?.(number, wanted);
    if (effective === undefined || pending.has(number)) return;
    pending.set(number, effective);
    void effective.then(() => pending.delete(number));
  };
  const node = thisNode();
  const table = new TopicTable((pid) => node.keyOf(pid), interest);
  return {
    name,
    table,
    owners:
      owners === undefined ? { current: undefined } : "current" in owners ? owners : { current: owners },
    holding: undefined,
    marks: new Marks(),
    ownersWatchers: new Map(),
    adapter,
    dropped: { malformed: 0, dispatcher: 0, failed: 0 },
    inbox,
    counts: { broadcasts: 0, fromOthers: 0 },
    interest,
    pending,
    watched: new Set(),
    joinedOnce: false,
  };
}

/** Index of the thread that owns the topic, or undefined for this one. */
export function elsewhere({ owners: { current } }: Instance, topic: string): number | undefined {
  if (current === undefined) return undefined;
  const owner = current[slot(topic)] as number;
  return owner === thisNode().index ? undefined : owner;
}

export const ownsSlot = ({ owners: { current } }: Instance, number: number): boolean =>
  current === undefined || current[number] === thisNode().index;

export function notice(
  level: "debug" | "info" | "warning" | "error",
  text: string,
  metadata: Record<string, unknown>,
): void {
  thisNode().report({ kind: "notice", level, text, pid: self(), metadata });
}

export const topicOf = (request: Forwarded): string => (request[0] === "direct" ? request[2] : request[1]);
