/**
 * Joins several nodes inside one OS process, for tests of clusters: a network that can be cut,
 * slowed, made to lose and repeat messages, or switched off. Everything above it is what runs over
 * a real engine, and messages cross as bytes.
 *
 *     const network = new MemoryNetwork();
 *     PubSub.childSpec({ name: "pubsub", adapter: network.adapter("a@here") });
 */
import type { Clock } from "simurgh/runtime";
import type { AdapterFactory } from "../adapter.js";
import type { Link, LinkEvents, OpenLink } from "../engine.js";
import { type NetworkedOptions, networkedAdapter } from "../engine-adapter.js";

export interface MemoryNetworkOptions {
  /** Bytes of an envelope. Default 983,040: what is left of the usual MiB of an engine. */
  readonly limit?: number;
  /** Whether a node gets its own messages back. Default false. */
  readonly echo?: boolean;
  /** Lets messages be under way for `delay` ms of this clock. Default: until the next loop run. */
  readonly clock?: Clock;
  readonly delay?: (from: string, to: string) => number;
}

export class MemoryNetwork {
  readonly #links = new Set<MemoryLink>();
  readonly #cut = new Set<string>();
  readonly #options: MemoryNetworkOptions;
  #up = true;
  /**
   * How many messages were encoded, and how many copies were handed to nodes; pulses are not
   * counted.
   */
  encoded = 0;
  carried = 0;
  dropped = 0;
  /** Whether a copy gets lost, decided for each. */
  loses: (from: string, to: string) => boolean = () => false;
  /** How many times a copy arrives. */
  repeats = 1;

  constructor(options: MemoryNetworkOptions = {}) {
    this.#options = options;
  }

  /**
   * The adapter of the node with this name. Without `options` it drops interests at once and sends
   * no pulses.
   */
  adapter(name: string, options: Partial<NetworkedOptions> = {}): AdapterFactory {
    const open: OpenLink = async (events) => {
      const link = new MemoryLink(this, name, events);
      this.#links.add(link);
      if (this.#up) events.up();
      return link;
    };
    return networkedAdapter("memory", open, { lingerMs: 0, pulseMs: 0, ...options, nodeName: name });
  }

  get limit(): number {
    return this.#options.limit ?? 983_040;
  }

  get isUp(): boolean {
    return this.#up;
  }

  /** Nothing gets from one node to the other; both ways unless `oneWay`. */
  cut(from: string, to: string, oneWay = false): void {
    this.#cut.add(`${from} ${to}`);
    if (!oneWay) this.#cut.add(`${to} ${from}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** The engine is gone, or back. */
  set up(up: boolean) {
    if (up === this.#up) return;
    this.#up = up;
    for (const { events } of this.#links)
      if (up) events.up();
      else events.down("off");
  }

  /** The engine forgets what this node listens to, and does not say so. */
  deafen(name: string): void {
    for (const link of this.#links) if (link.name === name) link.deaf = true;
  }

  /** Hands bytes to a node as if they had come from the engine. */
  inject(to: string, bytes: Uint8Array): void {
    for (const link of this.#links)
      if (link.name === to)
        link.arrive([...link.listening.keys()].find((channel) => channel.startsWith("b.")) ?? "", bytes);
  }

  publish(from: MemoryLink, channel: string, bytes: Uint8Array, isPulse: boolean): void {
    if (!isPulse) this.encoded += 1;
    for (const to of this.#links) {
      const toSelf = to === from;
      if (toSelf && !isPulse && this.#options.echo !== true) continue;
      if (!to.listening.has(channel)) continue;
      if (
        !this.#up ||
        to.deaf ||
        (!toSelf && (this.#cut.has(`${from.name} ${to.name}`) || this.loses(from.name, to.name)))
      ) {
        if (!isPulse) this.dropped += 1;
        continue;
      }
      if (!isPulse) this.carried += 1;
      for (let copy = 0; copy < this.repeats; copy += 1)
        this.#later(from, to, () => to.arrive(channel, bytes));
    }
  }

  /** Without overtaking, as on a connection. */
  #later(from: MemoryLink, to: MemoryLink, arrive: () => void): void {
    const { clock, delay } = this.#options;
    if (clock === undefined) {
      setImmediate(arrive);
      return;
    }
    const due = Math.max(clock.now() + (delay?.(from.name, to.name) ?? 0), from.dueAt.get(to) ?? 0);
    from.dueAt.set(to, due);
    clock.alarm(due - clock.now(), arrive);
  }

  remove(link: MemoryLink): void {
    this.#links.delete(link);
  }
}

class MemoryLink implements Link {
  readonly #network: MemoryNetwork;
  readonly name: string;
  readonly events: LinkEvents;
  readonly listening = new Map<string, (bytes: Uint8Array) => void>();
  /** When what was sent last arrives there. */
  readonly dueAt = new Map<MemoryLink, number>();
  deaf = false;
  #closed = false;

  constructor(network: MemoryNetwork, name: string, events: LinkEvents) {
    this.#network = network;
    this.name = name;
    this.events = events;
  }

  get limit(): number {
    return this.#network.limit;
  }

  arrive(channel: string, bytes: Uint8Array): void {
    if (!this.#closed) this.listening.get(channel)?.(bytes);
  }

  publish(channel: string, bytes: Uint8Array): void {
    this.#network.publish(this, channel, bytes, channel === "h");
  }

  async flushed(): Promise<void> {}

  async listen(channel: string, receive: (bytes: Uint8Array) => void): Promise<void> {
    this.listening.set(channel, receive);
  }

  unlisten(channel: string): void {
    this.listening.delete(channel);
  }

  async probe(channel: string, bytes: Uint8Array): Promise<void> {
    if (!this.#network.isUp) throw new Error("down");
    this.#network.publish(this, channel, bytes, true);
  }

  relisten(): void {
    this.deaf = false;
  }

  reconnect(): void {
    this.deaf = false;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#network.remove(this);
  }
}
