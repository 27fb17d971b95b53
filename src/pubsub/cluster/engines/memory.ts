/**
 * An engine inside one OS process, for tests of clusters: a network that can be cut, slowed, made
 * to lose and repeat messages, or switched off. All code above it is the same as with a real
 * broker, and messages are sent as bytes.
 *
 *     const network = new MemoryNetwork();
 *     PubSub.childSpec({ name: "pubsub", adapter: network.adapter("a@here") });
 */
import type { Clock } from "simurgh/runtime";
import type { AdapterFactory } from "../../adapter.js";
import type { Engine, EngineEvents, OpenEngine } from "../engine.js";
import { type EngineAdapterOptions, engineAdapter } from "../engine-adapter.js";

export interface MemoryNetworkOptions {
  /** Bytes of an envelope. Default 983,040: the usual MiB of an engine, less its own overhead. */
  readonly limit?: number;
  /** Whether a node gets its own messages back. Default false. */
  readonly echo?: boolean;
  /**
   * Delays messages by `delay` ms of this clock. Default: until the next turn of the event loop.
   */
  readonly clock?: Clock;
  readonly delay?: (from: string, to: string) => number;
}

export class MemoryNetwork {
  readonly #engines = new Set<MemoryEngine>();
  readonly #cut = new Set<string>();
  readonly #options: MemoryNetworkOptions;
  #up = true;
  /**
   * How many messages were encoded, and how many copies were delivered to nodes; heartbeats are not
   * counted.
   */
  encoded = 0;
  carried = 0;
  dropped = 0;
  /** Whether a copy is lost; called for each. */
  loses: (from: string, to: string) => boolean = () => false;
  /** How many times a copy arrives. */
  repeats = 1;

  constructor(options: MemoryNetworkOptions = {}) {
    this.#options = options;
  }

  /**
   * The adapter of the node with this name. Without `options` it unsubscribes at once and sends no
   * heartbeats.
   */
  adapter(name: string, options: Partial<EngineAdapterOptions> = {}): AdapterFactory {
    const open: OpenEngine = async (events) => {
      const engine = new MemoryEngine(this, name, events);
      this.#engines.add(engine);
      if (this.#up) events.up();
      return engine;
    };
    return engineAdapter("memory", open, { lingerMs: 0, heartbeatMs: 0, ...options, nodeName: name });
  }

  get limit(): number {
    return this.#options.limit ?? 983_040;
  }

  get isUp(): boolean {
    return this.#up;
  }

  /** Drops everything from one node to the other; both ways unless `oneWay`. */
  cut(from: string, to: string, oneWay = false): void {
    this.#cut.add(`${from} ${to}`);
    if (!oneWay) this.#cut.add(`${to} ${from}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** The engine goes down, or comes back. */
  set up(up: boolean) {
    if (up === this.#up) return;
    this.#up = up;
    for (const { events } of this.#engines)
      if (up) events.up();
      else events.down("off");
  }

  /** The engine silently loses the subscriptions of this node. */
  loseSubscriptions(name: string): void {
    for (const engine of this.#engines) if (engine.name === name) engine.isLost = true;
  }

  /** Delivers bytes to a node as if they came from the engine. */
  inject(to: string, bytes: Uint8Array): void {
    for (const engine of this.#engines)
      if (engine.name === to)
        engine.arrive(
          [...engine.subscriptions.keys()].find((channel) => channel.startsWith("b.")) ?? "",
          bytes,
        );
  }

  publish(from: MemoryEngine, channel: string, bytes: Uint8Array, isHeartbeat: boolean): void {
    if (!isHeartbeat) this.encoded += 1;
    for (const to of this.#engines) {
      const toSelf = to === from;
      if (toSelf && !isHeartbeat && this.#options.echo !== true) continue;
      if (!to.subscriptions.has(channel)) continue;
      if (
        !this.#up ||
        to.isLost ||
        (!toSelf && (this.#cut.has(`${from.name} ${to.name}`) || this.loses(from.name, to.name)))
      ) {
        if (!isHeartbeat) this.dropped += 1;
        continue;
      }
      if (!isHeartbeat) this.carried += 1;
      for (let copy = 0; copy < this.repeats; copy += 1)
        this.#later(from, to, () => to.arrive(channel, bytes));
    }
  }

  /** In order, like a connection. */
  #later(from: MemoryEngine, to: MemoryEngine, arrive: () => void): void {
    const { clock, delay } = this.#options;
    if (clock === undefined) {
      setImmediate(arrive);
      return;
    }
    const due = Math.max(clock.now() + (delay?.(from.name, to.name) ?? 0), from.dueAt.get(to) ?? 0);
    from.dueAt.set(to, due);
    clock.alarm(due - clock.now(), arrive);
  }

  remove(engine: MemoryEngine): void {
    this.#engines.delete(engine);
  }
}

class MemoryEngine implements Engine {
  readonly #network: MemoryNetwork;
  readonly name: string;
  readonly events: EngineEvents;
  readonly subscriptions = new Map<string, (bytes: Uint8Array) => void>();
  /** When the last message to that engine arrives. */
  readonly dueAt = new Map<MemoryEngine, number>();
  isLost = false;
  #closed = false;

  constructor(network: MemoryNetwork, name: string, events: EngineEvents) {
    this.#network = network;
    this.name = name;
    this.events = events;
  }

  get limit(): number {
    return this.#network.limit;
  }

  arrive(channel: string, bytes: Uint8Array): void {
    if (!this.#closed) this.subscriptions.get(channel)?.(bytes);
  }

  publish(channel: string, bytes: Uint8Array): void {
    this.#network.publish(this, channel, bytes, channel === "h");
  }

  async flushed(): Promise<void> {}

  async subscribe(channel: string, receive: (bytes: Uint8Array) => void): Promise<void> {
    this.subscriptions.set(channel, receive);
  }

  unsubscribe(channel: string): void {
    this.subscriptions.delete(channel);
  }

  async probe(channel: string, bytes: Uint8Array): Promise<void> {
    if (!this.#network.isUp) throw new Error("down");
    this.#network.publish(this, channel, bytes, true);
  }

  resubscribe(): void {
    this.isLost = false;
  }

  reconnect(): void {
    this.isLost = false;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#network.remove(this);
  }
}
