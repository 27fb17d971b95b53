/**
 * What PubSub needs of whatever joins several nodes: to carry a message to the others. Local
 * delivery is never its job.
 *
 * Every thread that owns slots has an adapter of its own. An engine that cannot be reached is no
 * error: messages are dropped and counted, local delivery goes on, and `status` tells. Errors are
 * for misuse: what cannot be encoded, or is too large.
 */
export type PublishResult = "ok" | readonly ["error", unknown];

/** `degraded`: some messages may be lost. `down`: none get through. */
export type AdapterStatus = "up" | "degraded" | "down";

/** What an adapter tells beside messages; PubSub hands it on, see `PubSub.EVENTS`. */
export type AdapterEvent =
  | readonly ["status", AdapterStatus]
  /** Messages `from` to `to` of that node were lost. */
  | readonly ["gap", nodeName: string, from: number, to: number]
  /** Two nodes send under one name. */
  | readonly ["twin", nodeName: string]
  /** Another node has come, has said goodbye, or is not heard any more. */
  | readonly ["node", nodeName: string, change: "joined" | "left" | "lost"]
  /** Something an operator must hear of. */
  | readonly ["trouble", string];

/** One thread's view of the cluster. Counts are since its start. */
export interface AdapterHealth {
  /** `nats`, `redis`, … */
  readonly engine: string;
  readonly status: AdapterStatus;
  /** For how long it has been so. */
  readonly statusMs: number;
  /** The engine takes messages from here but brings none. */
  readonly deaf: boolean;
  /** Another node has this one's name, and was there before. */
  readonly nameTaken: boolean;
  /** Whether this thread speaks for its node to the others. */
  readonly leads: boolean;
  /** Other nodes; only the thread that speaks for its node knows them. */
  readonly nodes: readonly { readonly name: string; readonly heardMs: number }[];
  /** Slots that are listened to. */
  readonly slots: number;
  /** Bytes on their way to the engine. */
  readonly unsentBytes: number;
  readonly sent: number;
  readonly sentBytes: number;
  readonly received: number;
  /** Not sent because the engine was away. */
  readonly droppedDown: number;
  /** Not sent because too much was on its way. */
  readonly droppedCrowded: number;
  /**
   * Received and dropped, because too much waited here to be delivered; each is also among the lost
   * ones.
   */
  readonly droppedBehind: number;
  /** Too large, or not to be encoded. */
  readonly refused: number;
  /** Received, but nothing this version knows. */
  readonly unreadable: number;
  /** How often it was joined again after having been cut off. */
  readonly reconnects: number;
  /** How often something of another node was missing, and how many messages in all. */
  readonly gaps: number;
  readonly lost: number;
  readonly duplicates: number;
}

/**
 * How far what a sender sends has come: the number of its last message in a stream that was handed
 * in.
 */
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
  readonly alone?: boolean;
  /** Default "up". */
  status?(): AdapterStatus;
  /**
   * A slot has got its first subscriber here, or lost its last one: what comes for others need not
   * come here. What is returned resolves when what others send from now on arrives; undefined when
   * it does already.
   */
  interest?(slot: number, wanted: boolean): Promise<void> | undefined;
  /**
   * Slots go from one thread of this node to another, see handover.ts: what others send on them
   * waits here from now on, at both. Gives how far it had come.
   */
  hold?(slots: readonly number[]): readonly Position[];
  /**
   * It is over: what has waited is handed in, but for what the thread that had the slots before has
   * delivered.
   */
  release?(delivered: readonly Position[]): void;
  /**
   * Resolves when the engine has all that was sent, and all that it had for this thread has
   * arrived; or soon, when it is away.
   */
  settled?(): Promise<void>;
  /** Undefined where there is no engine. */
  health?(): AdapterHealth | undefined;
  /** PubSub ends. What was handed over before must still be sent; resolves when it is. */
  stop?(): Promise<void> | void;
}

/**
 * How an adapter hands in what came from another node, with its size if it knows it. Callable from
 * anywhere.
 */
export type Deliver = (topic: string, message: unknown, dispatcher: string, bytes?: number) => void;

/**
 * What was handed in and is not delivered yet. An adapter that hands in more without bound takes
 * the memory of its node.
 */
export interface Inbox {
  readonly messages: number;
  readonly bytes: number;
}

export type TellEvent = (event: AdapterEvent) => void;

/**
 * An adapter is made for the PubSub it serves, in its process. It may take a while, and rejects
 * when nodes cannot be joined.
 */
export type AdapterFactory = (deliver: Deliver, tell: TellEvent, inbox: Inbox) => Adapter | Promise<Adapter>;
