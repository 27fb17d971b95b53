/**
 * SlotInterest decides which slots a node subscribes to on the engine: those with subscribers, and
 * those that had some a short time ago, so that rooms that empty and fill again cost the engine no
 * changes.
 */
import type { Clock } from "simurgh/runtime";

export interface SlotInterestOptions {
  readonly clock: Clock;
  /** How long a slot stays subscribed without subscribers. */
  readonly lingerMs: number;
  /** Resolves when messages that others send in the slot from then on arrive. */
  readonly subscribe: (slot: number) => Promise<void>;
  readonly unsubscribe: (slot: number) => void;
}

interface Slot {
  /** Until the subscription is effective. */
  pending: Promise<void> | undefined;
  cancel: (() => void) | undefined;
}

export class SlotInterest {
  readonly #options: SlotInterestOptions;
  readonly #slots = new Map<number, Slot>();

  constructor(options: SlotInterestOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** The promise resolves when the interest is effective; undefined when it is already. */
  want(number: number, wanted: boolean): Promise<void> | undefined {
    const slot = this.#slots.get(number);
    if (wanted) {
      slot?.cancel?.();
      if (slot !== undefined) slot.cancel = undefined;
      return slot === undefined ? this.#subscribe(number) : slot.pending;
    }
    if (slot === undefined || slot.cancel !== undefined) return undefined;
    const unsubscribe = (): void => {
      this.#slots.delete(number);
      this.#options.unsubscribe(number);
    };
    const { clock, lingerMs } = this.#options;
    if (lingerMs === 0) unsubscribe();
    else slot.cancel = clock.alarm(lingerMs, unsubscribe);
    return undefined;
  }

  #subscribe(number: number): Promise<void> {
    const slot: Slot = { pending: undefined, cancel: undefined };
    this.#slots.set(number, slot);
    slot.pending = this.#options.subscribe(number).finally(() => {
      slot.pending = undefined;
    });
    return slot.pending;
  }

  stop(): void {
    for (const { cancel } of this.#slots.values()) cancel?.();
    this.#slots.clear();
  }
}
