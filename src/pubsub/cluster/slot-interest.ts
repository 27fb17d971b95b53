/**
 * Which slots a node listens to: those in which it has subscribers, and for a while those in which
 * it had some, since rooms that empty and fill again must not cost the engine a change each time.
 */
import type { Clock } from "simurgh/runtime";

export interface InterestOptions {
  readonly clock: Clock;
  /** How long a slot is still listened to without subscribers. */
  readonly lingerMs: number;
  /** Resolves when what others send in the slot from now on arrives. */
  readonly listen: (slot: number) => Promise<void>;
  readonly drop: (slot: number) => void;
}

interface Slot {
  /** Until it is effective. */
  pending: Promise<void> | undefined;
  cancel: (() => void) | undefined;
}

export class Interest {
  readonly #options: InterestOptions;
  readonly #slots = new Map<number, Slot>();

  constructor(options: InterestOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** What is returned resolves when the interest is effective; undefined when it is already. */
  want(number: number, wanted: boolean): Promise<void> | undefined {
    const slot = this.#slots.get(number);
    if (wanted) {
      slot?.cancel?.();
      if (slot !== undefined) slot.cancel = undefined;
      return slot === undefined ? this.#listen(number) : slot.pending;
    }
    if (slot === undefined || slot.cancel !== undefined) return undefined;
    const drop = (): void => {
      this.#slots.delete(number);
      this.#options.drop(number);
    };
    const { clock, lingerMs } = this.#options;
    if (lingerMs === 0) drop();
    else slot.cancel = clock.alarm(lingerMs, drop);
    return undefined;
  }

  #listen(number: number): Promise<void> {
    const slot: Slot = { pending: undefined, cancel: undefined };
    this.#slots.set(number, slot);
    slot.pending = this.#options.listen(number).finally(() => {
      slot.pending = undefined;
    });
    return slot.pending;
  }

  stop(): void {
    for (const { cancel } of this.#slots.values()) cancel?.();
    this.#slots.clear();
  }
}
