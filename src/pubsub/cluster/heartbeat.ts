/**
 * HeartbeatLoop sends the heartbeats of a thread, receives those of other nodes, and finds out
 * whether this thread receives anything.
 *
 * A connection can work and yet deliver nothing, when the broker has lost its subscriptions. So
 * each heartbeat is sent in a way that brings it back: a thread that does not get its own is not
 * receiving. It subscribes again, and reconnects when that does not help.
 *
 * The leader of a node uses the channel `h`, on which all nodes listen. Further threads use a
 * channel of their own, which no other thread subscribes to.
 */
import type { Clock } from "simurgh/runtime";
import type { Engine } from "./engine.js";
import { decodeHeartbeat, encodeHeartbeat, type MemberChange, Membership } from "./membership.js";

/** The channel of the heartbeats of all nodes. */
const NODES = "h";
/** The longest that `stop` waits for the engine. */
const STOP_MS = 2000;
/** How often a late heartbeat is given more time, as long as other messages arrive. */
const RETRIES_WITH_BACKLOG = 5;

export interface HeartbeatOptions {
  readonly node: string;
  readonly bootId: string;
  readonly isLeader: boolean;
  /** The channel of a thread that is not the leader. */
  readonly ownChannel: string;
  /** Between two heartbeats, in ms; 0 for none. */
  readonly heartbeatMs: number;
  readonly clock: Clock;
  readonly events: HeartbeatEvents;
}

export interface HeartbeatEvents {
  /** Whether the engine is up. */
  isUp(): boolean;
  /** Each time before a heartbeat is sent. */
  beforeBeat(): void;
  /** Anything has arrived. */
  arrived(): void;
  /** Another node has joined, left or is down. */
  memberChanged(change: MemberChange): void;
  /** Another node uses this node's name. */
  duplicateName(bootId: string): void;
  /** `notReceiving` has changed. */
  receivingChanged(): void;
  warning(text: string): void;
}

export class HeartbeatLoop {
  readonly #options: HeartbeatOptions;
  readonly #membership: Membership;
  readonly #startedAt: number;
  #engine: Engine | undefined;
  /** Resolves when the last heartbeat is with the engine, or could not be sent. */
  #probing: Promise<void> = Promise.resolve();
  #sent = 0;
  #returned = 0;
  /** Own heartbeats in a row that did not come back, while nothing else arrived either. */
  #missing = 0;
  /** Messages of any kind that arrived. */
  #arrivals = 0;
  #invalid = 0;
  #stopped = false;
  #cancelBeat: (() => void) | undefined;
  #cancelCheck: (() => void) | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#membership = new Membership(options, options.heartbeatMs);
  }

  get notReceiving(): boolean {
    return this.#missing > 0;
  }

  /** Messages on the channel of heartbeats that are not heartbeats. */
  get invalid(): number {
    return this.#invalid;
  }

  isDuplicateName(): boolean {
    return this.#membership.isDuplicateName(this.#options.clock.now());
  }

  nodes(): ReturnType<Membership["list"]> {
    return this.#membership.list(this.#options.clock.now());
  }

  get #channel(): string {
    return this.#options.isLeader ? NODES : this.#options.ownChannel;
  }

  /** Subscribes to heartbeats, and sends the first one if the engine is up. */
  start(engine: Engine): void {
    this.#engine = engine;
    void engine.subscribe(this.#channel, (bytes) => this.#receive(bytes)).catch(() => {});
  }

  /** Something else than a heartbeat has arrived. */
  messageArrived(): void {
    this.#arrivals += 1;
  }

  /** The engine is up: what was missing before says nothing any more. */
  reset(): void {
    this.#missing = 0;
  }

  engineDown(): void {
    this.#cancelCheck?.();
    this.#cancelCheck = undefined;
  }

  /** Sends a heartbeat now, and then again and again. */
  beat(): void {
    const { heartbeatMs, clock, events } = this.#options;
    if (heartbeatMs === 0) return;
    this.#cancelBeat?.();
    this.#cancelBeat = clock.alarm(heartbeatMs, () => this.beat());
    events.beforeBeat();
    const now = clock.now();
    const isUp = events.isUp();
    if (isUp) for (const change of this.#membership.sweep(now)) events.memberChanged(change);
    else this.#membership.refreshAll(now);
    if (this.#engine === undefined || !isUp) return;
    const bytes = this.#next(false);
    const number = this.#sent;
    this.#probing = this.#engine.probe(this.#channel, bytes).then(
      () => this.#checkLater(number, 0),
      // It was not sent: that says nothing about what arrives.
      () => {},
    );
  }

  /**
   * Sends the last heartbeat: the node leaves. It waits for the one before, which may go by another
   * connection: if that came later, others would see the node join again.
   */
  async stop(): Promise<void> {
    this.#cancelBeat?.();
    this.#cancelCheck?.();
    this.#stopped = true;
    const { isLeader, heartbeatMs, events } = this.#options;
    if (!isLeader || heartbeatMs === 0 || !events.isUp()) return;
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#options.clock.alarm(STOP_MS, resolve);
    });
    await Promise.race([this.#probing, late]);
    cancel();
    if (events.isUp()) this.#engine?.publish(NODES, this.#next(true));
  }

  #next(leaves: boolean): Uint8Array {
    const { node, bootId } = this.#options;
    this.#sent += 1;
    return encodeHeartbeat({ node, bootId, ageMs: this.#age, number: this.#sent, leaves });
  }

  get #age(): number {
    return this.#options.clock.now() - this.#startedAt;
  }

  #checkLater(number: number, tries: number): void {
    const { heartbeatMs, clock, events } = this.#options;
    if (this.#stopped || !events.isUp() || this.#cancelCheck !== undefined) return;
    const arrivals = this.#arrivals;
    const due = clock.now() + heartbeatMs;
    this.#cancelCheck = clock.alarm(heartbeatMs, () => {
      this.#cancelCheck = undefined;
      if (this.#returned >= number) return;
      // After a sleep of this thread, what came meanwhile has not been read yet; behind a backlog a
      // heartbeat comes late.
      const slept = clock.now() - due > heartbeatMs / 2;
      const hasBacklog = this.#arrivals > arrivals && tries < RETRIES_WITH_BACKLOG;
      if (slept || hasBacklog) this.#checkLater(number, tries + 1);
      else this.#recover();
    });
  }

  /** This thread is not receiving: subscribes again, the next time reconnects. */
  #recover(): void {
    const { events } = this.#options;
    const engine = this.#engine;
    if (engine === undefined || !events.isUp()) return;
    this.#missing += 1;
    if (this.#missing === 1) {
      events.warning("takes messages but delivers none; subscribing again");
      engine.resubscribe();
    } else engine.reconnect();
    events.receivingChanged();
    this.beat();
  }

  #receive(bytes: Uint8Array): void {
    if (this.#stopped) return;
    const { events, node, bootId, clock } = this.#options;
    this.#arrivals += 1;
    events.arrived();
    const heartbeat = decodeHeartbeat(bytes);
    if (heartbeat === undefined) {
      this.#invalid += 1;
      return;
    }
    if (heartbeat.node === node && heartbeat.bootId === bootId) {
      if (heartbeat.number <= this.#returned) return;
      this.#returned = heartbeat.number;
      this.#missing = 0;
      events.receivingChanged();
      return;
    }
    if (heartbeat.node === node && !heartbeat.leaves) events.duplicateName(heartbeat.bootId);
    for (const change of this.#membership.heartbeatReceived(heartbeat, clock.now(), this.#age))
      events.memberChanged(change);
  }
}
