/**
 * Joins several nodes inside one OS process, for tests of clusters: a network that can be cut, slowed, made to lose and repeat
 * messages, or switched off. Messages cross as bytes, as they do over a real engine.
 *
 *     const network = new MemoryNetwork();
 *     PubSub.childSpec({ name: "pubsub", adapter: network.adapter("a@here") });
 */
import type { Adapter, AdapterFactory, PublishResult } from "../adapter.js";
import { Receiver, Sender } from "../envelope.js";
import { slot } from "../slot.js";

export interface MemoryNetworkOptions {
  /** Bytes of an envelope. Default 983,040: what is left of the usual MiB of an engine. */
  readonly limit?: number;
  /** Whether a node gets its own messages back, as over Redis. Default false. */
  readonly echo?: boolean;
}

interface Member {
  readonly name: string;
  readonly interests: Set<number>;
  readonly receive: (bytes: Uint8Array) => void;
  readonly status: (up: boolean) => void;
}

export class MemoryNetwork {
  readonly #members = new Set<Member>();
  readonly #cut = new Set<string>();
  readonly #limit: number;
  readonly #echo: boolean;
  #up = true;
  /** How many messages were encoded, and how many copies were handed to nodes. */
  encoded = 0;
  carried = 0;
  dropped = 0;
  /** Whether a copy gets lost, decided for each. */
  loses: (from: string, to: string) => boolean = () => false;
  /** How many times a copy arrives. */
  repeats = 1;

  constructor({ limit = 983_040, echo = false }: MemoryNetworkOptions = {}) {
    this.#limit = limit;
    this.#echo = echo;
  }

  /** The adapter of the node with this name. */
  adapter(name: string): AdapterFactory {
    return (deliver, tell): Adapter => {
      const sender = new Sender(name);
      const receiver = new Receiver(sender, tell);
      const member: Member = {
        name,
        interests: new Set(),
        receive(bytes) {
          const envelope = receiver.open(bytes);
          if (envelope !== undefined && receiver.judge(envelope) === "deliver")
            deliver(envelope.topic, envelope.message, envelope.dispatcher);
        },
        status: (up) => tell(["status", up ? "up" : "down"]),
      };
      this.#members.add(member);
      const publish = (
        stream: string,
        to: (other: Member) => boolean,
        topic: string,
        message: unknown,
        dispatcher: string,
      ): PublishResult => {
        const bytes = sender.seal(stream, topic, message, dispatcher, this.#limit);
        if (!(bytes instanceof Uint8Array)) return bytes;
        this.encoded += 1;
        for (const other of this.#members) if (to(other)) this.#carry(name, other, bytes);
        return "ok";
      };
      return {
        nodeName: () => name,
        broadcast: (topic, message, dispatcher) =>
          publish(
            `b.${slot(topic)}`,
            (other) => (other !== member || this.#echo) && other.interests.has(slot(topic)),
            topic,
            message,
            dispatcher,
          ),
        directBroadcast: (nodeName, topic, message, dispatcher) => {
          if (nodeName === name) {
            deliver(topic, message, dispatcher);
            return "ok";
          }
          return publish(`n.${nodeName}`, (other) => other.name === nodeName, topic, message, dispatcher);
        },
        status: () => (this.#up ? "up" : "down"),
        interest: (slotNumber, wanted) => {
          if (wanted) member.interests.add(slotNumber);
          else {
            member.interests.delete(slotNumber);
            receiver.forget(`b.${slotNumber}`);
          }
        },
        stop: () => void this.#members.delete(member),
      };
    };
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
    for (const { status } of this.#members) status(up);
  }

  /** Hands bytes to a node as if they had come from the engine. */
  inject(to: string, bytes: Uint8Array): void {
    for (const member of this.#members) if (member.name === to) member.receive(bytes);
  }

  #carry(from: string, to: Member, bytes: Uint8Array): void {
    if (!this.#up || this.#cut.has(`${from} ${to.name}`) || this.loses(from, to.name)) {
      this.dropped += 1;
      return;
    }
    this.carried += 1;
    for (let copy = 0; copy < this.repeats; copy += 1)
      setImmediate(() => {
        if (this.#members.has(to)) to.receive(bytes);
      });
  }
}
