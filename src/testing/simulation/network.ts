/**
 * The ports between simulated threads. As real ones they lose nothing and keep order in each
 * direction; unlike them, every posting is on its way for a while, and a pair of threads can be cut
 * off from each other until it is healed.
 */
import type { ConnectionPort } from "#runtime";
import type { Random } from "./random.js";
import type { VirtualClock } from "./virtual-clock.js";

interface Flight {
  readonly due: number;
  readonly what: "message" | "close";
  readonly message: unknown;
}

/** One direction of one port. */
export class Lane {
  readonly from: number;
  readonly to: number;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #maxDelay: number;
  #flights: Flight[] = [];
  #closed = false;
  #deliver: ((flight: Flight) => void) | undefined;

  constructor(from: number, to: number, clock: VirtualClock, random: Random, maxDelay: number) {
    this.from = from;
    this.to = to;
    this.#clock = clock;
    this.#random = random;
    this.#maxDelay = maxDelay;
  }

  arrives(deliver: (flight: Flight) => void): void {
    this.#deliver = deliver;
  }

  put(what: Flight["what"], message?: unknown): void {
    if (this.#closed) return;
    if (what === "close") this.#closed = true;
    const earliest = this.#flights.at(-1)?.due ?? 0;
    const due = Math.max(earliest, this.#clock.now() + this.#random.below(this.#maxDelay + 1));
    this.#flights.push({ due, what, message });
  }

  /** When the next posting arrives; undefined when none is on its way. */
  get due(): number | undefined {
    return this.#flights[0]?.due;
  }

  /** Delivers the next posting. */
  land(): string {
    const flight = this.#flights.shift() as Flight;
    this.#deliver?.(flight);
    return flight.what;
  }

  /** The far end will never read again. */
  drop(): void {
    this.#flights = [];
    this.#closed = true;
  }
}

/** One end of a port: what is posted goes out by one lane, what arrives comes by the other. */
export class SimulatedPort implements ConnectionPort {
  readonly #out: Lane;
  #onMessage: (message: unknown) => void = () => {};
  #onClose: (message: unknown) => void = () => {};
  #open = true;

  constructor(out: Lane, back: Lane) {
    this.#out = out;
    back.arrives(({ what, message }) => {
      if (!this.#open) return;
      if (what === "message") this.#onMessage(message);
      else {
        this.#open = false;
        this.#onClose(undefined);
      }
    });
  }

  on(event: "message" | "close", listener: (message: unknown) => void): void {
    if (event === "message") this.#onMessage = listener;
    else this.#onClose = listener;
  }

  postMessage(message: unknown): void {
    if (this.#open) this.#out.put("message", structuredClone(message));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#out.put("close");
  }
}
