/**
 * What PubSub needs of whatever joins several nodes: to carry a message to the others. Local delivery is never its job
 * (P-030).
 *
 * Every thread that owns slots has an adapter of its own. An engine that cannot be reached is no error: messages are dropped
 * and counted, local delivery goes on, and `status` tells. Errors are for misuse: what cannot be encoded, or is too large.
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
  | readonly ["twin", nodeName: string];

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
  /** A slot has got its first subscriber here, or lost its last one: what comes for others need not come here (P-026). */
  interest?(slot: number, wanted: boolean): void;
  /** PubSub ends. What was handed over before must still be sent. */
  stop?(): void;
}

/** How an adapter hands in what came from another node. Callable from anywhere. */
export type Deliver = (topic: string, message: unknown, dispatcher: string) => void;

export type TellEvent = (event: AdapterEvent) => void;

/** An adapter is made for the PubSub it serves. */
export type AdapterFactory = (deliver: Deliver, tell: TellEvent) => Adapter;
