/**
 * The adapter of a node that is joined to others by an engine: everything that is the same whatever
 * the engine. Envelopes, interest, the bound on what is on its way, and whether the node hears and
 * is heard.
 *
 *     channel          carries
 *     b.<slot>         broadcasts on topics of the slot
 *     n.<node>.<slot>  what is meant for one node
 *     h                pulses of nodes, see members.ts
 *     s.<sender>       pulses of a node's further threads, which only they themselves hear
 *
 * A connection can work and yet bring nothing, when an engine has lost its subscriptions. So every
 * pulse is sent in a way that brings it back: a thread that does not hear its own is deaf, says
 * `degraded`, and listens anew.
 */
import { type Clock, thisNode } from "simurgh/runtime";
import { slot } from "../local/slot.js";
import type {
  Adapter,
  AdapterFactory,
  AdapterHealth,
  AdapterStatus,
  Deliver,
  Inbox,
  Position,
  PublishResult,
  TellEvent,
} from "./adapter.js";
import { ClusterError, type Link, type OpenLink } from "./engine.js";
import { newLife, Receiver, Sender } from "./envelope.js";
import { decodePulse, encodePulse, Members } from "./membership.js";
import { Interest } from "./slot-interest.js";

/** Who an adapter is. */
export interface Place {
  /** Unique in the cluster. */
  readonly nodeName: string;
  /** New for each start of the node, shared by its threads. Default: random. */
  readonly life?: string;
  /** Number of the thread. Default 0. */
  readonly thread?: number;
  /** Whether this thread speaks for its node to the others. Exactly one does. Default true. */
  readonly leads?: boolean;
  /**
   * Whether to begin although the engine cannot be used yet, and go on trying. Default false: the
   * start fails.
   */
  readonly patient?: boolean;
}

export interface NetworkedOptions extends Place {
  /** How long a slot is still listened to after its last subscriber has gone. Default 30,000. */
  readonly lingerMs?: number;
  /** Between two pulses. Default 3,000; 0 for none. */
  readonly pulseMs?: number;
  /**
   * Bytes that may be on their way to the engine; of more, messages are dropped. Default 32 MiB.
   */
  readonly maxUnsentBytes?: number;
  /**
   * Messages of others, and bytes of them, that may wait here to be delivered; what comes beyond is
   * dropped, as if it had been lost on the way: the next one shows a gap. Default 100,000 and 32
   * MiB.
   */
  readonly maxWaiting?: number;
  readonly maxWaitingBytes?: number;
}

/** The engine is asked how far it is when so much has been sent since. */
const ASK_AFTER_BYTES = 64 * 1024;
/**
 * The longest that a subscriber, or a move of topics, waits for the engine. Once it has not
 * answered for that long, nothing waits for it until something arrives again.
 */
const LISTEN_MS = 2000;
/** How often a pulse that is not heard is given more time, as long as other things arrive. */
const PATIENCE_WITH_BACKLOG = 5;
const MAX_NAME = 200;

/** A name as part of a channel: letters and digits stay, all else is written as =<code>=. */
export const channelToken = (name: string): string =>
  name.replace(/[^A-Za-z0-9_@-]/gu, (character) => `=${character.codePointAt(0)?.toString(36)}=`);

export function checkNodeName(name: unknown): asserts name is string {
  if (typeof name !== "string" || name === "" || name.length > MAX_NAME)
    throw new ClusterError(`a node name must be a text of 1 to ${MAX_NAME} characters`);
}

export function networkedAdapter(engine: string, open: OpenLink, options: NetworkedOptions): AdapterFactory {
  checkNodeName(options.nodeName);
  return async (deliver, tell, inbox) => {
    const adapter = new Networked(engine, options, deliver, tell, inbox, thisNode().clock);
    await adapter.open(open);
    return adapter;
  };
}

class Networked implements Adapter {
  readonly #engine: string;
  readonly #options: Required<NetworkedOptions>;
  readonly #deliver: Deliver;
  readonly #tell: TellEvent;
  readonly #inbox: Inbox;
  readonly #clock: Clock;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #members: Members;
  readonly #interest: Interest;
  readonly #startedAt: number;
  #link: Link | undefined;
  #status: AdapterStatus = "down";
  #statusAt: number;
  #stopped = false;
  /** Bytes handed to the link, and how many of them the engine has. */
  #handed = 0;
  #confirmed = 0;
  #asking = false;
  #crowded = false;
  #wasUp = false;
  /** More has come than is delivered in time. */
  #behind = false;
  #pulse = 0;
  #heardPulse = 0;
  /** Own pulses in a row that were not heard, nor anything else meanwhile. */
  #deaf = 0;
  /** How often anything arrived. */
  #arrivals = 0;
  /** It has let a subscriber wait in vain, and nothing has arrived since. */
  #silent = false;
  /** The link has been made, or has failed, for the first time. */
  #opened = false;
  /** What ends waiting for the engine early: it is known to be away. */
  readonly #waits = new Set<() => void>();
  #cancelPulse: (() => void) | undefined;
  #cancelCheck: (() => void) | undefined;
  /** While slots move: theirs, and what has come on them. */
  #held: { readonly slots: Set<number>; readonly waiting: Uint8Array[]; bytes: number } | undefined;
  readonly #counts = {
    sent: 0,
    sentBytes: 0,
    received: 0,
    droppedDown: 0,
    droppedCrowded: 0,
    droppedBehind: 0,
    refused: 0,
    reconnects: 0,
    gaps: 0,
  };
  /** What came on the channel of pulses and was none. */
  #strange = 0;

  constructor(
    engine: string,
    given: NetworkedOptions,
    deliver: Deliver,
    tell: TellEvent,
    inbox: Inbox,
    clock: Clock,
  ) {
    const life = given.life ?? newLife();
    this.#engine = engine;
    this.#options = {
      thread: 0,
      leads: true,
      patient: false,
      lingerMs: 30_000,
      pulseMs: 3000,
      maxUnsentBytes: 32 * 1024 * 1024,
      maxWaiting: 100_000,
      maxWaitingBytes: 32 * 1024 * 1024,
      ...given,
      life,
    };
    this.#deliver = deliver;
    this.#tell = tell;
    this.#inbox = inbox;
    this.#clock = clock;
    this.#startedAt = this.#statusAt = clock.now();
    const { nodeName, thread, lingerMs, pulseMs } = this.#options;
    this.#sender = new Sender(nodeName, { life, thread });
    this.#receiver = new Receiver(
      this.#sender,
      (event) => {
        if (event[0] === "gap") this.#counts.gaps += 1;
        tell(event);
      },
      clock,
    );
    this.#members = new Members({ node: nodeName, life }, pulseMs);
    this.#interest = new Interest({
      clock,
      lingerMs,
      listen: (number) => this.#listen(number),
      drop: (number) => this.#drop(number),
    });
  }

  async open(open: OpenLink): Promise<void> {
    const { patient, leads } = this.#options;
    let linkedUp = false;
    const events = {
      up: () => {
        linkedUp = true;
        this.#up();
      },
      down: () => this.#down(),
      trouble: (text: string) => {
        this.#tell(["trouble", text]);
        if (this.#status === "down") this.#waitNoLonger();
      },
    };
    const link = await open(events, { patient });
    this.#link = link;
    const channel = leads ? "h" : this.#ownChannel;
    void link.listen(channel, (bytes) => this.#hear(bytes)).catch(() => {});
    if (linkedUp) this.#up();
    this.#beat();
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
    return this.#known === "away" ? undefined : effective;
  }

  health(): AdapterHealth {
    this.#isBehind();
    const now = this.#clock.now();
    const { lost, duplicates, unreadable } = this.#receiver;
    return {
      engine: this.#engine,
      status: this.#status,
      statusMs: Math.round(now - this.#statusAt),
      deaf: this.#deaf > 0,
      nameTaken: this.#members.nameTaken(now),
      leads: this.#options.leads,
      nodes: this.#members.list(now),
      slots: this.#interest.size,
      unsentBytes: this.#handed - this.#confirmed,
      ...this.#counts,
      unreadable: unreadable + this.#strange,
      lost,
      duplicates,
    };
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#cancelPulse?.();
    this.#cancelCheck?.();
    this.#interest.stop();
    if (this.#options.leads && this.#options.pulseMs > 0 && this.#status !== "down")
      this.#link?.publish("h", this.#nextPulse(true));
    this.#stopped = true;
    await this.#link?.close();
  }

  // ---------------------------------------------------------------- out

  #publish(channel: string, topic: string, message: unknown, dispatcher: string): PublishResult {
    const link = this.#link as Link;
    const sealed = this.#sender.seal(channel, topic, message, dispatcher, link.limit);
    if (!(sealed instanceof Uint8Array)) {
      this.#counts.refused += 1;
      return sealed;
    }
    // Its number is used all the same: whoever hears the next one sees that something is missing.
    if (this.#status === "down" || this.#stopped) {
      this.#counts.droppedDown += 1;
      return "ok";
    }
    if (this.#handed - this.#confirmed + sealed.length > this.#options.maxUnsentBytes) {
      this.#counts.droppedCrowded += 1;
      if (!this.#crowded) {
        this.#crowded = true;
        this.#settle();
      }
      return "ok";
    }
    this.#counts.sent += 1;
    this.#counts.sentBytes += sealed.length;
    this.#handed += sealed.length;
    link.publish(channel, sealed);
    if (!this.#asking && this.#handed - this.#confirmed >= ASK_AFTER_BYTES) void this.#ask(link);
    return "ok";
  }

  /** Asks the engine how far it is, until little is on its way. */
  async #ask(link: Link): Promise<void> {
    this.#asking = true;
    try {
      while (this.#handed - this.#confirmed >= ASK_AFTER_BYTES) {
        const mark = this.#handed;
        await link.flushed();
        this.#confirmed = Math.max(this.#confirmed, mark);
        if (this.#crowded) {
          this.#crowded = false;
          this.#settle();
        }
      }
    } catch {
      // The link is down, and says so by itself.
    } finally {
      this.#asking = false;
    }
  }

  // ---------------------------------------------------------------- in

  #channelsOf(number: number): readonly string[] {
    return [`b.${number}`, `n.${channelToken(this.#options.nodeName)}.${number}`];
  }

  #listen(number: number): Promise<void> {
    const link = this.#link as Link;
    const receive = (bytes: Uint8Array): void => this.#receive(number, bytes);
    return this.#soon(this.#channelsOf(number).map((channel) => link.listen(channel, receive)));
  }

  /**
   * Whether the engine is known to be away. While the link is made for the first time that is not
   * known yet.
   */
  get #known(): "away" | "there" | "unknown" {
    if (this.#silent) return "away";
    if (this.#status !== "down") return "there";
    return this.#opened ? "away" : "unknown";
  }

  /** Nothing waits for the engine any more. */
  #waitNoLonger(): void {
    this.#opened = true;
    for (const done of [...this.#waits]) done();
  }

  /** Resolves when the engine has done all of it, or is known not to get to it. */
  #soon(asked: readonly Promise<void>[]): Promise<void> {
    if (this.#known === "away") {
      for (const each of asked) each.catch(() => {});
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        this.#waits.delete(done);
        resolve();
      };
      const cancel = this.#clock.alarm(LISTEN_MS, () => {
        this.#silent = true;
        this.#waitNoLonger();
      });
      this.#waits.add(done);
      Promise.all(asked).then(() => {
        // What a link that is not made yet has only noted, it listens to once it is up.
        if (this.#known !== "unknown") done();
      }, done);
    });
  }

  #drop(number: number): void {
    for (const channel of this.#channelsOf(number)) {
      this.#link?.unlisten(channel);
      this.#receiver.pause(channel);
    }
  }

  hold(slots: readonly number[]): readonly Position[] {
    this.#held ??= { slots: new Set(), waiting: [], bytes: 0 };
    for (const slot of slots) this.#held.slots.add(slot);
    return slots.flatMap((slot) =>
      this.#channelsOf(slot).flatMap((stream) =>
        this.#receiver.positions(stream).map((position) => ({ slot, ...position })),
      ),
    );
  }

  release(delivered: readonly Position[]): void {
    const waiting = this.#held?.waiting ?? [];
    this.#held = undefined;
    for (const position of delivered) this.#receiver.skipTo(position);
    for (const bytes of waiting) this.#take(bytes);
  }

  /**
   * What the engine had for this thread comes before its answer that it listens to one more
   * channel.
   */
  async settled(): Promise<void> {
    const link = this.#link;
    if (link === undefined || this.#status === "down" || this.#stopped) return;
    const channel = `${this.#ownChannel}.settled`;
    await this.#soon([link.flushed(), link.listen(channel, () => {})]);
    link.unlisten(channel);
  }

  #receive(number: number, bytes: Uint8Array): void {
    if (this.#stopped) return;
    this.#arrived();
    if (this.#isBehind(bytes.length)) {
      // Not judged: its number is missing when the next one comes, which is told as any gap is.
      this.#counts.droppedBehind += 1;
      return;
    }
    const held = this.#held;
    if (held?.slots.has(number) === true) {
      held.waiting.push(bytes);
      held.bytes += bytes.length;
    } else this.#take(bytes);
  }

  #arrived(): void {
    this.#arrivals += 1;
    this.#silent = false;
  }

  #take(bytes: Uint8Array): void {
    const envelope = this.#receiver.open(bytes);
    if (envelope === undefined || this.#receiver.judge(envelope) !== "deliver") return;
    this.#counts.received += 1;
    this.#deliver(envelope.topic, envelope.message, envelope.dispatcher, bytes.length);
  }

  /**
   * Whether so much waits here that nothing may be added; from then on until half of it is
   * delivered.
   */
  #isBehind(more = 0): boolean {
    const { maxWaiting, maxWaitingBytes } = this.#options;
    const messages = this.#inbox.messages + (this.#held?.waiting.length ?? 0);
    const bytes = this.#inbox.bytes + (this.#held?.bytes ?? 0);
    const was = this.#behind;
    this.#behind = was
      ? messages > maxWaiting / 2 || bytes > maxWaitingBytes / 2
      : messages >= maxWaiting || (messages > 0 && bytes + more > maxWaitingBytes);
    if (this.#behind !== was) this.#settle();
    return this.#behind;
  }

  // ---------------------------------------------------------------- life

  /** Says that this node is here, and finds out whether it hears. */
  #beat(): void {
    const { pulseMs } = this.#options;
    if (pulseMs === 0) return;
    this.#cancelPulse?.();
    this.#cancelPulse = this.#clock.alarm(pulseMs, () => this.#beat());
    this.#isBehind();
    const now = this.#clock.now();
    if (this.#status === "down") this.#members.excuse(now);
    else for (const change of this.#members.sweep(now)) this.#change(change);
    const link = this.#link;
    if (link === undefined || this.#status === "down") return;
    const bytes = this.#nextPulse(false);
    const number = this.#pulse;
    link.probe(this.#options.leads ? "h" : this.#ownChannel, bytes).then(
      () => this.#checkLater(number, 0),
      // It was not sent: that says nothing about what is heard.
      () => {},
    );
  }

  #nextPulse(leaves: boolean): Uint8Array {
    const { nodeName, life } = this.#options;
    this.#pulse += 1;
    return encodePulse({
      node: nodeName,
      life: life as string,
      ageMs: this.#age,
      number: this.#pulse,
      leaves,
    });
  }

  get #age(): number {
    return this.#clock.now() - this.#startedAt;
  }

  #checkLater(number: number, times: number): void {
    if (this.#stopped || this.#status === "down") return;
    if (this.#cancelCheck !== undefined) return;
    const { pulseMs } = this.#options;
    const arrivals = this.#arrivals;
    const due = this.#clock.now() + pulseMs;
    this.#cancelCheck = this.#clock.alarm(pulseMs, () => {
      this.#cancelCheck = undefined;
      if (this.#heardPulse >= number) return;
      // After a sleep of this thread, what came meanwhile has not been read yet; and behind a
      // backlog it comes late.
      const slept = this.#clock.now() - due > pulseMs / 2;
      const busy = this.#arrivals > arrivals && times < PATIENCE_WITH_BACKLOG;
      if (slept || busy) this.#checkLater(number, times + 1);
      else this.#isDeaf();
    });
  }

  #isDeaf(): void {
    const link = this.#link;
    if (link === undefined || this.#status === "down") return;
    this.#deaf += 1;
    if (this.#deaf === 1) {
      this.#tell(["trouble", `${this.#engine} takes messages but brings none; listening anew`]);
      link.relisten();
    } else link.reconnect();
    this.#settle();
    this.#beat();
  }

  #hear(bytes: Uint8Array): void {
    if (this.#stopped) return;
    this.#arrived();
    const pulse = decodePulse(bytes);
    if (pulse === undefined) {
      this.#strange += 1;
      return;
    }
    const { nodeName, life } = this.#options;
    if (pulse.node === nodeName && pulse.life === life) {
      if (pulse.number <= this.#heardPulse) return;
      this.#heardPulse = pulse.number;
      this.#deaf = 0;
      this.#settle();
      return;
    }
    if (pulse.node === nodeName && !pulse.leaves) this.#receiver.twin(pulse.life);
    for (const change of this.#members.hear(pulse, this.#clock.now(), this.#age)) this.#change(change);
  }

  #change([name, what]: readonly [string, "joined" | "left" | "lost"]): void {
    if (what !== "joined") this.#receiver.leave(name);
    this.#tell(["node", name, what]);
  }

  #up(): void {
    if (this.#stopped || this.#link === undefined) return;
    this.#handed = this.#confirmed = 0;
    this.#crowded = this.#silent = false;
    this.#deaf = 0;
    const was = this.#status;
    this.#set(this.#behind ? "degraded" : "up");
    if (!this.#opened) this.#waitNoLonger();
    if (was !== "down") return;
    if (this.#wasUp) this.#counts.reconnects += 1;
    this.#wasUp = true;
    this.#beat();
  }

  #down(): void {
    if (this.#stopped) return;
    this.#cancelCheck?.();
    this.#cancelCheck = undefined;
    this.#handed = this.#confirmed = 0;
    this.#set("down");
    this.#waitNoLonger();
  }

  /** What the status is while the link is up. */
  #settle(): void {
    if (this.#status === "down") return;
    this.#set(this.#deaf > 0 || this.#crowded || this.#behind ? "degraded" : "up");
  }

  #set(status: AdapterStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#statusAt = this.#clock.now();
    this.#tell(["status", status]);
  }
}
