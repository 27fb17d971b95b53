/**
 * EngineAdapter is the PubSub adapter for all engines. It numbers and encodes messages, subscribes
 * to the slots that are wanted, bounds what is unsent and undelivered, buffers slots that move
 * between threads, and derives the status.
 *
 *     channel          carries
 *     b.<slot>         broadcasts on topics of the slot
 *     n.<node>.<slot>  messages to one node
 *     h, s.<sender>    heartbeats, see heartbeat.ts
 */
import { type Clock, thisNode } from "simurgh/runtime";
import type {
  Adapter,
  AdapterFactory,
  AdapterHealth,
  AdapterStatus,
  Deliver,
  Inbox,
  OnAdapterEvent,
  Position,
  PublishResult,
} from "../adapter.js";
import { slot } from "../local/slot.js";
import { ClusterError, type Engine, type OpenEngine } from "./engine.js";
import { newBootId, Receiver, Sender } from "./envelope.js";
import { HeartbeatLoop } from "./heartbeat.js";
import { SlotInterest } from "./slot-interest.js";

/** The identity of an adapter in the cluster. */
export interface AdapterContext {
  /** Unique in the cluster. */
  readonly nodeName: string;
  /** New for each start of the node, shared by its threads. Default: random. */
  readonly bootId?: string;
  /** Number of the thread. Default 0. */
  readonly thread?: number;
  /** Whether this thread sends the heartbeats of its node. Exactly one does. Default true. */
  readonly isLeader?: boolean;
  /**
   * Whether to start although the engine cannot be reached yet, and to keep trying. Default false:
   * the start fails.
   */
  readonly connectLazily?: boolean;
}

export interface EngineAdapterOptions extends AdapterContext {
  /** How long a slot stays subscribed after its last subscriber has gone, in ms. Default 30,000. */
  readonly lingerMs?: number;
  /** Between two heartbeats, in ms. Default 3,000; 0 for none. */
  readonly heartbeatMs?: number;
  /**
   * Bytes that the engine has not confirmed; beyond them messages are dropped. Default 32 MiB.
   */
  readonly maxUnsentBytes?: number;
  /**
   * Messages from other nodes, and their bytes, that may wait here for delivery. More are dropped
   * as if the network had lost them: the next one shows a gap. Default 100,000 and 32 MiB.
   */
  readonly maxWaiting?: number;
  readonly maxWaitingBytes?: number;
}

/** The engine is asked for a confirmation after so many bytes. */
const CONFIRM_AFTER_BYTES = 64 * 1024;
/**
 * The longest that a subscriber, or a move of topics, waits for the engine. Once the engine has not
 * answered for that long, nothing waits for it until a message arrives.
 */
const ENGINE_WAIT_MS = 2000;
const MAX_NAME = 200;

/** A name as part of a channel: letters and digits stay, other characters become =<code>=. */
export const channelToken = (name: string): string =>
  name.replace(/[^A-Za-z0-9_@-]/gu, (character) => `=${character.codePointAt(0)?.toString(36)}=`);

export function checkNodeName(name: unknown): asserts name is string {
  if (typeof name !== "string" || name === "" || name.length > MAX_NAME)
    throw new ClusterError(`a node name must be a text of 1 to ${MAX_NAME} characters`);
}

export function engineAdapter(
  engineName: string,
  open: OpenEngine,
  options: EngineAdapterOptions,
): AdapterFactory {
  checkNodeName(options.nodeName);
  return async (deliver, onEvent, inbox) => {
    const adapter = new EngineAdapter(engineName, options, deliver, onEvent, inbox, thisNode().clock);
    await adapter.open(open);
    return adapter;
  };
}

class EngineAdapter implements Adapter {
  readonly #engineName: string;
  readonly #options: Required<EngineAdapterOptions>;
  readonly #deliver: Deliver;
  readonly #onEvent: OnAdapterEvent;
  readonly #inbox: Inbox;
  readonly #clock: Clock;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #heartbeat: HeartbeatLoop;
  readonly #interest: SlotInterest;
  #engine: Engine | undefined;
  #status: AdapterStatus = "down";
  #statusAt: number;
  #stopped = false;
  /** Bytes given to the engine, and how many of them it has confirmed. */
  #handed = 0;
  #confirmed = 0;
  #confirming = false;
  /** Too many bytes are unconfirmed. */
  #backpressured = false;
  /** More arrives than is delivered in time. */
  #overloaded = false;
  #wasUp = false;
  /** A subscriber has waited in vain, and nothing has arrived since. */
  #unresponsive = false;
  /** The engine has connected, or has failed to, for the first time. */
  #opened = false;
  /** Ends each wait for the engine early, once it is known to be away. */
  readonly #waits = new Set<() => void>();
  /** While slots move: their numbers, and what has arrived on them. */
  #frozen: { readonly slots: Set<number>; readonly buffered: Uint8Array[]; bytes: number } | undefined;
  readonly #counts = {
    sent: 0,
    sentBytes: 0,
    received: 0,
    droppedDown: 0,
    droppedUnsent: 0,
    droppedOverload: 0,
    refused: 0,
    reconnects: 0,
    gaps: 0,
  };

  constructor(
    engineName: string,
    given: EngineAdapterOptions,
    deliver: Deliver,
    onEvent: OnAdapterEvent,
    inbox: Inbox,
    clock: Clock,
  ) {
    const bootId = given.bootId ?? newBootId();
    this.#engineName = engineName;
    this.#options = {
      thread: 0,
      isLeader: true,
      connectLazily: false,
      lingerMs: 30_000,
      heartbeatMs: 3000,
      maxUnsentBytes: 32 * 1024 * 1024,
      maxWaiting: 100_000,
      maxWaitingBytes: 32 * 1024 * 1024,
      ...given,
      bootId,
    };
    this.#deliver = deliver;
    this.#onEvent = onEvent;
    this.#inbox = inbox;
    this.#clock = clock;
    this.#statusAt = clock.now();
    const { nodeName, thread, lingerMs, heartbeatMs, isLeader } = this.#options;
    this.#sender = new Sender(nodeName, { bootId, thread });
    this.#receiver = new Receiver(
      this.#sender,
      (event) => {
        if (event[0] === "gap") this.#counts.gaps += 1;
        onEvent(event);
      },
      clock,
    );
    this.#heartbeat = new HeartbeatLoop({
      node: nodeName,
      bootId,
      isLeader,
      ownChannel: this.#ownChannel,
      heartbeatMs,
      clock,
      events: {
        isUp: () => this.#status !== "down",
        beforeBeat: () => void this.#checkOverload(),
        arrived: () => {
          this.#unresponsive = false;
        },
        memberChanged: ([name, what]) => {
          if (what !== "joined") this.#receiver.nodeLeft(name);
          onEvent(["node", name, what]);
        },
        duplicateName: (other) => this.#receiver.duplicateName(other),
        receivingChanged: () => this.#updateStatus(),
        warning: (text) => onEvent(["warning", `${engineName} ${text}`]),
      },
    });
    this.#interest = new SlotInterest({
      clock,
      lingerMs,
      subscribe: (number) => this.#subscribe(number),
      unsubscribe: (number) => this.#unsubscribe(number),
    });
  }

  async open(open: OpenEngine): Promise<void> {
    const { connectLazily } = this.#options;
    let isUp = false;
    const events = {
      up: () => {
        isUp = true;
        this.#markUp();
      },
      down: () => this.#markDown(),
      warning: (text: string) => {
        this.#onEvent(["warning", text]);
        if (this.#status === "down") this.#endWaits();
      },
    };
    const engine = await open(events, { connectLazily });
    this.#engine = engine;
    this.#heartbeat.start(engine);
    if (isUp) this.#markUp();
    this.#heartbeat.beat();
  }

  get #ownChannel(): string {
    return `s.${channelToken(this.#sender.incarnation)}`;
  }

  nodeName(): string {
    return this.#options.nodeName;
  }

  status(): AdapterStatus {
    return this.#status;
  }

  broadcast(topic: string, message: unknown, dispatcher: string): PublishResult {
    return this.#publish(`b.${slot(topic)}`, topic, message, dispatcher);
  }

  directBroadcast(nodeName: string, topic: string, message: unknown, dispatcher: string): PublishResult {
    if (nodeName === this.#options.nodeName) {
      this.#deliver(topic, message, dispatcher);
      return "ok";
    }
    return this.#publish(`n.${channelToken(nodeName)}.${slot(topic)}`, topic, message, dispatcher);
  }

  interest(number: number, wanted: boolean): Promise<void> | undefined {
    const effective = this.#interest.want(number, wanted);
    return this.#reachable === "no" ? undefined : effective;
  }

  health(): AdapterHealth {
    this.#checkOverload();
    const { lost, duplicates, unreadable } = this.#receiver;
    return {
      engine: this.#engineName,
      status: this.#status,
      statusMs: Math.round(this.#clock.now() - this.#statusAt),
      notReceiving: this.#heartbeat.notReceiving,
      isDuplicateName: this.#heartbeat.isDuplicateName(),
      isLeader: this.#options.isLeader,
      nodes: this.#heartbeat.nodes(),
      slots: this.#interest.size,
      unsentBytes: this.#handed - this.#confirmed,
      ...this.#counts,
      unreadable: unreadable + this.#heartbeat.invalid,
      lost,
      duplicates,
    };
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#interest.stop();
    await this.#heartbeat.stop();
    await this.#engine?.close();
  }

  // ---------------------------------------------------------------- sending

  #publish(channel: string, topic: string, message: unknown, dispatcher: string): PublishResult {
    const engine = this.#engine as Engine;
    const bytes = this.#sender.encode(channel, topic, message, dispatcher, engine.limit);
    if (!(bytes instanceof Uint8Array)) {
      this.#counts.refused += 1;
      return bytes;
    }
    // Its number is used all the same: a receiver of the next message sees the gap.
    if (this.#status === "down" || this.#stopped) {
      this.#counts.droppedDown += 1;
      return "ok";
    }
    if (this.#handed - this.#confirmed + bytes.length > this.#options.maxUnsentBytes) {
      this.#counts.droppedUnsent += 1;
      if (!this.#backpressured) {
        this.#backpressured = true;
        this.#updateStatus();
      }
      return "ok";
    }
    this.#counts.sent += 1;
    this.#counts.sentBytes += bytes.length;
    this.#handed += bytes.length;
    engine.publish(channel, bytes);
    if (!this.#confirming && this.#handed - this.#confirmed >= CONFIRM_AFTER_BYTES)
      void this.#confirm(engine);
    return "ok";
  }

  /** Asks the engine for confirmations, until little is unconfirmed. */
  async #confirm(engine: Engine): Promise<void> {
    this.#confirming = true;
    try {
      while (this.#handed - this.#confirmed >= CONFIRM_AFTER_BYTES) {
        const handed = this.#handed;
        await engine.flushed();
        this.#confirmed = Math.max(this.#confirmed, handed);
        if (this.#backpressured) {
          this.#backpressured = false;
          this.#updateStatus();
        }
      }
    } catch {
      // The engine is down, and reports it by itself.
    } finally {
      this.#confirming = false;
    }
  }

  // ---------------------------------------------------------------- receiving

  #channelsOf(number: number): readonly string[] {
    return [`b.${number}`, `n.${channelToken(this.#options.nodeName)}.${number}`];
  }

  #subscribe(number: number): Promise<void> {
    const engine = this.#engine as Engine;
    const receive = (bytes: Uint8Array): void => this.#receive(number, bytes);
    return this.#whenDone(this.#channelsOf(number).map((channel) => engine.subscribe(channel, receive)));
  }

  /** Whether the engine can be reached; unknown until the first attempt to connect has ended. */
  get #reachable(): "yes" | "no" | "unknown" {
    if (this.#unresponsive) return "no";
    if (this.#status !== "down") return "yes";
    return this.#opened ? "no" : "unknown";
  }

  /** Nothing waits for the engine any more. */
  #endWaits(): void {
    this.#opened = true;
    for (const done of [...this.#waits]) done();
  }

  /** Resolves when the engine has done everything, or is known to be away. */
  #whenDone(requests: readonly Promise<void>[]): Promise<void> {
    if (this.#reachable === "no") {
      for (const each of requests) each.catch(() => {});
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        this.#waits.delete(done);
        resolve();
      };
      const cancel = this.#clock.alarm(ENGINE_WAIT_MS, () => {
        this.#unresponsive = true;
        this.#endWaits();
      });
      this.#waits.add(done);
      Promise.all(requests).then(() => {
        // An engine that is not connected yet has only noted the subscriptions.
        if (this.#reachable !== "unknown") done();
      }, done);
    });
  }

  #unsubscribe(number: number): void {
    for (const channel of this.#channelsOf(number)) {
      this.#engine?.unsubscribe(channel);
      this.#receiver.pause(channel);
    }
  }

  freeze(slots: readonly number[]): readonly Position[] {
    this.#frozen ??= { slots: new Set(), buffered: [], bytes: 0 };
    for (const slot of slots) this.#frozen.slots.add(slot);
    return slots.flatMap((slot) =>
      this.#channelsOf(slot).flatMap((stream) =>
        this.#receiver.positions(stream).map((position) => ({ slot, ...position })),
      ),
    );
  }

  release(delivered: readonly Position[]): void {
    const buffered = this.#frozen?.buffered ?? [];
    this.#frozen = undefined;
    for (const position of delivered) this.#receiver.skipTo(position);
    for (const bytes of buffered) this.#deliverNew(bytes);
  }

  /**
   * Everything that the engine had for this thread arrives before its answer to a new subscription.
   */
  async flush(): Promise<void> {
    const engine = this.#engine;
    if (engine === undefined || this.#status === "down" || this.#stopped) return;
    const channel = `${this.#ownChannel}.flush`;
    await this.#whenDone([engine.flushed(), engine.subscribe(channel, () => {})]);
    engine.unsubscribe(channel);
  }

  #receive(number: number, bytes: Uint8Array): void {
    if (this.#stopped) return;
    this.#heartbeat.messageArrived();
    this.#unresponsive = false;
    if (this.#checkOverload(bytes.length)) {
      // Not classified: its number is missing when the next one comes, and counts as a gap.
      this.#counts.droppedOverload += 1;
      return;
    }
    const frozen = this.#frozen;
    if (frozen?.slots.has(number) === true) {
      frozen.buffered.push(bytes);
      frozen.bytes += bytes.length;
    } else this.#deliverNew(bytes);
  }

  /** Delivers a message, unless it is a duplicate or an echo. */
  #deliverNew(bytes: Uint8Array): void {
    const envelope = this.#receiver.decode(bytes);
    if (envelope === undefined || this.#receiver.classify(envelope) !== "deliver") return;
    this.#counts.received += 1;
    this.#deliver(envelope.topic, envelope.message, envelope.dispatcher, bytes.length);
  }

  /**
   * Whether so many messages wait that no more may be added; once so, until half of them are
   * delivered.
   */
  #checkOverload(more = 0): boolean {
    const { maxWaiting, maxWaitingBytes } = this.#options;
    const messages = this.#inbox.messages + (this.#frozen?.buffered.length ?? 0);
    const bytes = this.#inbox.bytes + (this.#frozen?.bytes ?? 0);
    const was = this.#overloaded;
    this.#overloaded = was
      ? messages > maxWaiting / 2 || bytes > maxWaitingBytes / 2
      : messages >= maxWaiting || (messages > 0 && bytes + more > maxWaitingBytes);
    if (this.#overloaded !== was) this.#updateStatus();
    return this.#overloaded;
  }

  // ---------------------------------------------------------------- status

  #markUp(): void {
    if (this.#stopped || this.#engine === undefined) return;
    this.#handed = this.#confirmed = 0;
    this.#backpressured = this.#unresponsive = false;
    this.#heartbeat.reset();
    const was = this.#status;
    this.#setStatus(this.#overloaded ? "degraded" : "up");
    if (!this.#opened) this.#endWaits();
    if (was !== "down") return;
    if (this.#wasUp) this.#counts.reconnects += 1;
    this.#wasUp = true;
    this.#heartbeat.beat();
  }

  #markDown(): void {
    if (this.#stopped) return;
    this.#heartbeat.engineDown();
    this.#handed = this.#confirmed = 0;
    this.#setStatus("down");
    this.#endWaits();
  }

  /** Derives the status while the engine is up. */
  #updateStatus(): void {
    if (this.#status === "down") return;
    const isImpaired = this.#heartbeat.notReceiving || this.#backpressured || this.#overloaded;
    this.#setStatus(isImpaired ? "degraded" : "up");
  }

  #setStatus(status: AdapterStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#statusAt = this.#clock.now();
    this.#onEvent(["status", status]);
  }
}
