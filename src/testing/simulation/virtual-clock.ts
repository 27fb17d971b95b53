/** A clock that stands still until it is moved, to the next alarm at a time. */
import type { Clock } from "simurgh/runtime";

interface Alarm {
  readonly at: number;
  readonly sequence: number;
  readonly fire: () => void;
}

export class VirtualClock implements Clock {
  #now = 0;
  #sequence = 0;
  readonly #alarms = new Set<Alarm>();

  now(): number {
    return this.#now;
  }

  alarm(delay: number, fire: () => void): () => void {
    const alarm = { at: this.#now + Math.max(0, delay), sequence: this.#sequence, fire };
    this.#sequence += 1;
    this.#alarms.add(alarm);
    return () => void this.#alarms.delete(alarm);
  }

  /** When the next alarm is due; undefined when there is none. */
  get next(): number | undefined {
    return this.#first()?.at;
  }

  /** Moves on to `time` and fires what is due by then, in order. */
  advanceTo(time: number): void {
    for (let alarm = this.#first(); alarm !== undefined && alarm.at <= time; alarm = this.#first()) {
      this.#now = Math.max(this.#now, alarm.at);
      this.#alarms.delete(alarm);
      alarm.fire();
    }
    this.#now = Math.max(this.#now, time);
  }

  #first(): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (
        first === undefined ||
        alarm.at < first.at ||
        (alarm.at === first.at && alarm.sequence < first.sequence)
      )
        first = alarm;
    }
    return first;
  }
}
