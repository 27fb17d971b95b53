/**
 * Adapter is the contract between PubSub and whatever connects several nodes: it carries a message
 * to the other nodes (Phoenix.PubSub.Adapter). Local delivery is never its job.
 *
 * Each thread that owns slots has an adapter of its own. An engine that cannot be reached is not an
 * error: messages are dropped and counted, local delivery continues, and `status` says so. Errors
 * are for misuse: a message that cannot be encoded or is too large.
 */
export type PublishResult = "ok" | readonly ["error", unknown];

/** `degraded`: some messages may be lost. `down`: none get through. */
export type AdapterStatus = "up" | "degraded" | "down";

/** What an adapter reports besides messages. PubSub publishes it, see `PubSub.EVENTS`. */
export type AdapterEvent =
  | readonly ["status", AdapterStatus]
  /** The messages numbered `from` to `to` of that node were lost. */
  | readonly ["gap", nodeName: string, from: number, to: number]
  /** Two nodes use the same name. */
  | readonly ["duplicate_name", nodeName: string]
  /** Another node has joined, has left, or has missed its heartbeats. */
  | readonly ["node", nodeName: string, change: "joined" | "left" | "lost"]
  /** Something an operator has to know. */
  | readonly ["warning", string];

/** One thread's view of the cluster. Counts are since its start. */
export interface AdapterHealth {
  /** `nats`, `redis`, … */
  readonly engine: string;
  readonly status: AdapterStatus;
  /** Milliseconds since the status changed. */
  readonly statusMs: number;
  /** The engine accepts messages from this thread but delivers none. */
  readonly notReceiving: boolean;
  /** Another node has this node's name, and is older. */
  readonly isDuplicateName: boolean;
  /** Whether this thread sends the heartbeats of its node. */
  readonly isLeader: boolean;
  /** Other nodes; only the leader knows them. */
  readonly nodes: readonly { readonly name: string; readonly lastSeenMs: number }[];
  /** Subscribed slots. */
  readonly slots: number;
  /** Bytes that the engine has not confirmed. */
  readonly unsentBytes: number;
  readonly sent: number;
  readonly sentBytes: number;
  readonly received: number;
  /** Not sent because the engine was away. */
  readonly droppedDown: number;
  /** Not sent because too many bytes were unconfirmed. */
  readonly droppedUnsent: number;
  /** Received and dropped, because too many messages waited for delivery. Included in `lost`. */
  readonly droppedOverload: number;
  /** Too large, or not encodable. */
  readonly refused: number;
  /** Received, but not in a format that this version knows. */
  readonly unreadable: number;
  /** Reconnects after the connection was lost. */
  readonly reconnects: number;
  /** Gaps in the numbers of other nodes, and the messages missing in them. */
  readonly gaps: number;
  readonly lost: number;
  readonly duplicates: number;
}

/** The number of the last message of a sender's stream that was delivered. */
export interface Position {
  readonly slot: number;
  readonly node: string;
  readonly incarnation: string;
  readonly stream: string;
  readonly last: number;
}

export interface Adapter {
  /** Unique in the cluster. */
  nodeName(): string;
  /** To all nodes except this one. */
  broadcast(topic: string, message: unknown, dispatcher: string): PublishResult;
  /** To that node, possibly this one. An unknown node is ok and delivers nowhere. */
  directBroadcast(nodeName: string, topic: string, message: unknown, dispatcher: string): PublishResult;
  /** True when there never are other nodes. Default false. */
  readonly isSingleNode?: boolean;
  /** Default "up". */
  status?(): AdapterStatus;
  /**
   * A slot has got its first subscriber here, or lost its last one: its messages need not come
   * here. The promise resolves when messages that others send from then on arrive; undefined when
   * they do already.
   */
  interest?(slot: number, wanted: boolean): Promise<void> | undefined;
  /**
   * Slots move from one thread of this node to another, see handover/coordinator.ts: both buffer
   * what other nodes send on them. Returns how far it was read.
   */
  freeze?(slots: readonly number[]): readonly Position[];
  /**
   * The move is over: what was buffered is delivered, except for what the thread that owned the
   * slots before has delivered.
   */
  release?(delivered: readonly Position[]): void;
  /**
   * Resolves when the engine has everything that was sent, and everything that it had for this
   * thread has arrived; without an engine after a short time.
   */
  flush?(): Promise<void>;
  /** Undefined without an engine. */
  health?(): AdapterHealth | undefined;
  /** PubSub ends. Resolves when everything that was given to the adapter before has been sent. */
  stop?(): Promise<void> | void;
}

/**
 * Hands a message of another node to PubSub, with its size in bytes if known. May be called from
 * any async context.
 */
export type Deliver = (topic: string, message: unknown, dispatcher: string, bytes?: number) => void;

/**
 * The messages that were handed to PubSub and are not delivered yet. An adapter must not let them
 * grow without bound.
 */
export interface Inbox {
  readonly messages: number;
  readonly bytes: number;
}

export type OnAdapterEvent = (event: AdapterEvent) => void;

/**
 * Makes the adapter of one PubSub, in the process of that PubSub. May take a while, and rejects
 * when the node cannot join the others.
 */
export type AdapterFactory = (
  deliver: Deliver,
  onEvent: OnAdapterEvent,
  inbox: Inbox,
) => Adapter | Promise<Adapter>;
